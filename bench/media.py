"""What the media of a call costs, and how late a voice is that comes over a bad network.

The server is a process of its own (bench.media_server), so its CPU time is counted alone; stock aiortc is
measured in the same run. The clients send what was encoded beforehand and decode nothing.
Run: python -m bench.media (about 80 s)

What the caller sends while the server listens: "listening" is a quiet room, noise at -60 dBFS in which
somebody speaks a quarter of the time; "listening to silence" is a muted microphone. While the server speaks,
the room is quiet.
"""

from __future__ import annotations

import asyncio
import fractions
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import HeaderExtensionsMap, RtpPacket

from bench.phrases import flite, silence
from pipeline.audio import MIC_RATE, VOICE_RATE, Resampler
from server.media.ears import RECEIVERS_BUFFER, our_codecs
from server.media.opus import opus_encoder

CALLS = 10
WINDOW_S = 4.0  # in which CPU time is counted
SETTLE_S = 1.0  # before it: connecting, the codecs' start
LATENCY_S = 10.0
ROOM_DB = -60.0  # dBFS of its noise
SPEECH_S, QUIET_S = 1.0, 3.0  # in turn; the calls are spread over both
SAID = "In my last job I was responsible for the payment system of an online store, and it was never quiet."
AUDIO, VIDEO = fractions.Fraction(1, 48_000), fractions.Fraction(1, 90_000)


def room(seconds: float) -> np.ndarray:
    """Noise at ROOM_DB, int16 at 16 kHz."""
    level = 32768 * 10 ** (ROOM_DB / 20)
    return np.random.default_rng(1).normal(0, level, round(seconds * MIC_RATE)).astype(np.int16)


def voice_packets(sound: np.ndarray, *, wide: bool = True) -> list[bytes]:
    """int16 at 16 kHz, as a browser sends it: in the wide band that Viva asks for, or in full."""
    if wide:
        encoder = opus_encoder(MIC_RATE, complexity=9, bitrate=24_000)
        return [encoder.encode(sound[at : at + 320]) for at in range(0, len(sound) - 319, 320)]
    resampler = Resampler(MIC_RATE, VOICE_RATE)
    sound = np.concatenate([resampler.push(sound), resampler.flush()])
    encoder = opus_encoder(VOICE_RATE)
    return [encoder.encode(sound[at : at + 480]) for at in range(0, len(sound) - 479, 480)]


def caller(state: str, *, wide: bool = True) -> list[bytes]:
    """What the caller sends while the server is in that state (see above)."""
    if state == "listening to silence":
        return voice_packets(silence(2000), wide=wide)
    quiet = room(SPEECH_S + QUIET_S)
    if state == "listening":
        said = flite(SAID)[: round(SPEECH_S * MIC_RATE)]
        quiet[: len(said)] = np.clip(quiet[: len(said)].astype(int) + said, -32768, 32767)
    return voice_packets(quiet, wide=wide)


def video_packets(codec: str, seconds: int = 2, fps: int = 30) -> list[bytes]:
    """640x480 with movement and noise at about 1 Mbit/s, beginning with a key frame."""
    vp8 = codec == "video/VP8"
    context = av.CodecContext.create("libvpx" if vp8 else "libx264", "w")
    context.width, context.height, context.pix_fmt = 640, 480, "yuv420p"  # type: ignore[attr-defined]
    context.time_base, context.framerate = fractions.Fraction(1, fps), fractions.Fraction(fps, 1)  # type: ignore[attr-defined]
    context.bit_rate = 1_000_000
    context.options = (
        {"deadline": "realtime", "cpu-used": "-6", "lag-in-frames": "0"}
        if vp8
        else {"tune": "zerolatency", "profile": "baseline", "level": "31"}
    )
    chance = np.random.default_rng(1)
    still = chance.integers(60, 180, (480, 640, 3), np.uint8)
    out: list[bytes] = []
    for number in range(seconds * fps):
        picture = np.roll(still, 4 * number, axis=1)
        picture[100:300, 200:400] = 40 + number
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        out += [bytes(packet) for packet in context.encode(frame)]  # type: ignore[attr-defined]
    return out


