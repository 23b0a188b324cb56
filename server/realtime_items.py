"""Items, replies and settings in the shapes of OpenAI Realtime (GA), both ways.

The installed package `openai.types.realtime` is the reference for names and types. Keys are written out
and never dropped for being null: clients tell an absent key from a null one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pipeline.errors import CallError
from pipeline.events import ReplyDone
from pipeline.items import Item
from pipeline.providers import Usage
from pipeline.settings import CallSettings, Language

Json = dict[str, Any]

MODEL = "viva"
PCM = {"type": "audio/pcm", "rate": 24_000}  # what the field must hold; over WebRTC the media is Opus
EAGERNESS = {"low": 1.5, "medium": 1.0, "auto": 1.0, "high": 0.6}  # -> times the mode's patience
FIXED_SILENCE_MS = 500  # server_vad without silence_duration_ms

# Fields of a session that have no meaning here and do no harm: taken and left alone.
PASSED_OVER = frozenset(
    "type model tracing truncation prompt include reasoning parallel_tool_calls tool_choice tools".split()
)
OURS = frozenset("mode persona language topic greet patience".split())
ON_THE_WIRE = {  # a call's setting -> where a client wrote it
    "instructions": "session.instructions",
    "max_output_tokens": "session.max_output_tokens",
    "voice": "session.audio.output.voice",
    "speed": "session.audio.output.speed",
    "turn_detection": "session.audio.input.turn_detection",
    "turn_detection.silence_ms": "session.audio.input.turn_detection.silence_duration_ms",
    **{name: f"session.viva.{name}" for name in OURS},
}

# ------------------------------------------------------------------ out


def item_out(item: Item) -> Json:
    """A message. Spoken user content always has the key `transcript`, null until known."""
    return {
        "id": item.id,
        "object": "realtime.item",
        "type": "message",
        "status": item.status,
        "role": item.role,
        "content": [_content_out(item)],
    }


def empty_item_out(item: Item) -> Json:
    """A reply's item before its content part was added."""
    return {**item_out(item), "content": []}


def _content_out(item: Item) -> Json:
    if item.role == "assistant":
        if item.spoken:
            return {"type": "output_audio", "transcript": item.text or ""}
        return {"type": "output_text", "text": item.text or ""}
    if item.spoken:
        return {"type": "input_audio", "transcript": item.text}
    return {"type": "input_text", "text": item.text or ""}


def part_out(item: Item, *, begun: bool = False) -> Json:
    """The content part of a reply; `begun`: nothing of it has been heard yet. No key may be null."""
    text = "" if begun else item.text or ""
    return {"type": "audio", "transcript": text} if item.spoken else {"type": "text", "text": text}


def response_out(
    response_id: str, conversation_id: str, call: CallSettings, metadata: Mapping[str, Any] | None
) -> Json:
    """A reply that has begun."""
    return {
        "object": "realtime.response",
        "id": response_id,
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": conversation_id,
        "output_modalities": ["text" if call.text_only else "audio"],
        "max_output_tokens": call.max_output_tokens or "inf",
        "audio": {"output": {"format": PCM, "voice": call.voice or "default"}},
        "usage": None,
        "metadata": dict(metadata) if metadata else None,
    }


def response_done_out(done: ReplyDone, conversation_id: str, call: CallSettings) -> Json:
    """The same reply when it is over."""
    return {
        **response_out(done.response_id, conversation_id, call, done.metadata),
        "status": done.status,
        "status_details": _status_details(done),
        "output": [item_out(done.item)] if done.item else [],
        "usage": usage_out(done.usage) if done.usage else None,
    }


def _status_details(done: ReplyDone) -> Json:
    if done.status == "failed":
        error = {"type": "server_error", "code": "reply_failed", "message": done.reason or "the reply failed"}
        return {"type": "failed", "error": error}
    if done.status == "cancelled":
        client = done.reason == "client_cancelled"
        return {"type": "cancelled", "reason": "client_cancelled" if client else "turn_detected"}
    if done.status == "incomplete":
        return {"type": "incomplete", "reason": "max_output_tokens"}
    return {"type": "completed"}


def usage_out(usage: Usage) -> Json:
    return {
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "input_token_details": {"text_tokens": usage.input_tokens, "audio_tokens": 0, "cached_tokens": 0},
        "output_token_details": {"text_tokens": usage.output_tokens, "audio_tokens": 0},
    }


def session_out(session_id: str, call: CallSettings, *, viva: bool) -> Json:
    """The effective settings of a call. `viva`: with our own part, for a client that sent one."""
    out: Json = {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": MODEL,
        "output_modalities": ["text" if call.text_only else "audio"],
        "instructions": call.instructions or "",
        "max_output_tokens": call.max_output_tokens or "inf",
        "tools": [],
        "tool_choice": "none",
        "truncation": "auto",
        "tracing": None,
        "prompt": None,
        "include": None,
        "audio": {
            "input": {
                "format": PCM,
                "noise_reduction": None,
                "transcription": {"language": call.language},
                "turn_detection": _turn_detection_out(call),
            },
            "output": {"format": PCM, "voice": call.voice or "default", "speed": call.speed},
        },
    }
    if viva:
        out["viva"] = {name: getattr(call, name) for name in sorted(OURS)}
    return out


