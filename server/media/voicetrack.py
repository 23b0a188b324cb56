"""The voice on its way out: 20 ms of Opus on an absolute schedule, encoded by ourselves.

`recv` yields `av.Packet`: aiortc then neither resamples nor encodes nor measures levels, which is most of
what it costs to send audio (DESIGN: 0.02 core a call instead of 0.05). The packet's `pts` counts 48 kHz
samples and is tied to the clock: frame n leaves at start + n * 20 ms, never earlier, so there is nothing
that could drift. Starts are whole frames of the clock, so that the tracks of all calls wake the loop
together. After a stall of the loop up to 3 frames are sent at once; what is missing beyond that is left out
of the RTP timeline (as a pause in which nothing was sent), while the voice just goes on later.

Once the sender has sent a first packet, the track sends the others itself (`media.rtp`) on the beat that all
calls share (`media.pulse`), while the sender waits in `recv` for a second one until the track ends.

Wiring (the whole of it is in `media.ears`):

    voice = VoiceTrack(session.read)
    audio = pc.addTransceiver(voice, direction="sendrecv")     # before setRemoteDescription
    prefer_opus(audio)                                         # server.media.ears
    voice.bind(audio.sender)
    ...
    voice.rtp_at(shapes.out_at)       # RTP timestamp for `viva.viseme`; None until the first packet was sent
"""

from __future__ import annotations

import asyncio
import fractions
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import cache

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCRtpSender
from aiortc.mediastreams import MediaStreamError

from pipeline.audio import CHUNK_MS, VOICE_CHUNK, VOICE_RATE
from server.media.opus import CLOCK_RATE, Encoder, opus_encoder
from server.media.pulse import pulse
from server.media.rtp import SENT_PACKETS, SENT_TIMESTAMP, Outlet

log = logging.getLogger(__name__)

FRAME_S = CHUNK_MS / 1000
FRAME = CLOCK_RATE * CHUNK_MS // 1000  # ticks of the RTP clock
PER_SAMPLE = CLOCK_RATE // VOICE_RATE
TIME_BASE = fractions.Fraction(1, CLOCK_RATE)
CATCH_UP = 3  # frames that may be sent at once after a stall
FADE = VOICE_RATE * 3 // 1000  # samples, 3 ms
QUIET = 64  # of 32,768 (-54 dBFS): an edge below this does not click
EARLY_S = 0.001  # a timer of the loop may fire so early
REPORTS_EVERY = 50  # frames: how often the client's reports are looked at
LOSSY = 3  # of 256 packets lost, by a client's report, from which packets are protected
PROTECTED_FRAMES = 1500  # 30 s after the last such report
TAIL_FRAMES = 2  # encoded after the sound: the encoder holds the last 6.5 ms back

ZEROS = np.zeros(VOICE_CHUNK, np.int16)
ZEROS.flags.writeable = False
RISE = np.linspace(0, 1, FADE, endpoint=False, dtype=np.float32)
FALL = RISE[::-1].copy()


