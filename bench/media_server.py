"""The server's half of media calls, in a process of its own so that its CPU time is its alone.

Reads one JSON object a line on stdin and answers each with one on stdout:

    {"op": "offer", "sdp", "stack", "speaking", "video"}  -> {"sdp"}
    {"op": "cpu"}     -> {"seconds", "silero_seconds"}     of this process so far, and of it Silero's
    {"op": "heard"}   -> {"heard": [[frame number, monotonic seconds], ...]} of the last call

`stack`: "viva" is server/, "gate" adds pipeline.gate, "stock" is aiortc as its examples use it.
`video`: whether the stack echoes the webcam its own way; "transcode" echoes it decoded and encoded anew.
"""

from __future__ import annotations

import asyncio
import fractions
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from bench.phrases import flite
from pipeline.audio import MIC_RATE, VOICE_RATE, AudioChunk, Resampler
from pipeline.gate import Gate
from pipeline.settings import GateSettings
from pipeline.silero import SileroModel, SileroStream
from server.media.ears import Ears, ask_for_wide_band, prefer_opus
from server.media.echo import VideoEcho, offered_video_codec, prefer_one_video_codec
from server.media.voicetrack import VoiceTrack

SAID = "I would start with a simple design and measure it before adding a cache, and then I would look again."
UTTERANCE_OVER_MS = 700


class Talker:
    """Speaks one sentence over and over, as a session's playout would hand it out."""

    def __init__(self, speaking: bool) -> None:
        resampler = Resampler(MIC_RATE, VOICE_RATE)
        said = flite(SAID)
        self._sound = np.concatenate([resampler.push(said), resampler.flush()]) if speaking else None
        self._at = 0

    def read(self, count: int) -> np.ndarray | None:
        if self._sound is None:
            return None
        if self._at + count > len(self._sound):
            self._at = 0
        self._at += count
        return self._sound[self._at - count : self._at]


class StockVoice(MediaStreamTrack):
    """The same as frames, which aiortc resamples and encodes."""

    kind = "audio"

    def __init__(self, read: Callable[[int], np.ndarray | None]) -> None:
        super().__init__()
        self._read = read
        self._start: float | None = None
        self._frame = 0

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        self._start = self._start or time.monotonic()
        await asyncio.sleep(max(0.0, self._start + self._frame * 0.02 - time.monotonic()))
        sound = self._read(480)
        if sound is None:
            sound = np.zeros(480, np.int16)
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = VOICE_RATE
        frame.pts, frame.time_base = self._frame * 480, fractions.Fraction(1, VOICE_RATE)
        self._frame += 1
        return frame


class TimedSilero(SileroModel):
    """Counts its CPU time."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def run(self, *given: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        start = time.thread_time()
        answer = super().run(*given)
        self.seconds += time.thread_time() - start
        return answer


class Server:
    def __init__(self) -> None:
        self.heard: list[tuple[int, float]] = []
        self._calls: list[RTCPeerConnection] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._silero: TimedSilero | None = None

    @property
    def silero_seconds(self) -> float:
        return self._silero.seconds if self._silero else 0.0

    async def answer(self, sdp: str, stack: str, speaking: bool, video: str) -> str:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._calls.append(pc)
        self.heard = []
        talker = Talker(speaking)
        voice = StockVoice(talker.read) if stack == "stock" else VoiceTrack(talker.read)
        audio = pc.addTransceiver(voice, direction="sendrecv")
        prefer_opus(audio)
        if isinstance(voice, VoiceTrack):
            voice.bind(audio.sender)
        echo = None
        if offered_video_codec(sdp):
            echo = VideoEcho()
            picture = pc.addTransceiver(echo.track, direction="sendrecv")
            prefer_one_video_codec(picture, sdp)
        await pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        if stack == "stock":
            self._start(self._stock_ears(audio.receiver.track))
        else:
            ears = Ears(audio.receiver, audio.receiver.track, self._listener(stack), on_packet=self._arrived)
            ears.attach()
            self._start(ears.run())
        if echo is not None:
            echo.attach(picture.receiver, picture.sender, pass_through=video != "transcode")
        await pc.setLocalDescription(await pc.createAnswer())
        return pc.localDescription.sdp if stack == "stock" else ask_for_wide_band(pc.localDescription.sdp)

    def _start(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))

    def _arrived(self, payload: bytes, timestamp: int) -> None:
        self.heard.append((timestamp // 960, time.monotonic()))

    def _listener(self, stack: str) -> Callable[[AudioChunk], None]:
        if stack != "gate":
            return lambda chunk: None
        self._silero = self._silero or TimedSilero()
        gate = Gate(GateSettings(), SileroStream(self._silero))

        def listen(chunk: AudioChunk) -> None:
            gate.push(chunk)
            if gate.is_open and gate.silence_ms > UTTERANCE_OVER_MS:
                gate.close()

        return listen

    async def _stock_ears(self, track: MediaStreamTrack) -> None:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=MIC_RATE, frame_size=320)
        try:
            while True:
                frame = await track.recv()
                self.heard.append((frame.pts // 960, time.monotonic()))  # type: ignore[operator]
                resampler.resample(frame)  # type: ignore[arg-type]
        except MediaStreamError:
            return

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pc in self._calls:
            await pc.close()


async def main() -> None:
    server = Server()
    loop = asyncio.get_running_loop()
    requests = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    while line := await requests.readline():
        request: dict[str, Any] = json.loads(line)
        match request.pop("op"):
            case "offer":
                reply: dict[str, Any] = {"sdp": await server.answer(**request)}
            case "cpu":
                reply = {"seconds": time.process_time(), "silero_seconds": server.silero_seconds}
            case _:
                reply = {"heard": server.heard}
        print(json.dumps(reply), flush=True)
    await server.close()


if __name__ == "__main__":
    asyncio.run(main())
