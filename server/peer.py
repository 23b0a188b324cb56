"""A line over WebRTC: one RTCPeerConnection with its media and its channels."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from pipeline import events as ev
from server.access.limits import Flow
from server.call import Call
from server.config import ServerSettings
from server.media.ears import Ears, ask_for_wide_band, prefer_opus
from server.media.echo import VideoEcho, offered_video_codec, prefer_one_video_codec
from server.media.voicetrack import VoiceTrack
from server.transport.datagrams import let_in_what_fits
from server.transport.ending import begin_nothing_after_close
from server.transport.ice import Ice, reachable
from server.transport.offer import offers_data_channel
from server.transport.reassembly import bound_reassembly
from server.wire.realtime import by_the_track
from server.workers import BadOffer

log = logging.getLogger(__name__)

EVENTS_CHANNEL = "oai-events"
MOUTH_CHANNEL = "viva-visemes"  # unordered, unreliable: a late mouth shape is worth nothing
WAITING_BEHIND = 64 * 1024  # bytes of further events, behind a packet that was lost
# A client that does not read: mouth shapes are dropped, and a call whose events pile up is ended.
MOST_BUFFERED = 256 * 1024  # bytes


class Peer:
    """A `server.line.Line`: made from an offer, alive until it is closed or the network ends it.

    Args:
        call: what it carries.
        ice: finds the way to the client.
        silence_after_ms: without packets for so long, the call is fed silence.
    """

    kind = "webrtc"

    def __init__(
        self, call: Call, settings: ServerSettings, ice: Ice, *, silence_after_ms: int = 100
    ) -> None:
        self._call = call
        self._settings = settings
        self._ice = ice
        self._silence_after_ms = silence_after_ms
        self._pc = RTCPeerConnection(ice.configuration())
        self._voice = VoiceTrack(lambda count: call.read(self, count))
        self._ears: Ears | None = None
        self._echo: VideoEcho | None = None
        self._events: RTCDataChannel | None = None
        self._mouth: RTCDataChannel | None = None
        self._expects_events = False
        self._bound: asyncio.TimerHandle | None = None  # to be connected by then
        self._connected = asyncio.Event()
        self._over = asyncio.Event()
        self._why = ""

    # ------------------------------------------------------------ signalling

    async def answer(self, offer: str) -> str:
        """The SDP answer, with all candidates. Raises BadOffer; then the connection has been closed."""
        try:
            return await self._negotiate(offer)
        except BaseException:
            await self._clean_up()
            raise

    async def _negotiate(self, offer: str) -> str:
        pc = self._pc
        pc.on("connectionstatechange", self._state_changed)
        pc.on("datachannel", self._channel_opened)
        self._expects_events = offers_data_channel(offer)
        audio = pc.addTransceiver(self._voice, direction="sendrecv")
        prefer_opus(audio)
        self._voice.bind(audio.sender)
        video = None
        with _blaming_the_offer():
            if offered_video_codec(offer):
                self._echo = VideoEcho(self._call.limits)
                video = pc.addTransceiver(self._echo.track, direction="sendrecv")
                prefer_one_video_codec(video, offer)
            await pc.setRemoteDescription(RTCSessionDescription(reachable(offer), "offer"))
        self._ears = Ears(
            audio.receiver,
            audio.receiver.track,
            lambda chunk: self._call.hear(self, chunk),
            silence_after_ms=self._silence_after_ms,
        )
        self._ears.attach()
        if self._echo and video:
            self._echo.attach(video.receiver, video.sender)
        if pc.sctp is not None:
            waiting = 2 * self._call.limits.event_bytes + WAITING_BEHIND
            bound_reassembly(pc.sctp, waiting, lambda: self.close("the client sent a message without an end"))
        ears = self._ears
        begin_nothing_after_close(
            pc, lambda: self.close("the network was lost"), lambda: ears.figures["received"]
        )
        let_in_what_fits(pc)
        self._ice.prepare(pc)
        with _blaming_the_offer():
            await pc.setLocalDescription(await pc.createAnswer())
        return ask_for_wide_band(pc.localDescription.sdp)

    # ------------------------------------------------------------ life

    async def run(self) -> str:
        """After `answer`: the line itself. Returns why it is over; then nothing of it is left."""
        assert self._ears is not None
        # aioice waits for more candidates for as long as it takes: the bound has to be ours
        loop, within_s = asyncio.get_running_loop(), self._settings.connect_timeout_s
        self._bound = loop.call_later(within_s, self.close, "never connected")
        try:
            async with asyncio.TaskGroup() as line:
                tasks = [
                    line.create_task(self._ears.run(), name=f"ears {self._call.id}"),
                    line.create_task(self._greet_in_time(), name=f"greet {self._call.id}"),
                ]
                await self._over.wait()
                for task in tasks:
                    task.cancel()
        finally:
            self._bound.cancel()
            await self._clean_up()
        return self._why

    def close(self, why: str) -> None:
        """Ends the line; `run` returns soon after."""
        self._why = self._why or why
        self._voice.stop()
        self._over.set()

    async def _greet_in_time(self) -> None:
        """Greets a client that does not say when it is ready: one without events, or a silent one."""
        await self._connected.wait()
        if self._expects_events:
            await asyncio.sleep(self._settings.greet_after_s)
        self._call.session.greet()

    async def _clean_up(self) -> None:
        if self._ears is not None:
            self._ears.close()
        if self._echo is not None:
            self._echo.close()
        self._voice.stop()
        await self._pc.close()

    def _state_changed(self) -> None:
        state = self._pc.connectionState
        if state == "connected":
            if self._bound is not None:
                self._bound.cancel()
            self._connected.set()
            self._call.connected(self)
        elif state == "failed":
            self.close("the network was lost")
        elif state == "closed":
            self.close("the other side closed the connection")

    # ------------------------------------------------------------ channels

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        if channel.label == EVENTS_CHANNEL and self._events is None:
            self._events = channel
            flow = Flow(self._call.limits, asyncio.get_running_loop().time())
            channel.on("message", lambda text: self._received(text, flow))
            self._call.opened(self)
        elif channel.label == MOUTH_CHANNEL and self._mouth is None:
            self._mouth = channel
        else:
            channel.close()

    def _received(self, text: str | bytes, flow: Flow) -> None:
        """A channel cannot be made to wait: whoever sends too much is cut off."""
        size = len(text.encode(errors="surrogatepass")) if isinstance(text, str) else len(text)
        if size > self._call.limits.event_bytes:
            self.close("the client sent an event that is too large")
        elif flow.spend(size, asyncio.get_running_loop().time()):
            self.close("the client sent too much")
        else:
            self._call.handle(self, text)

    def send(self, event: dict[str, Any]) -> None:
        """A client whose events pile up is cut off."""
        channel = self._events
        if channel is None or channel.readyState != "open":
            return
        if channel.bufferedAmount > MOST_BUFFERED:
            self.close("the client does not read its events")
            return
        channel.send(json.dumps(event, ensure_ascii=False, separators=(",", ":")))

    def append(self, event: dict[str, Any], format: str) -> None:
        by_the_track(event)

    def show_mouth(self, shapes: ev.Shapes) -> None:
        """With the RTP timestamp of the sound that they belong to."""
        channel = self._mouth
        if channel is None or channel.readyState != "open" or channel.bufferedAmount > MOST_BUFFERED:
            return
        rtp = self._voice.rtp_at(shapes.out_at)
        if rtp is not None:
            channel.send(json.dumps({"rtp": rtp, "shapes": shapes.shapes}, separators=(",", ":")))


@contextmanager
def _blaming_the_offer() -> Iterator[None]:
    """aiortc's parser and negotiation raise what comes to hand."""
    try:
        yield
    except Exception as error:
        raise BadOffer("invalid_offer", f"the offer cannot be answered: {_short(error)}") from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
