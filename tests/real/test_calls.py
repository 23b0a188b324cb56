"""Calls between two real peers: from the offer to the last socket."""

from __future__ import annotations

import asyncio
import ctypes
import fractions
import gc
import threading
import time
from itertools import pairwise
from typing import Any

import av
import numpy as np
import psutil
import pytest
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

from pipeline.settings import Settings
from pipeline.tts import espeak
from server.access.door import LimitSettings
from server.peer import Peer
from tests.real.loss import LossyPath, without_candidates
from tests.real.served import CALLS, Caller, Served, caller, served, udp_sockets, until
from tests.session.call import Ears, Mind
from tests.sounds import silence, speech

QUESTION = "what is a cache"
STUN_SUCCESS = b"\x01\x01"  # a binding's, RFC 8489 §5
FACES = {"rest", "MBP", "FV", "TH", "S", "EE", "EH", "AH", "OH", "OO"}

pytestmark = pytest.mark.real


async def hung_up(server: Served, one: Caller) -> int:
    async with server.http.delete(server.url + one.location) as response:
        return response.status


async def test_a_stock_client_is_greeted_after_its_update_and_hears_the_voice() -> None:
    async with served() as server, caller(server) as one:
        created = await one.until("session.created")
        assert created["session"]["type"] == "realtime"
        assert "viva" not in created["session"]
        one.send("session.update", session={"type": "realtime", "instructions": "Be brief."})
        updated = await one.until("session.updated")
        assert updated["session"]["instructions"] == "Be brief."
        track = one.pc.getReceivers()[0].track
        await one.until("output_audio_buffer.started")
        assert await loudest(track) > 1000
        done = await one.until("response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"] == "Hello there."
        assert not [event for event in one.events if event["type"].startswith("viva.")]
        await one.until("output_audio_buffer.stopped")


async def test_hanging_up_what_the_other_side_has_just_closed_is_no_mistake() -> None:
    async with served() as server, caller(server) as one:
        await one.until("session.created")
        await one.close()
        await server.until_idle()
        assert await hung_up(server, one) == 204


async def loudest(track: MediaStreamTrack, within_s: float = 2.0) -> int:
    """The highest sample that arrives within that time, or the first that is loud."""
    peak, end = 0, time.monotonic() + within_s
    while peak < 1000 and time.monotonic() < end:
        frame: Any = await asyncio.wait_for(track.recv(), 2)
        peak = max(peak, int(np.abs(frame.to_ndarray()).max()))
    return peak


async def test_speech_is_heard_answered_and_shown_on_the_wire() -> None:
    microphone = Microphone(np.concatenate([silence(500), speech(QUESTION), silence(6000)]))
    ears, mind = Ears([[QUESTION]]), Mind(["A small fast store."])
    async with (
        # patient: on a busy machine there are gaps in the sound
        served(ears=ears, mind=mind, call={"greet": False, "patience": 4.0}) as server,
        caller(server, audio=microphone) as one,
    ):
        await one.until("session.created")
        one.send("session.update", session={"viva": {"greet": False}})
        heard = await one.until("conversation.item.input_audio_transcription.completed")
        assert heard["transcript"] == QUESTION
        done = await one.until("response.done")
        assert done["response"]["status"] == "completed"
        assert done["response"]["output"][0]["content"][0]["transcript"] == "A small fast store."
        await one.until("viva.turn_metrics")
        phases = [event["phase"] for event in one.events if event["type"] == "viva.floor"]
        assert [phase for phase in ("hearing", "paused", "answering") if phase in phases] == [
            "hearing",
            "paused",
            "answering",
        ]
        words = [event["text"] for event in one.events if event["type"] == "viva.word"]
        assert "".join(words).split() == ["A", "small", "fast", "store."]


