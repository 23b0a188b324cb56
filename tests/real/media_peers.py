"""Two real peers in one process: a client, and the answering side wired as server.peer does it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.rtp import HeaderExtensionsMap, RtpPacket

from pipeline.audio import AudioChunk
from server.media.ears import Ears, ask_for_wide_band, prefer_opus
from server.media.echo import VideoEcho, offered_video_codec, prefer_one_video_codec
from server.media.opus import opus_encoder
from server.media.voicetrack import VoiceTrack
from tests.real.loss import LossyPath, without_candidates

CONFIGURATION = RTCConfiguration(iceServers=[])
HELD_UP_S = 0.01  # a packet sent so much after its time was held up by other work of this machine


def nothing_to_say(count: int) -> np.ndarray | None:
    return None


@dataclass
class Answerer:
    """The server's half of a call."""

    read: Callable[[int], np.ndarray | None] = nothing_to_say
    own_buffer: bool = True
    silence_after_ms: int = 100
    pass_through: bool = True
    chunks: list[AudioChunk] = field(default_factory=list)
    packets: list[tuple[int, int, float]] = field(default_factory=list)  # RTP timestamp, ears.at, seconds
    configurations: set[int] = field(default_factory=set)  # of the Opus packets that came (RFC 6716 §3.1)

    async def answer(self, offer_sdp: str) -> str:
        self.pc = RTCPeerConnection(CONFIGURATION)
        self.voice = VoiceTrack(self.read)
        audio = self.pc.addTransceiver(self.voice, direction="sendrecv")
        prefer_opus(audio)
        self.voice.bind(audio.sender)
        self.echo: VideoEcho | None = None
        if offered_video_codec(offer_sdp):
            self.echo = VideoEcho()
            video = self.pc.addTransceiver(self.echo.track, direction="sendrecv")
            prefer_one_video_codec(video, offer_sdp)
        await self.pc.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
        self.ears = self.ears_for(
            audio.receiver,
            audio.receiver.track,
            self.chunks.append,
            silence_after_ms=self.silence_after_ms,
            on_packet=self._note,
            own_buffer=self.own_buffer,
        )
        self.ears.attach()
        if self.echo:
            self.echo.attach(video.receiver, video.sender, pass_through=self.pass_through)
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        self._running = asyncio.create_task(self.ears.run(), name="ears")
        return ask_for_wide_band(self.pc.localDescription.sdp)

    def ears_for(self, *arguments: Any, **settings: Any) -> Ears:
        return Ears(*arguments, **settings)

    def heard(self) -> np.ndarray:
        """All that was handed on, int16 at 16 kHz."""
        return np.concatenate([chunk.samples for chunk in self.chunks] or [np.zeros(0, np.int16)])

    def _note(self, payload: bytes, timestamp: int) -> None:
        self.packets.append((timestamp, self.ears.at, time.perf_counter()))
        self.configurations.add(payload[0] >> 3)

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        if self.echo:
            self.echo.close()
        await self.pc.close()


@dataclass
class Call:
    client: RTCPeerConnection
    server: Answerer
    path: LossyPath
    audio: RTCRtpTransceiver  # the client's
    video: RTCRtpTransceiver | None


@asynccontextmanager
async def call(
    server: Answerer,
    *,
    audio: MediaStreamTrack | str = "audio",
    video: MediaStreamTrack | None = None,
    video_codec: str = "video/VP8",
) -> AsyncIterator[Call]:
    """A connected call through a path that can be made lossy."""
    client = RTCPeerConnection(CONFIGURATION)
    path = LossyPath()
    try:
        sound = client.addTransceiver(audio, direction="sendrecv")
        picture = None
        if video is not None:
            picture = client.addTransceiver(video, direction="sendrecv")
            offered = [
                codec
                for codec in picture.sender.getCapabilities("video").codecs
                if codec.mimeType in (video_codec, "video/rtx")
            ]
            picture.setCodecPreferences(offered)
        await client.setLocalDescription(await client.createOffer())
        answer = await path.open(await server.answer(without_candidates(client.localDescription.sdp)))
        await client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await connected(client, server.pc)
        yield Call(client, server, path, sound, picture)
    finally:
        await client.close()
        await server.close()
        path.close()


async def connected(*pcs: RTCPeerConnection) -> None:
    for pc in pcs:
        done = asyncio.Event()
        pc.on(
            "connectionstatechange", lambda pc=pc, done=done: pc.connectionState != "connected" or done.set()
        )
        if pc.connectionState != "connected":
            await asyncio.wait_for(done.wait(), 10)


async def at(loop_time: float) -> None:
    """Until the loop's clock says so: the timeline of what is sent."""
    await asyncio.sleep(max(0.0, loop_time - asyncio.get_running_loop().time()))


@dataclass
class Microphone:
    """Sends Opus packets of its own making, so that numbers, times and losses are the test's choice."""

    call: Call
    sequence: int = 1000
    timestamp: int = 500_000
    sent: dict[int, float] = field(default_factory=dict)  # RTP timestamp -> seconds
    held_up: int = 0  # packets that this machine, busy, sent later than it should

    async def say(
        self,
        sound: np.ndarray,
        *,
        lost: Callable[[int], bool] = lambda number: False,
        order: Callable[[int], float] = lambda number: 0.0,
    ) -> None:
        """Speaks `sound` (int16, 24 kHz) in real time.

        Args:
            lost: says of packet n whether it is lost,
            order: and by how many seconds it is late.
        """
        encoder = opus_encoder(24_000)
        payloads = [encoder.encode(sound[start : start + 480]) for start in range(0, len(sound) - 479, 480)]
        schedule = sorted((number * 0.02 + order(number), number) for number in range(len(payloads)))
        start = asyncio.get_running_loop().time()
        for due, number in schedule:
            await at(start + due)
            self.held_up += asyncio.get_running_loop().time() - start - due > HELD_UP_S
            timestamp = (self.timestamp + number * 960) % 2**32
            self.sent[timestamp] = time.perf_counter()
            if not lost(number):
                await self.send(self.sequence + number, timestamp, payloads[number])
        self.sequence += len(payloads)
        self.timestamp += len(payloads) * 960

    def pause(self, seconds: float) -> None:
        """Nothing is sent for so long (DTX): time goes on, sequence numbers do not."""
        self.timestamp += round(seconds * 48_000)

    async def send(self, sequence: int, timestamp: int, payload: bytes) -> None:
        sender = self.call.audio.sender
        packet = RtpPacket(
            payload_type=96, sequence_number=sequence % 2**16, timestamp=timestamp % 2**32, payload=payload
        )
        packet.ssrc = sender._ssrc
        await sender.transport._send_rtp(packet.serialize(HeaderExtensionsMap()))
