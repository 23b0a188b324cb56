"""The settings of a session and of one response: OpenAI's words for them ↔ a call's settings.

What of each field is served, and what is taken without effect, stands in docs/protocol.md.
"""

from __future__ import annotations

from typing import Any, get_args

from pipeline.errors import CallError
from pipeline.settings import CallSettings, Language, NamedTool, Tool
from server.wire.realtime_shapes import (
    AudioInput,
    Detection,
    FunctionChoice,
    Json,
    Response,
    Session,
    VoiceId,
    Wanted,
    parsed,
)
from server.wire.sound_formats import SoundFormats, format_out

MODEL = "viva"
EAGERNESS = {"low": 1.5, "medium": 1.0, "auto": 1.0, "high": 0.6}  # -> times the mode's patience
OURS = frozenset("mode persona language topic greet patience".split())
ON_THE_WIRE = {  # a call's setting -> where a client wrote it
    "voice": "audio.output.voice",
    "speed": "audio.output.speed",
    "turn_detection": "audio.input.turn_detection",
    "turn_detection.silence_ms": "audio.input.turn_detection.silence_duration_ms",
    "turn_detection.idle_ms": "audio.input.turn_detection.idle_timeout_ms",
    **{name: f"viva.{name}" for name in OURS},
}


def place_of(setting: str) -> str:
    """Where in a session a setting of a call stands, by its dotted name."""
    first, _, rest = setting.partition(".")
    return ON_THE_WIRE.get(setting) or ON_THE_WIRE.get(first, first) + (f".{rest}" if rest else "")


# ------------------------------------------------------------------ in


def settings_patch(session: Any) -> Json:
    """What a client wrote into `session`, as a patch of CallSettings. Raises CallError naming the field."""
    given = parsed(Session, session, "session")
    patch = _wanted_patch(given)
    if given.audio is not None and given.audio.input is not None:
        patch |= _input_patch(given.audio.input)
    output = given.audio.output if given.audio is not None else None
    if output is not None and "voice" in output.model_fields_set:
        patch["voice"] = _voice(output.voice)
    if output is not None and "speed" in output.model_fields_set:
        patch["speed"] = 1.0 if output.speed is None else output.speed
    for key, value in (given.viva or {}).items():  # last: what is ours outweighs what it is mapped from
        if key == "resume":  # ours to give; it comes back with the rest of a session
            continue
        if key not in OURS:
            path = f"session.viva.{key[:80]}"
            raise CallError("unknown_parameter", f"Unknown parameter: '{path}'.", path)
        patch[key] = value
    return patch


def response_patch(given: Response) -> Json:
    """What a response is to have otherwise than its session, as a patch of CallSettings."""
    patch = _wanted_patch(given)
    output = given.audio.output if given.audio is not None else None
    if output is not None and output.voice is not None:
        patch["voice"] = _voice(output.voice)
    return patch


def _wanted_patch(given: Wanted) -> Json:
    patch: Json = {}
    if "instructions" in given.model_fields_set:
        patch["instructions"] = given.instructions or None  # "": the mode's own
    if given.output_modalities is not None:
        patch["text_only"] = "audio" not in given.output_modalities
    if "max_output_tokens" in given.model_fields_set:
        tokens = given.max_output_tokens
        patch["max_output_tokens"] = None if tokens == "inf" else tokens
    if given.tools is not None:
        patch["tools"] = [
            {"name": tool.name, "description": tool.description or "", "parameters": tool.parameters or {}}
            for tool in given.tools
        ]
    if given.tool_choice is not None:
        choice = given.tool_choice
        patch["tool_choice"] = {"name": choice.name} if isinstance(choice, FunctionChoice) else choice
    return patch


def _input_patch(given: AudioInput) -> Json:
    patch: Json = {}
    language = _language(given.transcription.language if given.transcription else None)
    if language is not None:
        patch["language"] = language
    if "turn_detection" in given.model_fields_set:
        patch |= _detection_patch(given.turn_detection)
    return patch


def _detection_patch(given: Detection | None) -> Json:
    if given is None:
        return {"turn_detection": {"kind": "none"}}
    turns: Json = {
        name: value
        for name, value in (
            ("kind", {"server_vad": "fixed", "semantic_vad": "patience", None: None}[given.type]),
            ("silence_ms", given.silence_duration_ms),
            ("idle_ms", given.idle_timeout_ms),
            ("create_response", given.create_response),
            ("interrupt_response", given.interrupt_response),
        )
        if value is not None
    }
    patch: Json = {"turn_detection": turns}
    if given.eagerness is not None or given.type == "semantic_vad":
        patch["patience"] = EAGERNESS[given.eagerness or "auto"]
    return patch


def _voice(voice: str | VoiceId | None) -> str | None:
    name = voice.id if isinstance(voice, VoiceId) else voice
    return None if name in (None, "", "default") else name


def _language(code: str | None) -> str | None:
    """ "de-CH" is German; a language that is none of ours is left to the call's own."""
    code = (code or "").split("-")[0].lower()
    return code if code in get_args(Language) else None


# ------------------------------------------------------------------ out


def session_out(session_id: str, call: CallSettings, formats: SoundFormats, *, viva: bool) -> Json:
    """The effective settings of a call. `viva`: with our own part, for a client that sent one."""
    out: Json = {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": MODEL,
        "output_modalities": modalities_out(call),
        "instructions": call.instructions or "",
        "max_output_tokens": call.max_output_tokens or "inf",
        "tools": [_tool_out(tool) for tool in call.tools],
        "tool_choice": _choice_out(call),
        "truncation": "auto",
        "tracing": None,
        "prompt": None,
        "include": None,
        "audio": {
            "input": {
                "format": format_out(formats.input),
                "noise_reduction": None,
                "transcription": {"language": call.language},
                "turn_detection": _detection_out(call),
            },
            "output": {
                "format": format_out(formats.output),
                "voice": call.voice or "default",
                "speed": call.speed,
            },
        },
    }
    if viva:
        out["viva"] = {name: getattr(call, name) for name in sorted(OURS)}
    return out


def modalities_out(call: CallSettings) -> list[str]:
    return ["text" if call.text_only else "audio"]


def _tool_out(tool: Tool) -> Json:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }


def _choice_out(call: CallSettings) -> str | Json:
    choice = call.tool_choice
    return {"type": "function", "name": choice.name} if isinstance(choice, NamedTool) else choice


def _detection_out(call: CallSettings) -> Json | None:
    turns = call.turn_detection
    if turns.kind == "none":
        return None
    out: Json = {"create_response": turns.create_response, "interrupt_response": turns.interrupt_response}
    if turns.kind == "fixed":
        timing = {"silence_duration_ms": turns.silence_ms, "idle_timeout_ms": turns.idle_ms}
        return {"type": "server_vad", **timing, **out}
    eagerness = "low" if call.patience > 1.2 else "high" if call.patience < 0.8 else "auto"
    return {"type": "semantic_vad", "eagerness": eagerness, **out}
