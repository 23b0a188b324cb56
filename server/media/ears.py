"""Inbound Opus to 20 ms chunks at 16 kHz, handed on where the packet arrives.

aiortc's own audio buffer costs 81 ms, and after one lost packet about 280 ms for the rest of the call
(measured, aiortc 1.16). So ours takes its place in the receiver: RTP and RTCP stay aiortc's (receiver
reports are untouched), but every packet goes through `media.jitter` and libopus straight to the pipeline,
without a thread or a queue. The attribute's name is private; where it is missing, the track is consumed.
From a stream's second packet on aiortc's tasks are passed by as well (`media.rtp`).

How the one who answers wires a call (see also `media.voicetrack`, `media.echo`); the order matters:

    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    # 1. transceivers before setRemoteDescription: codecs are negotiated there
    voice = VoiceTrack(session.read)
    audio = pc.addTransceiver(voice, direction="sendrecv")
    prefer_opus(audio)
    voice.bind(audio.sender)                      # for voice.rtp_at(out_samples)
    echo = None
    if offered_video_codec(offer_sdp):            # the offer has a video section we can answer
        echo = VideoEcho()
        video = pc.addTransceiver(echo.track, direction="sendrecv")
        prefer_one_video_codec(video, offer_sdp)
    # 2. the offer
    await pc.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
    # 3. our buffers, before setLocalDescription: packets come as soon as it has been called
    ears = Ears(audio.receiver, audio.receiver.track, session.hear)
    ears.attach()
    if echo:
        echo.attach(video.receiver, video.sender)
    # 4. the answer
    await pc.setLocalDescription(await pc.createAnswer())
    answer_sdp = ask_for_wide_band(pc.localDescription.sdp)
    # 5. in the call's TaskGroup, once connected
    call.create_task(ears.run(), name="ears")     # feeds silence when packets stop; cancel it to end
    # at the end: cancel that task, echo.close(), await pc.close()

Without Opus in the offer, or without any common video codec, setRemoteDescription raises aiortc's
OperationError: that is a 4xx.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCRtpReceiver, RTCRtpTransceiver
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from aiortc.rtp import RtpPacket

from pipeline.audio import CHUNK_MS, MIC_CHUNK, MIC_RATE, AudioChunk
from server.access.limits import Bucket
from server.media.jitter import Arrived, JitterBuffer, Lost, Output
from server.media.opus import CLOCK_RATE, opus_decoder, packet_samples
from server.media.rtp import Inlet

log = logging.getLogger(__name__)

RECEIVERS_BUFFER = "_RTCRtpReceiver__jitter_buffer"  # aiortc 1.16
CHUNK_S = CHUNK_MS / 1000
PER_SAMPLE = CLOCK_RATE // MIC_RATE  # ticks of the RTP clock in one of our samples
WISHES = f"minptime=10;useinbandfec=1;maxplaybackrate={MIC_RATE};maxaveragebitrate=24000"
FASTEST = 1.5  # seconds of sound in one, sustained: clocks differ, but a client that sends more is hostile
CATCH_UP_S = 15.0  # of sound at once, after a network has stood still
SILENCE = np.zeros(MIC_CHUNK, np.int16)
SILENCE.flags.writeable = False
# A timer that fires so late means that the loop stood still: packets may wait in the socket, so
# they are read first, before silence is put in their place.
STALLED_S = 0.03
READ_FIRST_S = 0.005
# A network that holds packets up again and again is waited for that much longer than its longest delay.
STALL_MARGIN_S = 0.04
# Silence is fed this much behind: the packet that ends a pause is not due before that, and a chunk fed in
# its place would make the timeline longer.
SLACK_S = CHUNK_S
CLOCK_GRAIN_S = 0.001  # a timer of the loop may fire so early


def our_codecs(kind: str) -> list[RTCRtpCodecCapability]:
    """What aiortc can negotiate; `kind` is "audio" or "video"."""
    capabilities = RTCRtpReceiver.getCapabilities(kind)
    return [] if capabilities is None else capabilities.codecs


def prefer_opus(transceiver: RTCRtpTransceiver) -> None:
    """Leaves Opus as the only audio codec; to be called before setRemoteDescription."""
    transceiver.setCodecPreferences([codec for codec in our_codecs("audio") if codec.name.lower() == "opus"])


def ask_for_wide_band(answer_sdp: str) -> str:
    """The answer, with what we would like to be sent (RFC 7587 §6.1): as much as 16 kHz hold, and redundancy.

    A browser then spends its bits below 8 kHz, where all of ours are heard: two thirds of the bytes of full
    band, and half the work to decode it. The redundancy comes when it learns of losses (§3.2).
    """
    return re.sub(
        r"(?m)^a=rtpmap:(\d+) opus/48000/2\r\n(?!a=fmtp:\1 )",
        lambda match: f"{match[0]}a=fmtp:{match[1]} {WISHES}\r\n",
        answer_sdp,
        flags=re.IGNORECASE,
    )


class Ears:
    """The inbound half of a call's audio.

    Args:
        receiver: of the audio transceiver, after setRemoteDescription.
        track: the receiver's track; None where the client sends no audio.
        on_chunk: called on the loop with every 20 ms: 16 kHz mono int16, shape (320,), `at` continuous.
        silence_after_ms: without packets for so long, silence is fed in real time until they return.
        on_packet: called with (payload, RTP timestamp) of each Opus packet, in order, before its sound.
        own_buffer: False takes decoded frames from the track, as if the private name were missing.
    """

    def __init__(
        self,
        receiver: RTCRtpReceiver,
        track: MediaStreamTrack | None,
        on_chunk: Callable[[AudioChunk], None],
        *,
        silence_after_ms: int = 100,
        on_packet: Callable[[bytes, int], None] | None = None,
        own_buffer: bool = True,
    ) -> None:
        self.at = 0  # samples at 16 kHz handed on so far
        self.flood = 0  # chunks thrown away, as more came than a voice can have
        self.fed = 0  # of them: silence in place of packets that did not come
        self.attached = False
        self._receiver = receiver
        self._track = track
        self._on_chunk = on_chunk
        self._on_packet = on_packet
        self._own_buffer = own_buffer
        self._silence_after_s = silence_after_ms / 1000
        self._loop = asyncio.get_running_loop()
        self._jitter = JitterBuffer(packet_samples)
        self._decoder = opus_decoder(MIC_RATE)
        self._inlet: Inlet | None = None
        self._rest = SILENCE[:0]  # less than a chunk
        self._covered_s = self._loop.time()  # up to here sound or silence was handed on
        self._gap_timer: asyncio.TimerHandle | None = None
        self._silence_timer: asyncio.TimerHandle | None = None
        self._feeding = False  # silence, at present
        self._closed = asyncio.Event()
        self._complained = False
        self._pace = Bucket(FASTEST, CATCH_UP_S, self._loop.time())

    @property
    def figures(self) -> dict[str, int]:
        """What the network did so far, in packets, and the silence fed, in ms."""
        jitter = self._jitter.figures
        return {
            "received": jitter.received,
            "lost": jitter.lost,
            "late": jitter.late,
            "overtaken": jitter.overtaken,
            "wait_packets": self._jitter.wait_packets,
            "restarts": jitter.restarts,
            "fed_ms": 1000 * self.fed // MIC_RATE,
        }

    def attach(self) -> bool:
        """Takes the place of the receiver's buffer; before setLocalDescription.

        Returns False where aiortc has none by that name: then `run` consumes the track instead.
        """
        self.attached = self._own_buffer and hasattr(self._receiver, RECEIVERS_BUFFER)
        if self.attached:
            setattr(self._receiver, RECEIVERS_BUFFER, self)
        elif self._own_buffer:
            log.warning("aiortc has no %s; inbound audio goes through its own buffer", RECEIVERS_BUFFER)
        return self.attached

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """What aiortc's receiver calls with every packet: (send a PLI?, frame to decode)."""
        if not self._closed.is_set():
            if self._inlet is None or self._inlet.ssrc != packet.ssrc:
                if self._inlet is not None:
                    self._inlet.close()
                self._inlet = Inlet.of(self._receiver, packet, self._take)
            self._take(packet.sequence_number, packet.timestamp, packet.payload, packet.ssrc)
        return False, None

    async def run(self) -> None:
        """Feeds silence when packets stop (and before the first), until `close` or its cancellation."""
        self._covered_s = self._loop.time()
        self._watch(self._covered_s + self._silence_after_s)
        try:
            if not self.attached and self._track is not None:
                await self._consume(self._track)
            await self._closed.wait()
        finally:
            self.close()

    def close(self) -> None:
        """Nothing is handed on after this."""
        self._closed.set()
        if self._inlet is not None:
            self._inlet.close()
            self._inlet = None
        for timer in (self._gap_timer, self._silence_timer):
            if timer is not None:
                timer.cancel()
        self._gap_timer = self._silence_timer = None

    # ------------------------------------------------------------------ sound

    def _take(self, sequence: int, timestamp: int, payload: bytes, ssrc: int) -> None:
        """One packet, from aiortc's loops or past them."""
        now_s = self._loop.time()
        self._hand_on(self._jitter.push(sequence, timestamp, payload, now_s, ssrc), now_s)
        due = self._jitter.due_s
        if due is not None and self._gap_timer is None:
            self._gap_timer = self._loop.call_at(due, self._give_up_gap, due)

    def _hand_on(self, outputs: list[Output], now_s: float) -> None:
        for output in outputs:
            if isinstance(output, Arrived):
                if self._on_packet is not None:
                    self._guarded(self._on_packet, output.payload, output.timestamp)
                self._cut(self._decoder.decode(output.payload))
            elif isinstance(output, Lost):
                self._cut(self._decoder.conceal(output.samples // PER_SAMPLE, output.next_payload))
            else:
                self._cut(np.zeros(output.samples // PER_SAMPLE, np.int16))
        if outputs:
            self._covered_s, self._feeding = now_s, False

    def _cut(self, sound: np.ndarray) -> None:
        """Hands on whole chunks and keeps the rest."""
        if len(sound) == MIC_CHUNK and not len(self._rest):
            self._emit(sound)
            return
        if len(self._rest):
            sound = np.concatenate([self._rest, sound])
        whole = len(sound) - len(sound) % MIC_CHUNK
        for start in range(0, whole, MIC_CHUNK):
            self._emit(sound[start : start + MIC_CHUNK])
        self._rest = sound[whole:]

    def _emit(self, samples: np.ndarray) -> None:
        if self._pace.take(self._loop.time(), CHUNK_MS / 1000):
            self.flood += 1
            return
        chunk = AudioChunk(samples, MIC_RATE, self.at)
        self.at += MIC_CHUNK
        self._guarded(self._on_chunk, chunk)

    def _guarded(self, listener: Callable[..., None], *values: object) -> None:
        """An exception in here would end aiortc's transport, and with it the whole call."""
        try:
            listener(*values)
        except Exception:
            if not self._complained:
                log.exception("a listener of inbound audio failed; said once a call")
            self._complained = True

    async def _consume(self, track: MediaStreamTrack) -> None:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=MIC_RATE)
        try:
            while True:
                frame = await track.recv()
                if isinstance(frame, av.AudioFrame):
                    frame.pts = None
                    for part in resampler.resample(frame):
                        self._cut(part.to_ndarray().reshape(-1))
                    self._covered_s, self._feeding = self._loop.time(), False
        except MediaStreamError:
            return

    # ------------------------------------------------------------------ time

    def _give_up_gap(self, due_s: float) -> None:
        now_s = self._loop.time()
        due: float | None = now_s + READ_FIRST_S
        if now_s - due_s <= STALLED_S:
            self._hand_on(self._jitter.tick(now_s), now_s)
            due = self._jitter.due_s
        self._gap_timer = None if due is None else self._loop.call_at(due, self._give_up_gap, due)

    def _watch(self, due_s: float) -> None:
        self._silence_timer = self._loop.call_at(due_s, self._feed_silence, due_s)

    def _silence_from_s(self, now: float) -> float:
        """When silence takes the place of packets that do not come, were it so from now on."""
        if now < self._covered_s + self._silence_after_s - CLOCK_GRAIN_S:
            return self._covered_s + self._silence_after_s
        stall_s = self._jitter.stall_s(now)
        waiting_s = max(self._silence_after_s, stall_s + STALL_MARGIN_S if stall_s else 0.0)
        gap_s = self._jitter.due_s
        # What is there behind a gap is heard first.
        return max(self._covered_s + waiting_s, 0.0 if gap_s is None else gap_s + READ_FIRST_S)

    def _feed_silence(self, due_s: float) -> None:
        """What is missing up to now, in whole chunks counted from the last sound: an absolute schedule."""
        now = self._loop.time()
        if not self._feeding:
            expected_s = self._silence_from_s(now)
            if now < expected_s - CLOCK_GRAIN_S:
                self._watch(expected_s)  # packets came: the usual case
                return
        if now - due_s > STALLED_S:
            self._watch(now + READ_FIRST_S)
            return
        self._feeding = True
        missing = int((now - self._covered_s - SLACK_S + CLOCK_GRAIN_S) / CHUNK_S)
        for _ in range(missing):
            added = MIC_CHUNK - len(self._rest)
            self._emit(np.concatenate([self._rest, SILENCE[:added]]) if len(self._rest) else SILENCE)
            self._rest = SILENCE[:0]
            self.fed += added
            self._jitter.filled(added * PER_SAMPLE)
        self._covered_s += missing * CHUNK_S
        self._watch(self._covered_s + SLACK_S + CHUNK_S)