async def test_with_all_that_is_embedded_a_spoken_answer_is_understood_and_replied_to_aloud() -> None:
    said = "i would put a cache in front of the database"
    microphone = Microphone(np.concatenate([silence(500), speech(said), silence(20_000)]))
    call = {"mode": "interview", "greet": False, "topic": "system_design"}
    async with (
        served(embedded=True, call=call) as server,
        caller(server, audio=microphone) as one,
    ):
        await one.until("session.created")
        one.send("session.update", session={"viva": {"greet": False}})
        heard = await one.until("conversation.item.input_audio_transcription.completed", 20)
        assert len(set(said.split()) & set(heard["transcript"].split())) >= 6, heard["transcript"]
        await one.until("output_audio_buffer.started")
        assert await loudest(one.pc.getReceivers()[0].track, 5.0) > 1000
        await one.until("response.output_audio_transcript.delta")
        await until(lambda: bool(one.shapes))


class Microphone(MediaStreamTrack):
    """Plays a sound at 16 kHz in real time."""

    kind = "audio"

    def __init__(self, sound: np.ndarray) -> None:
        super().__init__()
        self._sound, self._at, self._start = sound, 0, 0.0

    async def recv(self) -> Any:
        self._start = self._start or time.monotonic()
        await asyncio.sleep(max(0.0, self._start + self._at / 16_000 - time.monotonic()))
        piece = np.zeros(320, np.int16)
        rest = self._sound[self._at : self._at + 320]
        piece[: len(rest)] = rest
        frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, self._at, fractions.Fraction(1, 16_000)
        self._at += 320
        return frame


async def test_typing_is_answered_like_speaking() -> None:
    async with served(mind=Mind(["One.", "Two."]), call={"greet": False}) as server, caller(server) as one:
        await one.until("session.created")
        content = [{"type": "input_text", "text": "Hello"}]
        one.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        one.send("response.create", event_id="event_1")
        done = await one.until("response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"] == "One."
        assert not [event for event in one.events if event["type"] == "error"]


async def test_the_session_object_of_the_offer_counts_before_the_first_event() -> None:
    session = {"type": "realtime", "instructions": "Sing.", "viva": {"mode": "interview", "patience": 2.0}}
    async with served() as server, caller(server, session=session) as one:
        created = await one.until("session.created")
        assert created["session"]["instructions"] == "Sing."
        assert created["session"]["viva"]["patience"] == 2.0


async def test_a_client_that_sends_no_update_is_greeted_after_a_while() -> None:
    async with served(greet_after_s=0.3) as server, caller(server) as one:
        await one.until("session.created")
        await one.until("response.created")


async def test_a_client_without_a_data_channel_is_greeted_as_soon_as_it_is_connected() -> None:
    mind = Mind(["Hello there."])
    async with served(mind=mind, greet_after_s=60) as server, caller(server, with_events=False) as one:
        track = one.pc.getReceivers()[0].track
        assert await loudest(track, 3.0) > 1000
    assert len(mind.asked) == 1


async def test_plain_json_signalling_makes_the_same_call() -> None:
    async with served() as server:
        one = Caller(server)
        offer = await one.offer()
        async with server.http.post(f"{server.url}/offer", json={"sdp": offer, "type": "offer"}) as response:
            assert response.status == 200
            answer = await response.json()
        assert answer["type"] == "answer"
        await one.pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await one.until("session.created")
        async with server.http.post(f"{server.url}{CALLS}/{answer['id']}/hangup") as response:
            assert response.status == 200
        assert server.worker.load().calls == 0
        await one.close()


async def test_a_client_that_only_listens_gets_a_call() -> None:
    async with served() as server:
        one = Caller(server, direction="recvonly")
        await one.connect()
        await one.until("session.created")
        one.send("session.update", session={})
        assert await loudest(one.pc.getReceivers()[0].track) > 1000
        await one.close()


