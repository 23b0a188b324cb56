"""Decodes speech in small processes of its own, because pocketsphinx holds the GIL while it decodes.

    trunk                  has the model, never decodes (`pipeline.forking`)
      └─ fork (3 ms, 24 MB of its own)
         stretch           decodes one stretch of speech as it comes
           └─ fork at a Pause
              second look  ends its copy of the decoder: flat search, best path

A fork is a snapshot: the second look takes its time at lower priority, while the stretch goes on with the
same words as if there had been no pause. Cutting speech at pauses instead costs words and a restart.

Wire, server to stretch: frames of `FRAME` (kind, length) and payload: b"M" cepstral mean (text), b"A" audio
(int16, 16 kHz), b"P" pause, b"E" end. Stretch to server: one JSON object a line, see `_say`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any

from pocketsphinx import Decoder

from pipeline.forking import FRAME, live_once, serve

FRAMES_PER_S = 100  # the decoder's
BYTES_PER_MS = 32  # 16 kHz, int16
PARTIAL_EVERY_MS = 100  # of sound
SURE_AFTER_MS = 800  # of sound without a change

# Word, start and end in ms since the stretch began, confidence 0..1.
Words = list[tuple[str, int, int, float]]


class Stretch:
    """Speech between two cuts, and the answers to its pauses."""

    def __init__(self, decoder: Decoder, server: socket.socket, full_pass: bool) -> None:
        self._decoder = decoder
        self._server = server
        self._full_pass = full_pass
        self._inbox = bytearray()
        self._heard_ms = 0.0
        self._answered_ms = -1.0  # `_heard_ms` at the last pause
        self._partial_ms = 0.0  # likewise at the last partial
        self._partial: list[str] = []
        self._since: list[float] = []  # `_heard_ms` when that word became what it is
        self._ended = False
        self._look: tuple[int, int] | None = None  # pid and pipe of the second look
        self._hang_up = select.poll()
        self._hang_up.register(server, 0)  # nothing but the end is waited for

    def run(self) -> None:
        """Until the end was answered or the server has closed the socket."""
        self._decoder.start_utt()
        while not (self._ended and self._look is None):
            pipe = [] if self._look is None else [self._look[1]]
            ready, _, _ = select.select([self._server.fileno(), *pipe], [], [])
            if pipe and pipe[0] in ready:
                self._take_look()
            elif not self._read():
                self._drop_look()
                return

    def _read(self) -> bool:
        """Takes what has arrived; False: nobody is there any more."""
        arrived = self._server.recv(1 << 16)
        self._inbox += arrived
        while len(self._inbox) >= FRAME.size:
            kind, length = FRAME.unpack_from(self._inbox)
            if len(self._inbox) < FRAME.size + length:
                break
            if self._hang_up.poll(0):
                return False  # what was sent before is nobody's any more
            payload = bytes(self._inbox[FRAME.size : FRAME.size + length])
            del self._inbox[: FRAME.size + length]
            self._handle(kind, payload)
        return bool(arrived)

    def _handle(self, kind: bytes, payload: bytes) -> None:
        if kind == b"A":
            self._decoder.process_raw(payload, no_search=False, full_utt=False)
            self._heard_ms += len(payload) / BYTES_PER_MS
            if self._heard_ms - self._partial_ms >= PARTIAL_EVERY_MS:
                self._say_partial()
        elif kind == b"P":
            self._answer()
        elif kind == b"E":
            self._ended = True
            if self._answered_ms != self._heard_ms:
                self._answer()
        elif kind == b"M":
            self._decoder.set_cmn(payload.decode())

    def _say_partial(self) -> None:
        self._partial_ms = self._heard_ms
        words = self._words()
        texts = [word[0] for word in words]
        same = 0
        while same < min(len(texts), len(self._partial)) and texts[same] == self._partial[same]:
            same += 1
        self._since = self._since[:same] + [self._heard_ms] * (len(texts) - same)
        if texts != self._partial:
            self._partial = texts
            sure = sum(self._heard_ms - since >= SURE_AFTER_MS for since in self._since)
            self._say("partial", words, sure=sure)

    def _answer(self) -> None:
        """The hypothesis as it stands is as good as a first pass that was ended (measured)."""
        self._answered_ms = self._heard_ms
        self._say("final", self._words())
        if self._full_pass:
            self._drop_look()
            self._start_look()

    def _start_look(self) -> None:
        mine, its = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(mine)
            self._server.close()
            live_once(lambda _: self._look_again(its), self._server)
        os.close(its)
        self._look = (pid, mine)

    def _look_again(self, pipe: int) -> None:
        os.nice(3)  # behind what people hear now; more would starve it on a busy machine
        self._decoder.end_utt()
        answer = {"words": self._words(), "mean": self._decoder.get_cmn(False)}
        with os.fdopen(pipe, "wb") as out:
            out.write(json.dumps(answer).encode())

    def _take_look(self) -> None:
        assert self._look is not None
        with os.fdopen(self._look[1], "rb") as pipe:
            answer = pipe.read()
        self._look = None
        if not answer:
            raise RuntimeError("the second look died")
        self._say("full", **json.loads(answer))

    def _drop_look(self) -> None:
        if self._look is not None:
            pid, pipe = self._look
            os.close(pipe)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._look = None

    def _words(self) -> Words:
        return [
            (
                segment.word.split("(")[0],
                segment.start_frame * 1000 // FRAMES_PER_S,
                (segment.end_frame + 1) * 1000 // FRAMES_PER_S,
                round(min(1.0, segment.prob), 3),
            )
            for segment in self._decoder.seg() or ()
            if segment.word[0] not in "<[+"  # silence and noises
        ]

    def _say(self, kind: str, words: Words, **more: Any) -> None:
        line = {"kind": kind, "words": words, **more}
        self._server.sendall(json.dumps(line).encode() + b"\n")


def main() -> None:
    full_pass = sys.argv[2] == "full"
    decoder = Decoder(samprate=16_000, loglevel="FATAL", fwdflat=full_pass, bestpath=full_pass)
    serve(lambda server: Stretch(decoder, server, full_pass).run())


if __name__ == "__main__":
    main()