class Recorded(MediaStreamTrack):
    """Packets made beforehand, over and over from number `first` on, each at its time."""

    def __init__(
        self, kind: str, packets: Sequence[bytes], every_s: float, base: fractions.Fraction, first: int = 0
    ) -> None:
        super().__init__()
        self.kind = kind
        self._packets = packets
        self._every_s = every_s
        self._base = base
        self._start: float | None = None
        self._first = first
        self._number = 0

    async def recv(self) -> av.Packet:
        if self.readyState != "live":
            raise MediaStreamError
        self._start = self._start or time.monotonic()
        await asyncio.sleep(max(0.0, self._start + self._number * self._every_s - time.monotonic()))
        packet = av.Packet(self._packets[(self._first + self._number) % len(self._packets)])
        packet.pts = round(self._number * self._every_s / self._base)
        packet.time_base = self._base
        self._number += 1
        return packet


class Sink:
    """In place of a client's receive buffer: counts, decodes nothing."""

    def __init__(self) -> None:
        self.packets = 0

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        self.packets += 1
        return False, None


class Child:
    """The server's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(20):
            return json.loads(await self._process.stdout.readline())


@asynccontextmanager
async def child() -> Any:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.media_server", stdin=pipe, stdout=pipe, limit=2**24
    )
    try:
        yield Child(process)
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def call(
    server: Child,
    stack: str,
    *,
    speaking: bool = False,
    audio: MediaStreamTrack | str = "audio",
    video: MediaStreamTrack | None = None,
    codec: str = "",
    transcode: bool = False,
) -> Any:
    """A client of `server`; yields its peer connection and the sinks of what it receives."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connected = asyncio.Event()

    @pc.on("connectionstatechange")
    def changed() -> None:
        if pc.connectionState == "connected":
            connected.set()

    try:
        pc.addTransceiver(audio, direction="sendrecv")
        if video is not None:
            picture = pc.addTransceiver(video, direction="sendrecv")
            codecs = [each for each in our_codecs("video") if each.mimeType in (codec, "video/rtx")]
            picture.setCodecPreferences(codecs)
        sinks = [Sink() for _ in pc.getReceivers()]
        for receiver, sink in zip(pc.getReceivers(), sinks, strict=True):
            setattr(receiver, RECEIVERS_BUFFER, sink)
        await pc.setLocalDescription(await pc.createOffer())
        answer = await server.ask(
            op="offer",
            sdp=pc.localDescription.sdp,
            stack=stack,
            speaking=speaking,
            video="transcode" if transcode else "own",
        )
        await pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        async with asyncio.timeout(15):
            await connected.wait()
        yield pc, sinks
    finally:
        await pc.close()


# ------------------------------------------------------------------ CPU


@dataclass(frozen=True, slots=True)
class Cost:
    """Cores per call."""

    all: float
    silero: float  # of it


async def cpu_of_calls(
    stack: str, state: str, *, codec: str = "", transcode: bool = False, calls: int = CALLS
) -> Cost:
    """Of the server's process, with `calls` at once."""
    voice = caller(state, wide=stack != "stock")
    picture = video_packets(codec) if codec else []
    async with child() as server, AsyncExitStack() as stack_of_calls:
        sinks: list[Sink] = []
        for number in range(calls):
            first = number * len(voice) // calls
            _, received = await stack_of_calls.enter_async_context(
                call(
                    server,
                    stack,
                    speaking=state == "speaking",
                    audio=Recorded("audio", voice, 0.02, AUDIO, first),
                    video=Recorded("video", picture, 1 / 30, VIDEO) if codec else None,
                    codec=codec,
                    transcode=transcode,
                )
            )
            sinks += received
        await asyncio.sleep(SETTLE_S)
        before = [sink.packets for sink in sinks]
        start, spent = time.monotonic(), await server.ask(op="cpu")
        await asyncio.sleep(WINDOW_S)
        after = await server.ask(op="cpu")
        passed = time.monotonic() - start
        for sink, count in zip(sinks, before, strict=True):
            assert sink.packets - count > 1 * passed, "every call received its sound and picture all along"
        return Cost(*((after[each] - spent[each]) / passed / calls for each in ("seconds", "silero_seconds")))


# ------------------------------------------------------------------ latency