async def test_mouth_shapes_come_over_their_own_channel_with_the_time_of_the_sound() -> None:
    async with served(voice=espeak.create(Settings())) as server, caller(server) as one:
        await one.until("session.created")
        one.send("session.update", session={"viva": {}})
        await one.until("output_audio_buffer.stopped")
        assert one.shapes
        stamps = [message["rtp"] for message in one.shapes]
        assert all((later - stamp) % 2**32 < 48_000 * 10 for stamp, later in pairwise(stamps))
        for message in one.shapes:
            assert set(message) == {"rtp", "shapes"}
            for at_ms, shape, weight in message["shapes"]:
                assert 0 <= at_ms < 10_000
                assert shape in FACES
                assert 0 <= weight <= 1


# ------------------------------------------------------------------ ends


async def test_a_deleted_call_is_gone_at_once() -> None:
    async with served() as server, caller(server) as one:
        await one.until("session.created")
        began = time.monotonic()
        assert await hung_up(server, one) == 204
        assert time.monotonic() - began < 1
        assert server.worker.load().calls == 0
        assert await hung_up(server, one) == 204  # a client may say it twice


async def test_a_client_that_closes_its_connection_is_gone_at_once() -> None:
    async with served() as server:
        async with caller(server) as one:
            await one.until("session.created")
        began = time.monotonic()
        await server.until_idle()
        assert time.monotonic() - began < 1


async def test_a_peer_that_never_connects_is_gone_after_the_time_out() -> None:
    async with served(connect_timeout_s=0.5) as server:
        one = Caller(server)
        await one.post(await one.offer())  # and the answer is thrown away
        assert server.worker.load().calls == 1
        began = time.monotonic()
        await server.until_idle()
        assert 0.3 < time.monotonic() - began < 1.5
        await one.close()


async def test_a_vanished_peer_is_gone_after_its_consent_time_out(caplog: Any) -> None:
    caplog.set_level("INFO", "server")
    async with served(consent_interval_s=0.3) as server, caller(server) as one:
        await one.until("session.created")
        sockets = udp_sockets()
        for transport in ice_sockets(one.pc):
            transport.abort()  # no goodbye: as if the machine had lost its power
        began = time.monotonic()
        await server.until_idle()
        assert time.monotonic() - began < 5
        assert "the network was lost" in caplog.text
        await until(lambda: udp_sockets() < sockets)


class Detour(LossyPath):
    """On it a caller's answers to ICE checks have a fate of their own, once the call is there."""

    answers = 0

    async def place(self, one: Caller, fate: list[float]) -> None:
        answer = await self.open(await one.post(without_candidates(await one.offer())))
        await one.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await one.until("session.created")

        def apart(packet: bytes) -> list[float]:
            self.answers += packet[:2] == STUN_SUCCESS
            return fate if packet[:2] == STUN_SUCCESS else [0.0]

        self.up = apart


async def test_a_peer_whose_answers_are_long_on_their_way_has_not_vanished() -> None:
    path = Detour()
    async with served(consent_failures=2, consent_interval_s=0.8) as server:
        one = Caller(server)
        await path.place(one, [0.7])
        await until(lambda: path.answers > 2)
        assert server.worker.load().calls == 1
        await one.close()
    path.close()


async def test_a_peer_whose_sound_comes_has_not_vanished_though_its_answers_are_lost() -> None:
    path = Detour()
    async with served(consent_failures=2, consent_interval_s=0.4, resume_within_s=0) as server:
        one = Caller(server, audio=Microphone(silence(60_000)))
        await path.place(one, [])
        await until(lambda: path.answers > 4)
        assert server.worker.load().calls == 1
        path.up = lambda packet: []
        await server.until_idle()
        await one.close()
    path.close()


def ice_sockets(pc: RTCPeerConnection) -> list[Any]:
    agent = pc.getSenders()[0].transport.transport.iceGatherer._connection
    return [protocol.transport for protocol in agent._protocols]


# ------------------------------------------------------------------ limits


