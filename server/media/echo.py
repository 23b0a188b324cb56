"""The webcam, sent back without transcoding: encoded frames go from the receiver to the sender as they are.

In the receiver, our buffer takes the place of aiortc's (as in `media.ears`), so no frame is ever decoded,
and each is passed on with its last packet instead of with the first of the next (33 ms earlier). The sender
takes them as `av.Packet`. What remains is RTP: loss towards us is repaired by NACK and RTX, loss towards the
browser by aiortc's own retransmission, a key frame that the browser's decoder asks for is asked of its
encoder, and what the way back carries binds that encoder too (`media.return_path`). Where a private name is
missing, the picture is transcoded (about 0.15 core more).

Wiring (the whole of it is in `media.ears`):

    if offered_video_codec(offer_sdp):
        echo = VideoEcho()
        video = pc.addTransceiver(echo.track, direction="sendrecv")    # before setRemoteDescription
        prefer_one_video_codec(video, offer_sdp)
    await pc.setRemoteDescription(...)
    echo.attach(video.receiver, video.sender)                          # before setLocalDescription
    await pc.setLocalDescription(await pc.createAnswer())
    ...
    echo.close()
"""

from __future__ import annotations

import asyncio
import fractions
import logging
from collections import deque

import av
from aiortc import MediaStreamTrack, RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver, sdp
from aiortc.contrib.media import MediaRelay
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from aiortc.rtp import RtpPacket

from server.access.door import LimitSettings
from server.media.ears import RECEIVERS_BUFFER, our_codecs
from server.media.frames import EncodedFrame, FrameBuffer, starts_key_frame
from server.media.return_path import ReturnPath
from server.media.video_limits import VideoLimits

log = logging.getLogger(__name__)

RECEIVERS_CODECS = "_RTCRtpReceiver__codecs"  # aiortc 1.16: by payload type
SEND_PLI = "_send_rtcp_pli"  # of the receiver: asks the browser for a key frame
KEY_FRAME_WANTED = "_send_keyframe"  # of the sender: the browser asks us for one
VIDEO_TIME_BASE = fractions.Fraction(1, 90_000)
KEY_FRAME_EVERY_S = 0.3  # at most; a browser answers each with its largest frame
MOST_WAITING = 8  # frames; a sender 0.27 s behind at 30 fps is late enough to start afresh
JUMP = 90_000 * 10  # ticks: a step of the sender's clock, not a pause
STEP = 3000  # ticks, put in its place


def offered_video_codec(offer_sdp: str) -> RTCRtpCodecCapability | None:
    """The first video codec of an offer that aiortc can negotiate (VP8 or H.264); None: there is none.

    Raises ValueError when `offer_sdp` cannot be parsed.
    """
    ours = [codec for codec in our_codecs("video") if codec.name.lower() in ("vp8", "h264")]
    for media in sdp.SessionDescription.parse(offer_sdp).media:
        if media.kind == "video" and media.port:
            for codec in media.rtp.codecs:
                for mine in ours:
                    if _same_codec(mine.mimeType, mine.parameters, codec.mimeType, codec.parameters):
                        return mine
    return None


def prefer_one_video_codec(transceiver: RTCRtpTransceiver, offer_sdp: str) -> str | None:
    """Leaves exactly one video codec (and its retransmission), the first that the offer has.

    With two, the browser may switch in mid-call, and the sender would go on under the other's payload type.
    To be called before setRemoteDescription. Returns its MIME type; None: nothing in common.
    """
    chosen = offered_video_codec(offer_sdp)
    if chosen is None:
        return None
    rtx = [codec for codec in our_codecs("video") if codec.name.lower() == "rtx"]
    transceiver.setCodecPreferences([chosen, *rtx])
    return chosen.mimeType


def _same_codec(mine: str, my_parameters: dict, other: str, parameters: dict) -> bool:
    if mine.lower() != other.lower():
        return False
    if mine.lower() != "video/h264":
        return True
    try:
        return str(my_parameters.get("packetization-mode", "0")) == str(
            parameters.get("packetization-mode", "0")
        ) and _profile(my_parameters) == _profile(parameters)
    except ValueError:
        return False


def _profile(parameters: dict) -> sdp.H264Profile:
    # without one it is constrained baseline (RFC 6184 §8.1)
    return sdp.parse_h264_profile_level_id(str(parameters.get("profile-level-id", "42E01F")))[0]