async def lateness(
    stack: str, lost: float, together: asyncio.Barrier, seconds: float = LATENCY_S
) -> dict[str, float]:
    """From the sending of a packet to its sound in the server, in ms; its last quarter tells what stays."""
    packets = voice_packets(np.concatenate([flite(SAID), silence(2000)]))
    chance = random.Random(1)
    async with child() as server, call(server, stack) as (pc, _):
        sender = pc.getSenders()[0]
        sent: dict[int, float] = {}
        await together.wait()
        start = time.monotonic()
        for number in range(round(seconds / 0.02)):
            await asyncio.sleep(max(0.0, start + number * 0.02 - time.monotonic()))
            packet = RtpPacket(
                payload_type=96,
                sequence_number=1000 + number,
                timestamp=number * 960,
                payload=packets[number % len(packets)],
            )
            packet.ssrc = sender._ssrc
            sent[number] = time.monotonic()
            if number == 0 or chance.random() >= lost:
                await sender.transport._send_rtp(packet.serialize(HeaderExtensionsMap()))
        await asyncio.sleep(0.5)
        heard = (await server.ask(op="heard"))["heard"]
    late = [1000 * (heard_s - sent[number]) for number, heard_s in heard if number in sent]
    tail = [1000 * (heard_s - sent[number]) for number, heard_s in heard if number >= 0.75 * len(sent)]
    p50, p95 = (float(np.percentile(late, each)) for each in (50, 95))
    return {"p50_ms": p50, "p95_ms": p95, "at_the_end_ms": statistics.median(tail or [float("nan")])}


# ------------------------------------------------------------------


ROWS = (
    ("viva", "listening"),
    ("viva", "speaking"),
    ("gate", "listening"),
    ("gate", "listening to silence"),
    ("gate", "speaking"),
    ("stock", "listening"),
    ("stock", "speaking"),
)


async def run(calls: int = CALLS) -> dict[str, Any]:
    """All figures; cores per call and milliseconds."""
    figures: dict[str, Any] = {"calls": calls, "cpu": {}, "video_cpu": {}, "lateness": {}}
    for stack, state in ROWS:
        cost = await cpu_of_calls(stack, state, calls=calls)
        figures["cpu"][f"{stack} {state}"] = cost.all
        if cost.silero:
            figures["cpu"][f"{stack} {state}, Silero left out"] = cost.all - cost.silero
    for codec in ("video/VP8", "video/H264"):
        for transcode in (False, True):
            few = 1 if transcode else 4  # transcoding more than one would fill the machine
            with_video = await cpu_of_calls("viva", "listening", codec=codec, transcode=transcode, calls=few)
            name = f"{codec[6:]} {'transcoded' if transcode else 'passed through'}"
            figures["video_cpu"][name] = with_video.all - figures["cpu"]["viva listening"]
    cases = [(stack, lost) for stack in ("viva", "stock") for lost in (0.0, 0.01, 0.05)]
    together = asyncio.Barrier(len(cases))  # a server that starts would delay the others' packets
    rows = await asyncio.gather(*(lateness(stack, lost, together) for stack, lost in cases))
    for (stack, lost), row in zip(cases, rows, strict=True):
        figures["lateness"][f"{stack} {lost:.0%} lost"] = row
    figures["load"] = os.getloadavg()[0]
    return figures


def table(figures: dict[str, Any]) -> str:
    lines = [
        f"CPU of an audio call, cores, {figures['calls']} calls ('viva' and 'stock': media and codec, 'gate':"
        f" viva's and the gate; load {figures['load']:.1f})"
    ]
    lines += [f"  {name:40}{value:8.4f}" for name, value in figures["cpu"].items()]
    lines += ["Webcam echo 640x480 at 30, added, cores"]
    lines += [f"  {name:40}{value:8.4f}" for name, value in figures["video_cpu"].items()]
    lines += [f"Inbound, packet sent -> its sound, ms {'p50':>8}{'p95':>8}{'end':>8}"]
    for name, row in figures["lateness"].items():
        lines.append(f"  {name:36}{row['p50_ms']:8.1f}{row['p95_ms']:8.1f}{row['at_the_end_ms']:8.1f}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(asyncio.run(run())))
