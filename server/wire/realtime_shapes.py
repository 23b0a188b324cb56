"""What a client may send: every event, field by field, and what is said about one that is wrong.

The shapes are those of `openai.types.realtime`; a field that is in none of them is named and refused, however
deep it lies. The words of the errors are OpenAI's. What a field does: docs/protocol.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from pipeline.errors import CallError

Json = dict[str, Any]

MAX_TEXT = 32_000  # characters of a message, and of anything else that a client may make us keep
LONGEST_COMPLAINT = 300  # characters

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Id = Annotated[str, Field(min_length=1, max_length=512)]


class Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _no_mcp(value: Any) -> Any:
    """Tools of other servers would be called from here, with a client's credentials: not served."""
    if isinstance(value, dict) and str(value.get("type", "")).startswith("mcp"):
        raise PydanticCustomError("unsupported", "MCP is not served here: give functions as tools")
    return value


def _no_prompt(value: Any) -> Any:
    if value is not None:
        raise PydanticCustomError("unsupported", "prompt templates are OpenAI's: send instructions")
    return value


# ------------------------------------------------------------------ a session


class Format(Shape):
    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
    rate: Literal[24000] | None = None


class NoiseReduction(Shape):
    type: Literal["near_field", "far_field"] | None = None
    strength: float | None = None


class Transcription(Shape):
    model: Text | None = None
    language: Text | None = None
    languages: list[Text] | None = None
    prompt: Text | None = None
    keywords: list[Text] | None = None
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class Detection(Shape):
    """Both kinds; without a type the one that is set is changed."""

    type: Literal["server_vad", "semantic_vad"] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None
    silence_duration_ms: int | None = None
    prefix_padding_ms: int | None = None
    threshold: float | None = None
    idle_timeout_ms: int | None = None
    eagerness: Literal["low", "medium", "high", "auto"] | None = None


class AudioInput(Shape):
    format: Format | None = None
    noise_reduction: NoiseReduction | None = None
    transcription: Transcription | None = None
    turn_detection: Detection | None = None


class VoiceId(Shape):
    id: Text


class AudioOutput(Shape):
    format: Format | None = None
    voice: Text | VoiceId | None = None
    speed: float | None = None


class SessionAudio(Shape):
    input: AudioInput | None = None
    output: AudioOutput | None = None


class Function(Shape):
    type: Literal["function"] = "function"
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: Text | None = None
    parameters: Json | None = None


class FunctionChoice(Shape):
    type: Literal["function"]
    name: Text


class Reasoning(Shape):
    effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class Tracing(Shape):
    workflow_name: Text | None = None
    group_id: Text | None = None
    metadata: Any = None


class TokenLimits(Shape):
    post_instructions: int | None = None


class Truncation(Shape):
    type: Literal["retention_ratio"]
    retention_ratio: float
    token_limits: TokenLimits | None = None


