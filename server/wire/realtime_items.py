"""Items and replies in the shapes of OpenAI Realtime (GA), both ways.

The installed package `openai.types.realtime` is the reference for names and types. Keys are written out
and never dropped for being null: clients tell an absent key from a null one.
"""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import numpy as np

from pipeline.errors import CallError
from pipeline.events import ReplyCreated, ReplyDone
from pipeline.items import Item, new_id
from pipeline.providers import Usage
from server.wire.realtime_session import modalities_out
from server.wire.realtime_shapes import GivenItem, Json, Part
from server.wire.sound_formats import SoundFormats, SoundIn, format_out

Given = TypeVar("Given")

# ------------------------------------------------------------------ out


def item_out(item: Item) -> Json:
    """Spoken user content always has the key `transcript`, null until known."""
    out: Json = {"id": item.id, "object": "realtime.item", "type": item.kind, "status": item.status}
    if item.kind == "function_call":
        return {**out, "call_id": item.call_id, "name": item.name, "arguments": item.text or ""}
    if item.kind == "function_call_output":
        return {**out, "call_id": item.call_id, "output": item.text or ""}
    return {**out, "role": item.role, "content": [_content_out(item)]}


def new_item_out(item: Item) -> Json:
    """A reply's item before anything was added to it."""
    out = {**item_out(item), "status": "in_progress"}
    return {**out, "arguments": ""} if item.kind == "function_call" else {**out, "content": []}


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


def response_out(begun: ReplyCreated, conversation_id: str, formats: SoundFormats) -> Json:
    """A reply that has begun."""
    call = begun.call
    voice = {"format": format_out(formats.output), "voice": call.voice or "default"}
    return {
        "object": "realtime.response",
        "id": begun.response_id,
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": conversation_id if begun.in_conversation else None,
        "output_modalities": modalities_out(call),
        "max_output_tokens": call.max_output_tokens or "inf",
        "audio": {"output": voice},
        "usage": None,
        "metadata": dict(begun.metadata) if begun.metadata else None,
    }


def response_done_out(
    done: ReplyDone, begun: ReplyCreated, conversation_id: str, formats: SoundFormats
) -> Json:
    """The same reply when it is over."""
    return {
        **response_out(begun, conversation_id, formats),
        "status": done.status,
        "status_details": _status_details(done),
        "output": [item_out(item) for item in done.items],
        "usage": usage_out(done.usage),
    }


def _status_details(done: ReplyDone) -> Json:
    if done.status == "failed":
        error = {"type": "server_error", "code": "reply_failed", "message": done.reason or "the reply failed"}
        return {"type": "failed", "error": error}
    if done.status == "cancelled":
        client = done.reason == "client_cancelled"
        return {"type": "cancelled", "reason": "client_cancelled" if client else "turn_detected"}
    if done.status == "incomplete":
        return {"type": "incomplete", "reason": done.reason}
    return {"type": "completed"}


def usage_out(usage: Usage) -> Json:
    """All of it is text: the mind is given words, and its words are what is spoken."""
    return {
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "input_token_details": {
            "text_tokens": usage.input_tokens,
            "audio_tokens": 0,
            "cached_tokens": usage.cached_tokens,
        },
        "output_token_details": {"text_tokens": usage.output_tokens, "audio_tokens": 0},
    }


# ------------------------------------------------------------------ in


def item_in(given: GivenItem, place: str) -> Item:
    """An item of a client's, complete. Raises CallError naming what is missing."""
    item_id = given.id or new_id("item")
    if given.type == "item_reference":
        raise CallError("invalid_value", "item_reference is only for response.input", f"{place}.type")
    if given.type == "message":
        text, spoken = _said(given, place)
        return Item(item_id, given.role, "completed", text, spoken=spoken)
    call_id = _needed(given.call_id, f"{place}.call_id")
    item = Item(item_id, None, "completed", spoken=False, kind=given.type, call_id=call_id)
    if given.type == "function_call":
        item.name = _needed(given.name, f"{place}.name")
        item.text = _needed(given.arguments, f"{place}.arguments")
    else:
        item.text = _needed(given.output, f"{place}.output")
    return item


def recording_in(given: GivenItem, format: str, place: str) -> np.ndarray | None:
    """The sound of a user's message, int16 at MIC_RATE, if that is what it holds. Raises CallError."""
    sounds = [part for part in given.content or () if part.type == "input_audio" and part.audio is not None]
    if not sounds or given.type != "message":
        return None
    if given.role != "user" or len(sounds) != len(given.content or ()):
        raise CallError("invalid_value", "sound is a user's message of its own", f"{place}.content")
    sound = SoundIn(format)
    try:
        pieces = [sound.push(base64.b64decode(part.audio or "", validate=True)) for part in sounds]
    except binascii.Error:
        raise CallError("invalid_value", "audio is to be base64", f"{place}.content[0].audio") from None
    samples = np.concatenate([*pieces, sound.flush()])
    if not len(samples):
        raise CallError("invalid_value", "there is no sound in it", f"{place}.content[0].audio")
    return samples


def _said(given: GivenItem, place: str) -> tuple[str, bool]:
    """The words of a message, and whether they were spoken: words of a recording that is not sent again."""
    _needed(given.role, f"{place}.role")
    parts = _needed(given.content, f"{place}.content")
    texts = [_text(part, f"{place}.content[{index}]") for index, part in enumerate(parts)]
    if not "".join(texts).strip():
        raise CallError("empty_text", "a message needs some text", f"{place}.content")
    return "".join(texts), all(part.type.endswith("_audio") for part in parts)


def _text(part: Part, place: str) -> str:
    if part.type.endswith("_audio"):
        return _needed(part.transcript, f"{place}.transcript")
    return _needed(part.text, f"{place}.text")


def _needed(value: Given | None, place: str) -> Given:
    if value is None:
        raise CallError("missing_required_parameter", f"Missing required parameter: '{place}'.", place)
    return value