class VoiceTrack(MediaStreamTrack):
    """The outbound audio track.

    Args:
        read: asked for 480 samples every 20 ms; int16 mono at 24 kHz, or None for silence
            (pipeline.session.Session.read). What it raises is logged once and becomes silence.
        encoder: of 24 kHz; None: the best there is.
        on_packet: called with (payload, ticks at 48 kHz since the first packet) of each packet.
        now, sleep: a monotonic clock in seconds and how to wait on it.
    """

    kind = "audio"

    def __init__(
        self,
        read: Callable[[int], np.ndarray | None],
        *,
        encoder: Encoder | None = None,
        on_packet: Callable[[bytes, int], None] | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__()
        self.asked = 0  # samples at 24 kHz asked of `read` so far
        self.skipped = 0  # frames left out after stalls
        self._read = read
        self._encoder = encoder or opus_encoder(VOICE_RATE)
        self._on_packet = on_packet
        self._now = now
        self._sleep = sleep
        self._start_s: float | None = None
        self._frame = 0  # the next one's number; its pts is this * FRAME
        self._returned = 0  # pts of the last packet
        self._last = 0  # sample that was handed out last
        self._silent = TAIL_FRAMES  # frames of silence so far
        self._silence = silent_packet()
        self._sender: RTCRtpSender | None = None
        self._sending: asyncio.Future[None] | None = None  # done when the track was stopped
        self._origin: int | None = None  # RTP timestamp of pts 0
        # Where `asked` and pts parted: (asked, pts) after each stall. Nobody asks about what is long past.
        self._rebased: deque[tuple[int, int]] = deque([(0, 0)], maxlen=16)
        self._protected_until = 0  # frame; 0: packets are not protected
        self._complained = False

    def bind(self, sender: RTCRtpSender) -> None:
        """The sender that sends this track: its RTP origin and the client's reports are read from it."""
        self._sender = sender

    @property
    def protected(self) -> bool:
        """Whether packets carry redundancy, because the client has told of losses."""
        return self._protected_until > 0

    def rtp_at(self, out_samples: int) -> int | None:
        """RTP timestamp of the sample before which `out_samples` had been asked of `read`.

        None before the first packet was sent, or where aiortc does not tell (a private name).
        """
        if self._origin is None:
            return None
        asked, pts = next((pair for pair in reversed(self._rebased) if pair[0] <= out_samples), (0, 0))
        return (self._origin + pts + (out_samples - asked) * PER_SAMPLE) % 2**32

    async def recv(self) -> av.Packet:
        """The next 20 ms, when they are due. Raises MediaStreamError once the track was stopped."""
        if self.readyState != "live":
            raise MediaStreamError
        if self._origin is None and self._learn_origin():
            outlet = Outlet.of(self._sender)
            if outlet is not None:
                await self._send(outlet)
                raise MediaStreamError
            log.warning("aiortc is not as expected; it sends the voice, which costs more CPU")
        if self._frame % REPORTS_EVERY == 0:
            await self._mind_losses()
        await self._wait()
        payload, pts = self._next_packet()
        packet = av.Packet(payload)
        packet.pts = pts
        packet.time_base = TIME_BASE
        return packet

    def stop(self) -> None:
        super().stop()
        self._stop_sending()

    def _stop_sending(self) -> None:
        if self._sending is not None and not self._sending.done():
            self._sending.set_result(None)

    async def _wait(self) -> None:
        early_s = self._early_s()
        if early_s > 0:
            await self._sleep(early_s)

    async def _send(self, outlet: Outlet) -> None:
        """Sends in the sender's place until the track was stopped or its transport closed."""
        sending = self._sending = asyncio.get_running_loop().create_future()

        def beat() -> None:
            while not sending.done() and self._early_s() <= EARLY_S:
                payload, pts = self._next_packet()
                try:
                    assert self._origin is not None
                    outlet.send(payload, (self._origin + pts) % 2**32)
                except ConnectionError:
                    self._stop_sending()
                except Exception:
                    self._complain("sending")

        pulse().join(beat)
        try:
            while not sending.done():
                await self._mind_losses()
                await asyncio.wait([sending], timeout=REPORTS_EVERY * FRAME_S)
        finally:
            pulse().leave(beat)

    def _early_s(self) -> float:
        """Seconds until the next frame is due; what is late beyond CATCH_UP frames has been left out."""
        if self._start_s is None:
            self._start_s = math.ceil(self._now() / FRAME_S) * FRAME_S
        early_s = self._start_s + self._frame * FRAME_S - self._now()
        behind = int(-early_s / FRAME_S)
        if behind > CATCH_UP:
            self.skipped += behind
            self._frame += behind
            self._rebased.append((self.asked, self._frame * FRAME))
        return early_s

    def _next_packet(self) -> tuple[bytes, int]:
        """The next 20 ms, encoded, and their pts."""
        try:
            payload = self._encode(self._next_sound())
        except Exception:
            self._complain("encoding")
            payload = self._silence
        pts = self._returned = self._frame * FRAME
        self._frame += 1
        if self._on_packet is not None:
            try:
                self._on_packet(payload, pts)
            except Exception:
                self._complain("the listener")
        return payload, pts

    # ------------------------------------------------------------------ sound

    def _next_sound(self) -> np.ndarray | None:
        """480 samples without a click at either edge; None: silence, and no sound is left to end."""
        try:
            sound = self._read(VOICE_CHUNK)
        except Exception:
            self._complain("reading the voice")
            sound = None
        self.asked += VOICE_CHUNK
        if sound is None or not len(sound):
            if self._silent >= TAIL_FRAMES:
                return None
            self._silent += 1
            return self._fall() if abs(self._last) > QUIET else ZEROS
        if len(sound) != VOICE_CHUNK or sound.dtype != np.int16:
            sound = self._fit(sound)
        if self._silent:
            if self._silent >= TAIL_FRAMES:
                self._encoder.reset()  # the decoder has heard silence that this encoder did not encode
            if abs(int(sound[0])) > QUIET:
                sound = sound.copy()
                sound[:FADE] = sound[:FADE] * RISE
            self._silent = 0
        self._last = int(sound[-1])
        return sound

    def _fall(self) -> np.ndarray:
        """From the last sample down to zero in 3 ms."""
        sound = ZEROS.copy()
        sound[:FADE] = self._last * FALL
        self._last = 0
        return sound

    def _fit(self, sound: np.ndarray) -> np.ndarray:
        fitted = ZEROS.copy()
        count = min(len(sound), VOICE_CHUNK)
        fitted[:count] = sound[:count]
        if count < VOICE_CHUNK and abs(int(fitted[count - 1])) > QUIET:
            ramp = min(FADE, VOICE_CHUNK - count)
            fitted[count : count + ramp] = int(fitted[count - 1]) * np.linspace(1, 0, ramp)
        return fitted

    async def _mind_losses(self) -> None:
        """Redundancy for a client that loses packets, and for nobody else: it is a third of the encoding."""
        if self._sender is None:
            return
        try:
            lost = await reported_loss(self._sender)
            if lost >= LOSSY:
                if not self.protected:
                    self._encoder.protect(True)
                self._protected_until = self._frame + PROTECTED_FRAMES
            elif self.protected and self._frame >= self._protected_until:
                self._encoder.protect(False)
                self._protected_until = 0
        except Exception:
            self._complain("reading the client's reports")

    def _encode(self, sound: np.ndarray | None) -> bytes:
        return self._silence if sound is None else self._encoder.encode(sound)

    # ------------------------------------------------------------------

    def _learn_origin(self) -> bool:
        """The sender adds its origin to each pts and keeps the sum of the last packet sent.

        It asks for a frame only after it has sent the one before, so that is the frame returned last.
        """
        sent = getattr(self._sender, SENT_TIMESTAMP, None)
        if sent is None or not self._frame or not getattr(self._sender, SENT_PACKETS, 0):
            return False
        self._origin = (sent - self._returned) % 2**32
        return True

    def _complain(self, what: str) -> None:
        if not self._complained:
            log.exception("%s failed; the call goes on (said once a call)", what)
        self._complained = True


@cache
def silent_packet() -> bytes:
    """20 ms of silence, encoded once; from complexity 5 on an encoder knows it and spends little on it."""
    encoder = opus_encoder(VOICE_RATE, complexity=5, bitrate=32_000)
    for _ in range(5):
        packet = encoder.encode(ZEROS)
    return packet


async def reported_loss(sender: RTCRtpSender) -> int:
    """What share of 256 packets the client lost, by its last report (RFC 3550 §6.4.1)."""
    stats = (await sender.getStats()).values()
    return max((each.fractionLost for each in stats if each.type == "remote-inbound-rtp"), default=0)