class Wanted(Shape):
    """What a session and a single response have in common."""

    instructions: Text | None = None
    output_modalities: Annotated[list[Literal["audio", "text"]], Field(min_length=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | Literal["inf"] | None = None
    tools: Annotated[list[Annotated[Function, BeforeValidator(_no_mcp)]], Field(max_length=128)] | None = None
    tool_choice: (
        Annotated[Literal["none", "auto", "required"] | FunctionChoice, BeforeValidator(_no_mcp)] | None
    ) = None
    parallel_tool_calls: bool | None = None
    prompt: Annotated[Any, BeforeValidator(_no_prompt)] = None
    reasoning: Reasoning | None = None


class Session(Wanted):
    type: Literal["realtime"] | None = None
    object: Text | None = None  # with id and expires_at: a client may send back what it was sent
    id: Text | None = None
    expires_at: int | None = None
    model: Text | None = None
    audio: SessionAudio | None = None
    include: list[Literal["item.input_audio_transcription.logprobs"]] | None = None
    tracing: Literal["auto"] | Tracing | None = None
    truncation: Literal["auto", "disabled"] | Truncation | None = None
    viva: Json | None = None


# ------------------------------------------------------------------ items and responses


class Part(Shape):
    """Of a message, of all roles."""

    type: Literal["input_text", "input_audio", "output_text", "output_audio", "text"]
    text: Text | None = None
    audio: str | None = None  # base64, of the session's input format
    transcript: Text | None = None


def _no_image(value: Any) -> Any:
    if isinstance(value, dict) and value.get("type") == "input_image":
        raise PydanticCustomError("unsupported", "images are not understood here")
    return value


def _no_mcp_item(value: Any) -> Any:
    _no_mcp({"type": value})
    return value


class GivenItem(Shape):
    """Of all types; which fields go together: `wire.realtime_items.item_in`."""

    type: Annotated[
        Literal["message", "function_call", "function_call_output", "item_reference"],
        BeforeValidator(_no_mcp_item),
    ] = "message"
    id: Id | None = None
    object: Text | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None
    role: Literal["user", "assistant", "system"] | None = None
    content: list[Annotated[Part, BeforeValidator(_no_image)]] | None = None
    call_id: Id | None = None
    name: Text | None = None
    arguments: Text | None = None
    output: Text | None = None


class ResponseOutput(Shape):
    format: Format | None = None
    voice: Text | VoiceId | None = None


class ResponseAudio(Shape):
    output: ResponseOutput | None = None


Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]


class Response(Wanted):
    audio: ResponseAudio | None = None
    conversation: Literal["auto", "none"] | None = None
    input: Annotated[list[GivenItem], Field(max_length=400)] | None = None
    metadata: Metadata | None = None


# ------------------------------------------------------------------ events


class Plain(Shape):
    """An event that says all by its type."""

    type: str
    event_id: Annotated[str, Field(max_length=512)] | None = None


class SessionUpdate(Plain):
    session: Json  # a Session, once what is locked has been left out


class ItemCreate(Plain):
    item: GivenItem
    previous_item_id: Id | None = None


class OfItem(Plain):
    item_id: Id


class ItemTruncate(OfItem):
    content_index: Literal[0] = 0
    audio_end_ms: Annotated[int, Field(ge=0)]


class ResponseCreate(Plain):
    response: Response | None = None


class ResponseCancel(Plain):
    response_id: Id | None = None


# ------------------------------------------------------------------ what is wrong

Wrong = TypeVar("Wrong", bound=Shape)


def parsed(shape: type[Wrong], given: Any, place: str = "") -> Wrong:
    """`given` in that shape. Raises CallError naming the first field that is wrong, behind `place`."""
    try:
        return shape.model_validate(given)
    except ValidationError as error:
        # Of a field with several shapes the complaint that lies deepest is about the one that was meant.
        detail = max(error.errors(include_url=False), key=lambda one: len(_path(one, given)))
        path = ".".join([*filter(None, [place]), *_path(detail, given)]) or "type"
        raise _complaint(detail, path.replace(".[", "[")[:200]) from None


def _path(detail: ErrorDetails, given: Any) -> list[str]:
    """The keys on the way to a field, as far as they were given; pydantic also names the shapes it tried."""
    path: list[str] = []
    for key in detail["loc"]:
        in_table = isinstance(given, dict) and key in given
        if in_table or (isinstance(given, list) and isinstance(key, int)):
            given = given[key]
            path.append(str(key) if in_table else f"[{key}]")
    return [*path, str(detail["loc"][-1])] if detail["type"] == "missing" else path


def _complaint(detail: ErrorDetails, path: str) -> CallError:
    kind, context, value = detail["type"], detail.get("ctx") or {}, detail.get("input")
    if kind == "extra_forbidden":
        return CallError("unknown_parameter", f"Unknown parameter: '{path}'.", path)
    if kind == "missing":
        return CallError("missing_required_parameter", f"Missing required parameter: '{path}'.", path)
    if kind == "unsupported":
        return CallError("unsupported_parameter", f"{path}: {detail['msg']}", path)
    if kind == "string_too_long":
        message = (
            f"Invalid '{path}': string too long. Expected a string with maximum length "
            f"{context['max_length']}, but got a string with length {len(str(value))} instead."
        )
        return CallError("string_above_max_length", message, path)
    if kind == "literal_error":
        message = f"Invalid value: {_shown(value)}. Supported values are: {context['expected']}."
        return CallError("invalid_value", message, path)
    what = detail["msg"][:1].lower() + detail["msg"][1:]
    if kind.endswith("_type"):
        message = f"Invalid type for '{path}': {what.removeprefix('input should be ')} is expected"
        return CallError("invalid_type", message, path)
    return CallError("invalid_value", f"Invalid '{path}': {what}"[:LONGEST_COMPLAINT], path)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
