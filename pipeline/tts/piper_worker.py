"""Speaks with Piper's voices, in a process of its own: piper-tts is GPL-3.

    server ──control socket──▶ this process     voices are loaded once, for all phrases
       └──────one socket────────▶ a thread      one phrase; its model runs outside Python's lock

In: one JSON line {"model": path, "text", "scale" (times the length of each phoneme), "speaker" (number or
null)}; without "text" the voice is only loaded. Out: frames of `FRAME` and payload. b"P" JSON, the phonemes
(IPA) of each sentence; then for each sentence b"A" JSON, the samples of each of its phonemes, with the one
that begins and the one that ends it, or null, and b"S" its sound, int16 at the voice's rate; b"E" JSON, {}
when all is said, or {"error": ...}. A socket closed by the server stops the model at once.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import onnxruntime
from piper.config import PiperConfig, SynthesisConfig
from piper.voice import PiperVoice

from pipeline.forking import FRAME, READY


class Model:
    """An ONNX session as Piper uses it, of which each thread can stop its own run."""

    def __init__(self, path: str, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors; voices have parts that are not used
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others need the CPU, too
        self._session = onnxruntime.InferenceSession(_aligned(path), options, ["CPUExecutionProvider"])
        self.mine = threading.local()

    def run(self, names: Any, inputs: Any) -> Any:
        return self._session.run(names, inputs, self.mine.options)


def _aligned(path: str) -> Any:
    """The model, which also says how long each phoneme is where that can be added to it."""
    try:
        import onnx
        from piper.patch_voice_with_alignment import add_alignment_output

        model = onnx.load(path)
        add_alignment_output(model)
    except (ImportError, ValueError):  # no package onnx; nothing to add, or it is there already
        return path
    return model.SerializeToString()


class Voices:
    """Those that are loaded, the latest used last."""

    def __init__(self, threads: int, in_memory: int) -> None:
        self._threads = threads
        self._in_memory = in_memory
        self._loaded: OrderedDict[str, PiperVoice] = OrderedDict()
        self._lock = threading.Lock()  # one loads at a time

    def voice(self, path: str) -> PiperVoice:
        with self._lock:
            if path not in self._loaded:
                config = PiperConfig.from_dict(json.loads(Path(f"{path}.json").read_text("utf-8")))
                session: Any = Model(path, self._threads)
                self._loaded[path] = PiperVoice(session=session, config=config)
                if len(self._loaded) > self._in_memory:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(path)
            return self._loaded[path]


def speak(voices: Voices, server: socket.socket) -> None:
    """Reads one request and answers it."""
    lines = server.makefile("rb")
    request = json.loads(lines.readline())
    name = Path(request["model"]).name

    def say(kind: bytes, payload: bytes) -> None:
        server.sendall(FRAME.pack(kind, len(payload)) + payload)

    try:
        voice = voices.voice(request["model"])
    except Exception as error:  # whatever a file may hold
        words = " ".join(str(error).split())[:200]
        say(b"E", json.dumps({"error": f"{name} cannot be loaded: {words}"}).encode())
        return
    options = onnxruntime.RunOptions()
    voice.session.mine.options = options
    threading.Thread(target=_stop_when_closed, args=(lines, options), daemon=True).start()
    try:
        if "text" in request:
            _say_sentences(voice, request, say)
    except OSError:
        raise
    except Exception as error:
        if options.terminate:
            return
        # Not its message, which may hold what was to be said.
        say(b"E", json.dumps({"error": f"{name} failed ({type(error).__name__})"}).encode())
        return
    say(b"E", b"{}")


def _say_sentences(voice: PiperVoice, request: dict[str, Any], say: Any) -> None:
    style = SynthesisConfig(
        speaker_id=request["speaker"], length_scale=voice.config.length_scale * request["scale"]
    )
    sentences = [phonemes for phonemes in voice.phonemize(request["text"]) if phonemes]
    say(b"P", json.dumps(sentences).encode())
    for chunk in voice.synthesize(request["text"], style, include_alignments=True):
        aligned = chunk.phoneme_alignments
        lengths = None if aligned is None else [int(each.num_samples) for each in aligned]
        say(b"A", json.dumps(lengths).encode())
        say(b"S", chunk.audio_int16_bytes)


def _stop_when_closed(lines: BinaryIO, options: onnxruntime.RunOptions) -> None:
    with contextlib.suppress(OSError), lines:
        lines.read(1)
    options.terminate = True


def _serve(voices: Voices, server: socket.socket) -> None:
    with contextlib.suppress(OSError), server:  # such an error: the server has lost interest
        try:
            speak(voices, server)
        finally:
            server.shutdown(socket.SHUT_RDWR)  # which ends the thread that waits for that


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle: it closes the socket
    control, threads, in_memory = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
    voices = Voices(threads, in_memory)
    control.send(READY)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        for descriptor in descriptors:
            server = socket.socket(fileno=descriptor)
            threading.Thread(target=_serve, args=(voices, server), daemon=True).start()


if __name__ == "__main__":
    main()