class EchoTrack(MediaStreamTrack):
    """What is sent back: encoded frames, or where passing them through is impossible, decoded ones."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0  # frames that the sender was too slow for
        self._queue: deque[EncodedFrame] = deque()
        self._arrived = asyncio.Event()
        self._receiving = False  # the sender waits in recv
        self._until_key = True  # frames are dropped up to the next key frame
        self._decoded: MediaStreamTrack | None = None
        self._last: tuple[int, int] | None = None  # (RTP timestamp, pts) of the frame sent last

    def put(self, frame: EncodedFrame) -> None:
        """A frame to send. Never more than MOST_WAITING wait."""
        if self._until_key and not frame.key:
            self.dropped += 1
            return
        self._until_key = False
        if frame.key and self._queue:  # it stands for itself: what waits would only delay it
            self.dropped += len(self._queue)
            self._queue.clear()
        if len(self._queue) >= MOST_WAITING:
            self.dropped += len(self._queue) + 1
            self._queue.clear()
            self._until_key = True
            return
        self._queue.append(frame)
        self._arrived.set()

    def skip(self) -> None:
        """A frame that is not to be sent, and with it what leans on it."""
        self._until_key = True
        self.dropped += 1

    @property
    def wants_key(self) -> bool:
        """Frames were dropped, and the sender is ready again."""
        return self._until_key and self._receiving

    def transcode(self, source: MediaStreamTrack) -> None:
        """Sends the decoded frames of `source` instead, the newest whenever the sender is ready."""
        self._decoded = MediaRelay().subscribe(source, buffered=False)
        self._arrived.set()

    async def recv(self) -> av.Packet | av.VideoFrame:
        """The next frame. Raises MediaStreamError once the track was stopped."""
        while self.readyState == "live":
            if self._decoded is not None:
                return await self._decoded.recv()  # type: ignore[return-value]
            if self._queue:
                frame = self._queue.popleft()
                packet = av.Packet(frame.data)
                packet.pts = self._pts(frame.timestamp)
                packet.time_base = VIDEO_TIME_BASE
                return packet
            self._arrived.clear()
            self._receiving = True
            try:
                await self._arrived.wait()
            finally:
                self._receiving = False
        raise MediaStreamError

    def stop(self) -> None:
        super().stop()
        self._queue.clear()
        self._arrived.set()

    def _pts(self, timestamp: int) -> int:
        """Continuous ticks at 90 kHz, over the wrap at 2^32 and over another stream's beginning."""
        if self._last is None:
            pts = 0
        else:
            step = (timestamp - self._last[0] + 2**31) % 2**32 - 2**31
            pts = self._last[1] + (step if 0 < step < JUMP else STEP)
        self._last = (timestamp, pts)
        return pts


class VideoEcho:
    """One call's webcam: the track to send, and what feeds it."""

    def __init__(self, limits: LimitSettings | None = None) -> None:
        self.track = EchoTrack()
        self.passed = 0  # frames
        self.key_frames = 0  # of them
        self.key_frames_asked = 0  # PLIs sent to the browser
        self._frames = FrameBuffer()
        self._loop = asyncio.get_running_loop()
        self._limits = VideoLimits(limits or LimitSettings(), self._loop.time())
        self._receiver: RTCRtpReceiver | None = None
        self._ssrc: int | None = None
        self._asked_s = -KEY_FRAME_EVERY_S
        self._asking: asyncio.TimerHandle | None = None
        self._pli: asyncio.Task[None] | None = None
        self._closed = False

    def attach(self, receiver: RTCRtpReceiver, sender: RTCRtpSender, *, pass_through: bool = True) -> bool:
        """Joins receiver and sender; after setRemoteDescription and before setLocalDescription.

        Returns False where the picture is transcoded: as asked for, or because a private name is missing.
        """
        self._receiver = receiver
        private = (RECEIVERS_BUFFER, RECEIVERS_CODECS, SEND_PLI)
        missing = [name for name in private if not hasattr(receiver, name)]
        if not hasattr(sender, KEY_FRAME_WANTED):
            missing.append(KEY_FRAME_WANTED)
        if pass_through and not missing:
            setattr(receiver, RECEIVERS_BUFFER, self)
            setattr(sender, KEY_FRAME_WANTED, self.ask_key_frame)
            ReturnPath().attach(receiver, sender)
            return True
        if missing:
            log.warning("aiortc has no %s; the webcam is transcoded", ", ".join(missing))
        if receiver.track is not None:
            self.track.transcode(receiver.track)
        return False

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """What aiortc's receiver calls with every packet: (send a PLI?, frame to decode)."""
        if self._closed:
            return False, None
        self._ssrc = packet.ssrc
        data: bytes = packet._data  # type: ignore[attr-defined]  # set by the receiver just before
        codec = getattr(self._receiver, RECEIVERS_CODECS)[packet.payload_type].name.upper()
        now_s = self._loop.time()
        for frame in self._frames.push(
            packet.sequence_number,
            packet.timestamp,
            bool(packet.marker),
            data,
            starts_key=starts_key_frame(codec, packet.payload, data),
            now_s=now_s,
            ssrc=packet.ssrc,
        ):
            if not self._limits.takes(frame, codec, now_s):
                self.track.skip()
                continue
            self.passed += 1
            if frame.key:
                self.key_frames += 1
                self._cancel_request()
            self.track.put(frame)
        wanted = self._frames.wants_key or self.track.wants_key
        return wanted and not self._limits.shut(now_s) and self._may_ask(), None

    def ask_key_frame(self) -> None:
        """Asks the browser for a key frame: now, or 0.3 s after the last time unless one has come by then."""
        if self._closed or self._asking is not None:
            return
        wait = self._asked_s + KEY_FRAME_EVERY_S - self._loop.time()
        self._asking = self._loop.call_later(max(0.0, wait), self._send_pli)

    def close(self) -> None:
        """Ends the track; no task or timer is left."""
        self._closed = True
        self._cancel_request()
        if self._pli is not None:
            self._pli.cancel()
        self.track.stop()

    def _send_pli(self) -> None:
        self._asking = None
        if self._ssrc is not None and self._may_ask():
            self._pli = self._loop.create_task(
                getattr(self._receiver, SEND_PLI)(self._ssrc), name="key frame request"
            )

    def _may_ask(self) -> bool:
        now = self._loop.time()
        if now - self._asked_s < KEY_FRAME_EVERY_S - 0.001:
            return False
        self._asked_s = now
        self.key_frames_asked += 1
        return True

    def _cancel_request(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        self._asking = None
