"""A caller over real WebRTC: sends a timeline of sound, notes when which sample left and what came back.

Voiced: a 5 ms window of the sent sound above -40 dBFS RMS; it is sent when its packet is. Audible: 20 ms
above -45 dBFS; it has come when its packet has (there is no jitter buffer here).
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from pipeline.audio import MIC_RATE, VOICE_CHUNK, VOICE_RATE, AudioChunk, Resampler
from server.media.ears import Ears, prefer_opus
from server.media.voicetrack import VoiceTrack

AUDIBLE = 32768 * 10 ** (-45 / 20)


@dataclass
class Caller:
    """One call. `say` puts sound on the line; `sent_at` and `audible` tell when what went and came."""

    url: str
    session: dict[str, Any] = field(default_factory=dict)
    loss: float = 0.0  # share of packets of ours that never leave
    seed: int = 1
    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    heard: list[tuple[float, float]] = field(default_factory=list)  # arrival, RMS of 20 ms

    async def __aenter__(self) -> Caller:
        self._line = np.zeros(0, np.int16)
        self._empty = asyncio.Event()
        self._sent: list[float] = []  # when each 20 ms of ours left
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        track = VoiceTrack(self._read)
        audio = self._pc.addTransceiver(track, direction="sendrecv")
        prefer_opus(audio)
        self._channel = self._pc.createDataChannel("oai-events")
        self._channel.on("message", self._on_message)
        self._ready = asyncio.Event()
        self._ears = Ears(audio.receiver, audio.receiver.track, self._hear)
        self._ears.attach()
        await self._pc.setLocalDescription(await self._pc.createOffer())
        self._http = aiohttp.ClientSession()
        async with self._http.post(
            f"{self.url}/v1/realtime/calls",
            data=self._pc.localDescription.sdp,
            headers={"Content-Type": "application/sdp"},
        ) as response:
            answer = await response.text()
            if response.status != 201:
                raise RuntimeError(f"{response.status}: {answer}")
            self._location = response.headers["Location"]
        await self._pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        if self.loss:
            self._lose(audio.sender)
        self._listening = asyncio.create_task(self._ears.run(), name="caller's ears")
        async with asyncio.timeout(20):
            await self._ready.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        async with self._http.delete(self.url + self._location):
            pass
        await self._http.close()
        await self._pc.close()

    # --------------------------------------------------------------- line

    def say(self, sound: np.ndarray) -> int:
        """Queues int16 at 16 kHz behind what is queued; returns the number of its first 20 ms on the line."""
        resampler = Resampler(MIC_RATE, VOICE_RATE)
        sound = np.concatenate([resampler.push(sound), resampler.flush()])
        sound = np.concatenate([sound, np.zeros(-len(sound) % VOICE_CHUNK, np.int16)])
        queued = len(self._line) // VOICE_CHUNK
        self._line = np.concatenate([self._line, sound])
        self._empty.clear()
        return len(self._sent) + queued

    def sent_at(self, first: int, ms: float) -> float:
        """When the sample `ms` after the beginning of piece `first` left."""
        return self._sent[first + int(ms // 20)]

    def audible(self, after: float, before: float = float("inf")) -> list[float]:
        """Arrivals of audible packets in that time."""
        return [at for at, level in self.heard if after <= at < before and level > AUDIBLE]

    async def sent(self) -> None:
        """Until everything queued has left."""
        await self._empty.wait()

    def send(self, event: dict[str, Any]) -> None:
        self._channel.send(json.dumps(event))

    def of(self, kind: str) -> list[tuple[float, dict[str, Any]]]:
        return [(at, event) for at, event in self.events if event["type"] == kind]

    def _read(self, count: int) -> np.ndarray:
        self._sent.append(time.monotonic())
        piece, self._line = self._line[:count], self._line[count:]
        if not len(self._line):
            self._empty.set()
        return piece if len(piece) == count else np.zeros(count, np.int16)

    def _hear(self, chunk: AudioChunk) -> None:
        level = float(np.sqrt(np.mean(chunk.samples.astype(np.float64) ** 2)))
        self.heard.append((time.monotonic(), level))

    def _on_message(self, message: str) -> None:
        event = json.loads(message)
        self.events.append((time.monotonic(), event))
        if event["type"] == "session.created":
            self.send({"type": "session.update", "session": {"type": "realtime", **self.session}})
        elif event["type"] == "session.updated":
            self._ready.set()

    def _lose(self, sender: Any) -> None:
        """Drops RTP of ours on its way out; control packets pass."""
        dice, transport = random.Random(self.seed), sender.transport
        send = transport._send_rtp

        async def lossy(data: bytes) -> None:
            is_rtp = not 192 <= data[1] <= 223  # RFC 5761, section 4
            if not (is_rtp and dice.random() < self.loss):
                await send(data)

        transport._send_rtp = lossy