async def test_a_call_too_many_is_told_when_to_come_back() -> None:
    async with served(max_calls=1, retry_after_s=7) as server, caller(server) as one:
        other = Caller(server)
        offer = (await other.offer()).encode()
        headers = {"Content-Type": "application/sdp"}
        async with server.http.post(server.url + CALLS, data=offer, headers=headers) as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "7"
            assert (await response.json())["error"]["code"] == "server_busy"
        await hung_up(server, one)
        await other.post(offer.decode())
        assert server.worker.load().calls == 1
        await other.close()


async def test_offers_at_the_same_moment_cannot_exceed_the_limit() -> None:
    async with served(max_calls=2) as server:
        callers = [Caller(server) for _ in range(5)]
        offers = [await one.offer() for one in callers]

        async def status(offer: str) -> int:
            headers = {"Content-Type": "application/sdp"}
            async with server.http.post(server.url + CALLS, data=offer.encode(), headers=headers) as response:
                return response.status

        statuses = await asyncio.gather(*map(status, offers))
        assert sorted(statuses) == [201, 201, 503, 503, 503]
        for one in callers:
            await one.close()


async def test_a_draining_server_takes_no_call_and_lets_the_last_one_end() -> None:
    async with served() as server, caller(server) as one:
        await one.until("session.created")
        draining = asyncio.create_task(server.worker.drain(20))
        await asyncio.sleep(0)
        async with server.http.get(f"{server.url}/readyz") as response:
            assert response.status == 503
        other = Caller(server)
        headers = {"Content-Type": "application/sdp"}
        offer = (await other.offer()).encode()
        async with server.http.post(server.url + CALLS, data=offer, headers=headers) as response:
            assert response.status == 503
        assert not draining.done()
        await hung_up(server, one)
        await asyncio.wait_for(draining, 1)
        await other.close()


async def test_draining_ends_at_its_bound() -> None:
    async with served() as server, caller(server) as one:
        await one.until("session.created")
        began = time.monotonic()
        await server.worker.drain(0.2)
        assert time.monotonic() - began < 2
        assert server.worker.load().calls == 0


async def test_an_offer_that_fails_half_way_gives_its_place_back() -> None:
    async with served(max_calls=1) as server:
        one = Caller(server)
        offer = await one.offer()
        headers = {"Content-Type": "application/sdp"}
        for _ in range(3):
            body = offer.replace("opus", "speex").encode()
            async with server.http.post(server.url + CALLS, data=body, headers=headers) as response:
                assert response.status == 400
        await one.post(offer)
        await one.close()


# ------------------------------------------------------------------ many


async def test_two_hundred_calls_in_a_row_leave_nothing_behind() -> None:
    """All are placed and hung up; every tenth connects, is greeted and talks first."""
    process = psutil.Process()
    unlimited = {"limits": LimitSettings(offers_per_minute=0)}
    async with served(max_calls=4, door=unlimited) as server:
        await calls(server, 20)  # what is made once and kept: codecs, caches, thread pools
        before = await counted(process)
        await calls(server, 200)
        await until(lambda: len(asyncio.all_tasks()) <= before["tasks"])  # the last one's are still ending
        await until(lambda: not peers())  # and hold it until they have
        after = await counted(process)
    assert after["threads"] <= before["threads"] + 1
    assert after["sockets"] <= before["sockets"]
    assert after["files"] <= before["files"] + 1
    assert after["memory"] - before["memory"] < 8 * 2**20, (before, after)


async def calls(server: Served, count: int) -> None:
    for number in range(count):
        one = Caller(server)
        if number % 10 == 0:
            await one.connect()
            await one.until("session.created")
            one.send("session.update", session={"viva": {}})
            await one.until("output_audio_buffer.started")
        else:
            await one.place()
        assert await hung_up(server, one) == 204
        await one.close()


async def counted(process: psutil.Process) -> dict[str, int]:
    """What may not grow. Memory: without what the allocator keeps in case it is needed again."""
    await asyncio.sleep(0)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return {
        "memory": process.memory_info().rss,
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "sockets": udp_sockets(),
        "files": process.num_fds(),
    }


def peers() -> int:
    gc.collect()
    return sum(type(thing) is Peer for thing in gc.get_objects())
