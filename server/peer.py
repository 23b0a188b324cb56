"""One RTCPeerConnection and the one Session that speaks through it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from aiortc import RTCConfiguration, RTCDataChannel, RTCIceServer, RTCPeerConnection, RTCSessionDescription

from pipeline import events as ev
from pipeline.errors import CallError
from pipeline.session import Session
from server.config import ServerSettings
from server.ears import Ears, prefer_opus
from server.echo import VideoEcho, offered_video_codec, prefer_one_video_codec
from server.ending import begin_nothing_after_close
from server.offer import offers_data_channel
from server.realtime import Realtime
from server.voicetrack import VoiceTrack
from server.workers import BadOffer

log = logging.getLogger(__name__)

EVENTS_CHANNEL = "oai-events"
MOUTH_CHANNEL = "viva-visemes"  # unordered, unreliable: a late mouth shape is worth nothing
# A client that does not read: mouth shapes are dropped, and a call whose events pile up is ended.
MOST_BUFFERED = 256 * 1024  # bytes


class Peer:
    """A call: made from an offer, alive until someone hangs up or the network does.

    Args:
        call_id: for the log.
        session: the conversation; it lives in this peer's task group.
        silence_after_ms: without packets for so long, the session is fed silence.
    """

    def __init__(
        self, call_id: str, session: Session, settings: ServerSettings, *, silence_after_ms: int = 100
    ) -> None:
        self.call_id = call_id
        self.session = session
        self._settings = settings
        self._silence_after_ms = silence_after_ms
        servers = [RTCIceServer(urls=url) for url in settings.ice_servers]
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._voice = VoiceTrack(session.read)
        self._ears: Ears | None = None
        self._echo: VideoEcho | None = None
        self._events: RTCDataChannel | None = None
        self._mouth: RTCDataChannel | None = None
        self._wire = Realtime(session, self._send)
        self._expects_events = False
        self._connected = asyncio.Event()
        self._over = asyncio.Event()
        self._why = ""

    # ------------------------------------------------------------ signalling

    async def answer(self, offer: str, session: str = "") -> str:
        """The SDP answer, with all candidates. `session`: JSON of a Realtime session object, or nothing.

        Raises BadOffer; then the connection has been closed.
        """
        try:
            if session:
                self._configure(session)
            return await self._negotiate(offer)
        except BaseException:
            await self._close()
            raise

    def _configure(self, text: str) -> None:
        try:
            self._wire.configure(json.loads(text))
        except CallError as error:
            raise BadOffer(error.code, str(error), error.param) from None
        except (ValueError, RecursionError):
            raise BadOffer("invalid_json", "the part session is not JSON", "session") from None

    async def _negotiate(self, offer: str) -> str:
        pc = self._pc
        pc.on("connectionstatechange", self._state_changed)
        pc.on("datachannel", self._channel_opened)
        self._expects_events = offers_data_channel(offer)
        audio = pc.addTransceiver(self._voice, direction="sendrecv")
        prefer_opus(audio)
        self._voice.bind(audio.sender)
        video = None
        try:
            if offered_video_codec(offer):
                self._echo = VideoEcho()
                video = pc.addTransceiver(self._echo.track, direction="sendrecv")
                prefer_one_video_codec(video, offer)
            await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        except Exception as error:  # aiortc's parser and negotiation raise what comes to hand
            raise BadOffer("invalid_offer", f"the offer cannot be answered: {_short(error)}") from error
        self._ears = Ears(
            audio.receiver,
            audio.receiver.track,
            self.session.hear,
            silence_after_ms=self._silence_after_ms,
        )
        self._ears.attach()
        if self._echo and video:
            self._echo.attach(video.receiver, video.sender)
        begin_nothing_after_close(pc)
        await pc.setLocalDescription(await pc.createAnswer())
        return pc.localDescription.sdp

    # ------------------------------------------------------------ life

    async def run(self) -> None:
        """The call itself, after `answer`; returns when it is over and nothing of it is left."""
        assert self._ears is not None
        try:
            async with asyncio.TaskGroup() as call:
                tasks = [
                    call.create_task(self.session.run(), name=f"session {self.call_id}"),
                    call.create_task(self._ears.run(), name=f"ears {self.call_id}"),
                    call.create_task(self._greet_in_time(), name=f"greet {self.call_id}"),
                ]
                tasks[0].add_done_callback(lambda _: self.hang_up("the session ended"))
                await self._until_over()
                for task in tasks:
                    task.cancel()
        finally:
            await self._close()
            log.info("%s over: %s", self.call_id, self._why or "cancelled")

    def hang_up(self, why: str) -> None:
        """Ends the call; `run` returns soon after."""
        self._why = self._why or why
        self._over.set()

    async def _until_over(self) -> None:
        over = asyncio.create_task(self._over.wait(), name=f"over {self.call_id}")
        connected = asyncio.create_task(self._connected.wait(), name=f"connected {self.call_id}")
        try:
            # aioice waits for more candidates for as long as it takes: the bound has to be ours
            await asyncio.wait(
                {over, connected},
                timeout=self._settings.connect_timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not connected.done():
                self.hang_up("never connected")
            await over
        finally:
            over.cancel()
            connected.cancel()

    async def _greet_in_time(self) -> None:
        """Greets a client that does not say when it is ready: one without events, or a silent one."""
        await self._connected.wait()
        if self._expects_events:
            await asyncio.sleep(self._settings.greet_after_s)
        self.session.greet()

    async def _close(self) -> None:
        self.session.attach(None)
        if self._ears is not None:
            self._ears.close()
        if self._echo is not None:
            self._echo.close()
        self._voice.stop()
        await self._pc.close()

    def _state_changed(self) -> None:
        state = self._pc.connectionState
        if state == "connected":
            self._connected.set()
        elif state == "failed":
            self.hang_up("the network was lost")
        elif state == "closed":
            self.hang_up("the other side closed the connection")

    # ------------------------------------------------------------ channels

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        if channel.label == EVENTS_CHANNEL and self._events is None:
            self._events = channel
            channel.on("message", self._wire.handle)
            self._wire.opened()
            self.session.attach(self._tell)
        elif channel.label == MOUTH_CHANNEL and self._mouth is None:
            self._mouth = channel
        else:
            channel.close()

    def _tell(self, event: ev.Event) -> None:
        if isinstance(event, ev.Shapes):
            self._show_mouth(event)
        else:
            self._wire.tell(event)

    def _send(self, event: dict[str, Any]) -> None:
        channel = self._events
        if channel is None or channel.readyState != "open":
            return
        if channel.bufferedAmount > MOST_BUFFERED:
            self.hang_up("the client does not read its events")
            return
        channel.send(json.dumps(event, ensure_ascii=False, separators=(",", ":")))

    def _show_mouth(self, event: ev.Shapes) -> None:
        channel = self._mouth
        if channel is None or channel.readyState != "open" or channel.bufferedAmount > MOST_BUFFERED:
            return
        rtp = self._voice.rtp_at(event.out_at)
        if rtp is not None:
            channel.send(json.dumps({"rtp": rtp, "shapes": event.shapes}, separators=(",", ":")))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