def _turn_detection_out(call: CallSettings) -> Json | None:
    turns = call.turn_detection
    if turns.kind == "none":
        return None
    out: Json = {"create_response": turns.create_response, "interrupt_response": turns.interrupt_response}
    if turns.kind == "fixed":
        return {"type": "server_vad", "silence_duration_ms": turns.silence_ms, **out}
    eagerness = "low" if call.patience > 1.2 else "high" if call.patience < 0.8 else "auto"
    return {"type": "semantic_vad", "eagerness": eagerness, **out}


# ------------------------------------------------------------------ in


def settings_patch(session: Any) -> Json:
    """What a client wrote into `session`, as a patch of CallSettings. Raises CallError naming the field."""
    table = _table(session, "session")
    if table.get("type", "realtime") != "realtime":
        raise CallError("invalid_value", 'a session here has the type "realtime"', "session.type")
    patch: Json = {}
    for key, value in table.items():
        if key in PASSED_OVER:
            continue
        if key == "instructions":
            patch["instructions"] = (
                _of(str, value or "", "session.instructions") or None
            )  # "": the mode's own
        elif key == "output_modalities":
            patch["text_only"] = _text_only(value, "session.output_modalities")
        elif key == "max_output_tokens":
            patch["max_output_tokens"] = None if value in ("inf", None) else value
        elif key == "audio":
            _audio_patch(_table(value, "session.audio"), patch)
        elif key != "viva":
            raise _unknown(f"session.{key}")
    if table.get("viva") is not None:  # last: what is ours outweighs what it is mapped from
        for key, value in _table(table["viva"], "session.viva").items():
            if key not in OURS:
                raise _unknown(f"session.viva.{key}")
            patch[key] = value
    return patch


def _audio_patch(audio: Json, patch: Json) -> None:
    for side, value in audio.items():
        if side not in ("input", "output"):
            raise _unknown(f"session.audio.{side}")
        place = f"session.audio.{side}"
        for key, setting in _table(value or {}, place).items():
            if key in ("format", "noise_reduction") and (side == "input" or key == "format"):
                continue
            if side == "output" and key == "voice":
                voice = setting.get("id") if isinstance(setting, dict) else setting
                patch["voice"] = None if voice in (None, "", "default") else _of(str, voice, f"{place}.voice")
            elif side == "output" and key == "speed":
                patch["speed"] = 1.0 if setting is None else setting
            elif side == "input" and key == "transcription":
                language = _language((setting or {}).get("language")) if isinstance(setting, dict) else None
                if language:
                    patch["language"] = language
            elif side == "input" and key == "turn_detection":
                patch.update(_turn_detection_patch(setting))
            else:
                raise _unknown(f"{place}.{key}")


def _turn_detection_patch(value: Any) -> Json:
    place = "session.audio.input.turn_detection"
    if value is None:
        return {"turn_detection": {"kind": "none"}}
    given = _table(value, place)
    turns = {
        key: given[key] for key in ("create_response", "interrupt_response") if given.get(key) is not None
    }
    if given.get("type", "server_vad") == "server_vad":
        turns |= {"kind": "fixed", "silence_ms": given.get("silence_duration_ms") or FIXED_SILENCE_MS}
        return {"turn_detection": turns}
    if given["type"] != "semantic_vad":
        raise CallError("invalid_value", "there is server_vad, semantic_vad or null", f"{place}.type")
    eagerness = given.get("eagerness") or "auto"
    if not isinstance(eagerness, str) or eagerness not in EAGERNESS:
        raise CallError("invalid_value", f"one of {', '.join(EAGERNESS)}", f"{place}.eagerness")
    return {"turn_detection": {"kind": "patience", **turns}, "patience": EAGERNESS[eagerness]}


def _text_only(value: Any, place: str) -> bool:
    if not isinstance(value, list) or not value or any(one not in ("audio", "text") for one in value):
        raise CallError("invalid_value", '["audio"] or ["text"]', place)
    return "audio" not in value


def _language(code: Any) -> str | None:
    """ "de-CH" is German; a language that is none of ours is left to the call's own."""
    code = code.split("-")[0].lower() if isinstance(code, str) else ""
    return code if code in get_args(Language) else None


def text_of(item: Json) -> tuple[str, str]:
    """(role, text) of a message that a client created. Raises CallError: only text can be created."""
    if item.get("type", "message") != "message":
        raise CallError("invalid_value", "only items of the type message can be created", "item.type")
    role = item.get("role")
    if role not in ("user", "assistant", "system"):
        raise CallError("invalid_value", "a role is user, assistant or system", "item.role")
    content = item.get("content")
    if not isinstance(content, list):
        raise CallError("invalid_value", "content is a list of parts", "item.content")
    parts = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") not in ("input_text", "output_text", "text"):
            raise CallError("invalid_value", "a part has the type input_text or output_text", "item.content")
        parts.append(_of(str, part.get("text"), "item.content.text"))
    return role, "".join(parts)


def _table(value: Any, place: str) -> Json:
    return _of(dict, value, place)


def _of(kind: type, value: Any, place: str) -> Any:
    if not isinstance(value, kind):
        name = "an object" if kind is dict else "a string"
        raise CallError("invalid_type", f"{place} is to be {name}", place)
    return value


def _unknown(place: str) -> CallError:
    return CallError("unknown_parameter", f"there is no {place}", place)
