"""Vendors that hear while one speaks: their lines, and what waits for them. The contract has what all owe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
import pytest

from pipeline.notices import Notice, Spent, heard_by
from pipeline.providers import Pause, Recognizer, Transcript
from pipeline.vendor_socket import websocket_address
from tests import virtual
from tests.providers.ears import Piece, heard, listened
from tests.providers.live_ears import Server, ears_at
from tests.providers.spoken import answered, timeline, words_in
from tests.providers.spoken import sound as spoken_sound
from tests.sounds import chunks, noise, silence
from tests.vendors.assemblyai_server import AssemblyAIServer
from tests.vendors.deepgram_server import DeepgramServer

SERVERS: dict[str, type[Server]] = {"deepgram": DeepgramServer, "assemblyai": AssemblyAIServer}
SAID = "i worked on a database"


@dataclass
class Line:
    """A recogniser that was just made, and the server that it speaks to."""

    name: str
    vendor: Server
    ears: Recognizer

    @property
    def used(self) -> int:
        """Connections that sound came over."""
        return len({id(seen.headers) for seen in self.vendor.seen})


def sound(seconds: float) -> list[Piece]:
    return list(chunks(noise(1000 * seconds)))


@pytest.mark.parametrize("given", ["https://eu.example/", "wss://eu.example"])
def test_an_address_may_be_given_as_that_of_a_web_page(given: str) -> None:
    assert websocket_address(given) == "wss://eu.example"


@pytest.fixture(params=SERVERS)
async def line(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    async with SERVERS[request.param]() as vendor:
        ears = ears_at(vendor)
        yield Line(request.param, vendor, ears)
        await ears.close()


def spelled(transcript: Transcript) -> str:
    """Without the capitals and stops that one of them writes."""
    return transcript.text.lower().replace(".", "")


async def test_one_utterance_after_the_other_takes_the_same_line(line: Line) -> None:
    first = (await heard(line.ears, [*sound(1.5), Pause()]))[-1]
    second = (await heard(line.ears, [*sound(1.5), Pause()]))[-1]
    assert line.used == 1
    assert spelled(first) == SAID
    assert first == second, "also its words' times, which count from the utterance's own beginning"
    assert first.words[0].start_ms == 0


async def test_two_who_speak_at_once_have_a_line_each(line: Line) -> None:
    await asyncio.gather(*(heard(line.ears, [*sound(1.5), Pause()]) for _ in range(2)))
    assert line.used == 2


async def test_other_hints_take_another_line(line: Line) -> None:
    for hints in (("Kafka",), ("B-tree",), ("Kafka",)):
        assert (await heard(line.ears, [*sound(1), Pause()], "en", hints))[-1].kind == "final"
    assert line.used == 2


@pytest.mark.parametrize("name", SERVERS)
async def test_a_line_waits_only_so_long(name: str) -> None:
    async with SERVERS[name]() as vendor:
        ears = ears_at(vendor, keep_s=0.05)
        await heard(ears, [*sound(1), Pause()])
        await asyncio.wait_for(vendor.connections[0].closed.wait(), 5)
        await heard(ears, [*sound(1), Pause()])
        assert len(vendor.connections) == 2
        await ears.close()


@pytest.mark.parametrize("name", SERVERS)
async def test_no_line_waits_where_that_is_not_wanted(name: str) -> None:
    async with SERVERS[name]() as vendor:
        ears = ears_at(vendor, keep_s=0)
        await heard(ears, [*sound(1), Pause()])
        await vendor.connections[0].closed.wait()
        await ears.close()


async def test_a_line_that_broke_while_it_waited_is_not_taken(line: Line) -> None:
    await heard(line.ears, [*sound(1), Pause()])
    await line.vendor.drop(line.vendor.connections[-1])
    assert spelled((await heard(line.ears, [*sound(1.5), Pause()]))[-1]) == SAID
    assert line.used == 2


@pytest.mark.parametrize("broken_at_ms", [100, 700, 1600])
async def test_a_line_that_breaks_while_one_speaks_costs_no_word(line: Line, broken_at_ms: int) -> None:
    """What was not settled of the sound is sent again; the vendor says what it hears in that."""
    words = timeline([200] * 8, [40] * 8)
    line.vendor.heard = lambda pcm: words_in(words, np.frombuffer(pcm, np.int16))
    held_back_ms = 50  # AssemblyAI's least

    def arrived() -> bool:
        return any(len(seen.sound) >= 32 * (broken_at_ms - held_back_ms) for seen in line.vendor.seen)

    async def speaking() -> AsyncIterator[Piece]:
        for number, chunk in enumerate(chunks(spoken_sound(words))):
            if 20 * number == broken_at_ms:
                await line.vendor.until(arrived)
                await line.vendor.drop(line.vendor.connections[0])
            yield chunk
        yield Pause()

    final = (await listened(line.ears, speaking()))[-1]
    assert spelled(final).split() == [word.text for word in words]
    assert [(word.start_ms, word.end_ms) for word in final.words] == [
        (word.start, word.end) for word in words
    ]
    assert line.used == 2


async def test_a_line_that_breaks_while_it_owes_an_answer_costs_nothing(line: Line) -> None:
    line.vendor.work.hang_after = 0

    async def silent() -> AsyncIterator[Piece]:
        for piece in [*sound(1.5), Pause()]:
            yield piece
        await line.vendor.until(lambda: bool(line.vendor.connections[0].controls))
        line.vendor.work.hang_after = None
        await line.vendor.drop(line.vendor.connections[0])
        await answered_for.wait()

    answered_for = asyncio.Event()
    finals = []
    async for each in line.ears.transcribe(silent(), language="en"):
        if each.kind == "final":
            finals.append(spelled(each))
            answered_for.set()
    assert finals == [SAID]


async def test_what_is_said_while_the_line_comes_about_is_heard(line: Line) -> None:
    line.vendor.opens_after_ms = 300
    began = asyncio.get_running_loop().time()
    final = (await heard(line.ears, [*sound(1.5), Pause()]))[-1]
    assert asyncio.get_running_loop().time() - began >= 0.3
    assert spelled(final) == SAID
    assert [word.start_ms for word in final.words] == [0, 250, 500, 750, 1000]


@pytest.mark.parametrize("sums_up", [True, False])
async def test_a_pause_that_stays_unanswered_is_insisted_upon_and_no_word_is_lost(
    line: Line, sums_up: bool
) -> None:
    """A vendor need not answer where it believes that there is nothing to say."""
    line.vendor.sums_up = sums_up
    if isinstance(line.vendor, DeepgramServer):
        line.vendor.answers_silence = False
    line.vendor.heard = lambda pcm: [("yes", 0.5, 0.8)] if np.frombuffer(pcm, np.int16).any() else []
    said = np.concatenate([noise(1000), silence(300), noise(1000)])
    finals = await answered(line.ears, said, [1000, 1300])
    assert [spelled(each) for each in finals] == ["yes", "yes", "yes yes"]
    assert [word.start_ms for word in finals[-1].words] == [500, 1800]
    assert line.used == 2, "the first was finished, so that it had to answer"


async def test_an_answer_that_comes_late_is_told_once_and_the_person_may_go_on(line: Line) -> None:
    """By then the line is being finished."""
    line.vendor.work.first_ms = 800
    finals = await answered(line.ears, noise(2500), [1500])
    assert [spelled(each) for each in finals] == [SAID, f"{SAID} i worked on a"]
    assert line.used == 2


async def test_cancelled_while_it_connects_it_leaves_nothing(line: Line) -> None:
    line.vendor.opens_after_ms = 200
    reading = asyncio.create_task(heard(line.ears, [*sound(1), Pause()]))
    await asyncio.sleep(0.05)  # while the hand-shake goes on
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    line.vendor.opens_after_ms = 0
    assert spelled((await heard(line.ears, [*sound(1.5), Pause()]))[-1]) == SAID


def spent_on(line: Line, told: list[Notice]) -> list[Spent]:
    found = [notice for notice in told if isinstance(notice, Spent)]
    assert all((each.stage, each.provider, each.unit) == ("stt", line.name, "seconds") for each in found)
    return found


async def test_what_it_costs_is_told_also_when_nobody_waits_any_more(line: Line) -> None:
    told: list[Notice] = []
    line.vendor.work.hang_after = 1
    reading = asyncio.create_task(heard(line.ears, sound(2)), context=heard_by(told.append))
    await line.vendor.request()
    await line.vendor.until(lambda: len(line.vendor.seen[0].sound) >= 2 * 16_000)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    (spent,) = spent_on(line, told)
    assert spent.amount > (1.0 if line.name == "deepgram" else 0.0)


class Network:
    """Time stands still, as two ends of a loopback take some, but while somebody thinks and nothing comes."""

    def __init__(self) -> None:
        self._thinking = False
        self._asked_at = 0.0

    async def think(self, seconds: float) -> None:
        self._thinking = True
        await asyncio.sleep(seconds)
        self._thinking = False

    def __call__(self) -> bool:
        waited_s, self._asked_at = time.perf_counter() - self._asked_at, time.perf_counter()
        return not self._thinking or waited_s < virtual.LOOKS_EVERY_S


def test_a_line_says_that_it_is_there_while_nobody_speaks() -> None:
    """Deepgram hangs up after ten seconds without sound."""
    network = Network()

    async def spoken() -> tuple[int, list[str]]:
        async with DeepgramServer() as vendor:
            ears = ears_at(vendor)
            await heard(ears, [*sound(1), Pause()])
            await network.think(30)
            await heard(ears, [*sound(1), Pause()])
            await ears.close()
            return len(vendor.connections), vendor.connections[-1].controls

    connections, controls = virtual.run(spoken(), network)
    assert connections == 1
    assert controls.count("KeepAlive") >= 7


def test_a_person_who_thinks_in_mid_sentence_keeps_the_line() -> None:
    network = Network()

    async def spoken() -> list[Transcript]:
        async with DeepgramServer() as vendor:
            ears = ears_at(vendor)

            async def thinking() -> AsyncIterator[Piece]:
                for piece in sound(1):
                    yield piece
                yield Pause()
                await network.think(25)  # push-to-talk, say: no sound comes
                for piece in sound(1):
                    yield piece

            found = await listened(ears, thinking())
            await ears.close()
            return found

    finals = [each.text for each in virtual.run(spoken(), network) if each.kind == "final"]
    assert finals == ["i worked on a", "i worked on a i worked on a"]
