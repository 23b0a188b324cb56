"""Speaks through libespeak-ng, in a process of its own: the library is GPL-3 and all its state is global.

One forked child (`pipeline.forking`) speaks one phrase. In: one JSON line {"text", "voices" (the first that
there is), "rate" (words a minute), "pitch" (0..99)}. Out: frames of `FRAME` and payload, in the order in
which they are heard: b"M" JSON list of marks of the sound that follows, [sample, "word", start, length] in
characters of the text and [sample, "phoneme", mnemonic]; b"S" sound, int16; b"E" JSON, {} when all is said,
or {"error": ...}. The sound's rate is 22,050 Hz, as that of all of espeak-ng's own voices.
"""

from __future__ import annotations

import ctypes
import json
import socket
from typing import Any

import espeakng_loader

from pipeline.forking import FRAME, serve

# Names and numbers of speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
PHONEME_EVENTS = 1
BUFFER_MS = 60
POS_CHARACTER = 1
CHARS_UTF8 = 1  # and neither espeakSSML nor espeakPHONEMES: what is in the text is spoken, never obeyed
RATE, PITCH = 1, 3
EVENT_LIST_TERMINATED, EVENT_WORD, EVENT_PHONEME = 0, 1, 7


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """espeak_EVENT."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters, from 1
        ("length", ctypes.c_int),  # characters
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


def load() -> Any:
    """The library, ready to speak."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    if library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, data, PHONEME_EVENTS) <= 0:
        raise RuntimeError("espeak-ng does not start")
    return library


def speak(library: Any, server: socket.socket) -> None:
    """Reads one request and answers it. A socket closed by the server ends the synthesis."""
    request = json.loads(server.makefile("rb").readline())

    def say(kind: bytes, payload: bytes) -> None:
        server.sendall(FRAME.pack(kind, len(payload)) + payload)

    gone = False

    @_Callback
    def take(sound: int | None, count: int, events: Any) -> int:
        nonlocal gone
        try:
            if marks := _marks(events):
                say(b"M", json.dumps(marks).encode())
            if sound and count > 0:
                say(b"S", ctypes.string_at(sound, 2 * count))
        except OSError:
            gone = True
        return int(gone)  # 1: stop

    library.espeak_SetSynthCallback(take)
    if not any(library.espeak_SetVoiceByName(name.encode()) == 0 for name in request["voices"]):
        say(b"E", json.dumps({"error": f"has no voice “{request['voices'][-1]}”"}).encode())
        return
    library.espeak_SetParameter(RATE, request["rate"], 0)
    library.espeak_SetParameter(PITCH, request["pitch"], 0)
    text = request["text"].encode() + b"\0"
    failed = library.espeak_Synth(
        text, ctypes.c_size_t(len(text)), 0, POS_CHARACTER, 0, CHARS_UTF8, None, None
    )
    if not gone:
        say(b"E", json.dumps({"error": "could not say it"} if failed else {}).encode())


def _marks(events: Any) -> list[list[Any]]:
    marks: list[list[Any]] = []
    index = 0
    while events[index].type != EVENT_LIST_TERMINATED:
        event = events[index]
        if event.type == EVENT_WORD:
            marks.append([event.sample, "word", event.text_position - 1, event.length])
        elif event.type == EVENT_PHONEME:
            marks.append([event.sample, "phoneme", event.id.string.decode("utf-8", "replace")])
        index += 1
    return marks


def main() -> None:
    library = load()
    serve(lambda server: speak(library, server))


if __name__ == "__main__":
    main()
