"""The contract itself: an honest plug-in keeps it, and what is wrong with another is caught by name."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.contract.bench import Subject
from pipeline.contract.heartbeat import listened_to
from pipeline.contract.suite import examine, names
from pipeline.errors import ProviderError
from pipeline.notices import Spent, tell
from pipeline.providers import Message, Piece, ReplyOptions, Speech, Transcript, Usage, VoiceStyle, VoiceWord
from pipeline.settings import Settings
from tests.contract.parrot import RATE, Parrot, ParrotEars, ParrotMind, ParrotVoice, PlugIn
from tests.contract.parrot_server import ParrotServer

FORGOTTEN = "forgotten"  # by a plug-in: a task, a thread


def subject(provider: type[Parrot]) -> Subject:
    return Subject(provider.stage, PlugIn(provider), Settings(), ParrotServer, "parrot")


async def failures(provider: type[Parrot], *only: str) -> dict[str, str]:
    results = [result async for result in examine(subject(provider), only)]
    for task in asyncio.all_tasks():
        if task.get_name() == FORGOTTEN:
            task.cancel()
    return {result.check: result.why for result in results if result.outcome == "failed"}


@pytest.mark.parametrize("provider", [ParrotEars, ParrotMind])  # and the voice in test_third_party
async def test_an_honest_plug_in_keeps_it(provider: type[Parrot]) -> None:
    results = [result async for result in examine(subject(provider))]
    assert [result.check for result in results] == names(provider.stage, vendor=True)
    bad = [result for result in results if result.outcome == "failed"]
    assert not bad
    passed_over = {result.check for result in results if result.outcome == "not applicable"}
    assert passed_over == {
        "a_killed_process_costs_one_piece_of_work",
        "a_kept_connection_that_is_gone_when_it_is_used_costs_nothing",
    }


async def test_a_loop_that_waits_for_itself_is_told_of() -> None:
    """As where a plug-in asks a stand-in on its own loop by a library that blocks: no check ever ends."""
    told: list[str] = []
    async with listened_to(told.append, dead_s=0.5):
        time.sleep(1)  # noqa: ASYNC251 - that is what is wrong
    (where,) = told
    assert where.startswith("the event loop stands still; at ")
    assert "test_a_loop_that_waits_for_itself" in where


# ------------------------------------------------------------------ ears


class OutOfOrder(ParrotEars):
    def final(self, texts: Sequence[str], length_ms: int) -> Transcript:
        right = super().final(texts, length_ms)
        return replace(right, text=" ".join(reversed(texts)), words=right.words[::-1])


class BehindTheEnd(ParrotEars):
    def final(self, texts: Sequence[str], length_ms: int) -> Transcript:
        return super().final(texts, 2 * length_ms + 1000)


class SaysFinalsTwice(ParrotEars):
    async def heard(self, samples: int) -> AsyncIterator[Transcript]:
        async for transcript in super().heard(samples):
            yield transcript
            if transcript.kind == "final":
                yield transcript


class TakesBack(ParrotEars):
    """Is sure of each word, and begins with the first one again at the second pause."""

    async def heard(self, samples: int) -> AsyncIterator[Transcript]:
        async for transcript in super().heard(samples):
            yield replace(transcript, sure=len(transcript.text))


class Deaf(ParrotEars):
    """To what the microphone says of itself."""

    async def transcribe(self, audio: AsyncIterator[Any], **more: Any) -> AsyncIterator[Transcript]:
        async def quiet() -> AsyncIterator[Any]:
            try:
                async for piece in audio:
                    yield piece
            except Exception:
                return

        async for transcript in super().transcribe(quiet(), **more):
            yield transcript


class Polyglot(ParrotEars):
    def refuse_unknown(self, language: str) -> None: ...


# ------------------------------------------------------------------ mind


class SwallowsRefusals(ParrotMind):
    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        try:
            async for piece in super().reply(messages, options):
                yield piece
        except ProviderError as error:
            if error.code != "rate_limited":
                raise
            yield "Sorry, I cannot answer now."


class Impatient(ParrotMind):
    def refused(self, head: dict[str, Any]) -> ProviderError:
        return super().refused({**head, "retry_after_s": None})


class LeavesATask(ParrotMind):
    async def start(self) -> None:
        self.task = asyncio.create_task(asyncio.sleep(60), name=FORGOTTEN)


class PilesUp(ParrotMind):
    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        self.task = asyncio.create_task(asyncio.sleep(60), name=FORGOTTEN)
        async for piece in super().reply(messages, options):
            yield piece


class SaysAllOrNothing(ParrotMind):
    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        for piece in [piece async for piece in super().reply(messages, options)]:
            yield piece


class Raw(ParrotMind):
    """Hands on whatever its library raises."""

    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        try:
            async for piece in super().reply(messages, options):
                yield piece
        except ProviderError as error:
            raise error.__cause__ or error from None


class ShowsTheKey(ParrotMind):
    def refused(self, head: dict[str, Any]) -> ProviderError:
        return self.error("auth", f"refused {self._key}")


class LogsTheKey(ParrotMind):
    async def start(self) -> None:
        logging.getLogger("parrot").debug("asking with %s", self._key)


class CountsBackwards(ParrotMind):
    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        yield "Hello."
        yield Usage(-1, 3)


class ChargesOthers(ParrotMind):
    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        tell(Spent("tts", "openai", "", "characters", 12))
        async for piece in super().reply(messages, options):
            yield piece


class ChargesWhatIsHeard(ParrotMind):
    charges = Spent("llm", "parrot", "", "output_tokens", 0.0)

    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        async for word in self.answers("?"):
            yield word
        tell(replace(self.charges, amount=11))


class Forgetful(ParrotMind):
    """After a failure."""

    def refused(self, head: dict[str, Any]) -> ProviderError:
        self._port = 9  # where nobody is
        return super().refused(head)


class MixesUp(ParrotMind):
    def __init__(self, own: dict[str, Any]) -> None:
        super().__init__(own)
        self._asked = 0

    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        self._asked += 1
        async for piece in super().reply(messages, options):
            yield piece
        yield f"This was the {self._asked}th."


class ClingsToItsLine(ParrotMind):
    """Asks for everything over one, until it is closed."""

    line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.line = self.line or await super().connected()
        return self.line

    def disconnect(self, writer: asyncio.StreamWriter) -> None: ...

    async def close(self) -> None:
        if self.line is not None:
            self.line[1].close()


class CannotBeClosed(ParrotMind):
    """Once it was started."""

    async def start(self) -> None:
        self.started = True

    async def close(self) -> None:
        if hasattr(self, "started"):
            raise OSError("the cage is shut")


class Speechless(ParrotVoice):
    async def answers(self, question: str) -> AsyncIterator[str]:
        for word in ():
            yield word


class CannotBeMade(ParrotMind):
    def __init__(self, own: dict[str, Any]) -> None:
        raise KeyError("model")


# ------------------------------------------------------------------ voice


class InFloats(ParrotVoice):
    @staticmethod
    def tone(number: int) -> np.ndarray:
        return ParrotVoice.tone(number).astype(np.float32) / 32768


class BeginsInSilence(ParrotVoice):
    @staticmethod
    def tone(number: int) -> np.ndarray:
        sound = ParrotVoice.tone(number)
        return np.concatenate([np.zeros(RATE // 5, np.int16), sound]) if number == 0 else sound


class MarksTooLate(ParrotVoice):
    async def speak(self, text: str, **more: Any) -> AsyncIterator[Speech]:
        marks: tuple[VoiceWord, ...] = ()
        async for speech in super().speak(text, **more):
            yield replace(speech, words=marks)
            marks = speech.words


class MarksBesideTheText(ParrotVoice):
    @staticmethod
    def places(text: str) -> list[tuple[int, int]]:
        return [(0, len(text) + 1)]


class GoesOnAlone(ParrotVoice):
    """Reads its vendor in a task that nobody ends."""

    async def speak(self, text: str, **more: Any) -> AsyncIterator[Speech]:
        queue: asyncio.Queue[Speech | Exception | None] = asyncio.Queue()
        parent = super()

        async def read() -> None:
            try:
                async for speech in parent.speak(text, **more):
                    queue.put_nowait(speech)
                queue.put_nowait(None)
            except Exception as error:
                queue.put_nowait(error)

        self.reading = asyncio.create_task(read(), name="reading")
        while (speech := await queue.get()) is not None:
            if isinstance(speech, Exception):
                raise speech
            yield speech

    async def close(self) -> None:
        if hasattr(self, "reading"):
            self.reading.cancel()


class WaitsForEver(ParrotVoice):
    def __init__(self, own: dict[str, Any]) -> None:
        super().__init__({**own, "timeout_s": 3600})


class LeavesAThread(ParrotVoice):
    async def start(self) -> None:
        self._ended = threading.Event()
        threading.Thread(target=self._ended.wait, args=(20,), name=FORGOTTEN, daemon=True).start()


class LeavesASocket(ParrotVoice):
    async def start(self) -> None:
        self.kept = await asyncio.open_connection(self._host, self._port)


class Computes(ParrotVoice):
    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        until = time.thread_time() + 0.4
        while time.thread_time() < until:
            pass
        async for speech in super().speak(text, language=language, style=style):
            yield speech


class Sleeps(ParrotVoice):
    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        time.sleep(1.1)  # noqa: ASYNC251 - that is what is wrong with it
        async for speech in super().speak(text, language=language, style=style):
            yield speech


@pytest.mark.parametrize(
    ("provider", "check", "why"),
    [
        (OutOfOrder, "words_have_times_in_order", "out of order"),
        (BehindTheEnd, "words_lie_inside_the_sound", "behind the end"),
        (SaysFinalsTwice, "a_pause_brings_what_was_said", "brought 2 final"),
        (TakesBack, "what_is_sure_is_not_taken_back", "was sure, and became"),
        (Deaf, "an_error_of_the_microphone_is_passed_on", "swallowed"),
        (Polyglot, "a_language_that_it_does_not_know_is_refused", "went to work"),
        (SwallowsRefusals, "too_many_requests_are_rate_limited", "did not fail"),
        (Impatient, "too_many_requests_are_rate_limited", "Retry-After is 17 s"),
        (LeavesATask, "it_leaves_nothing_behind", "task forgotten"),
        (PilesUp, "work_that_is_cancelled_does_not_pile_up", "3 tasks more than before"),
        (SaysAllOrNothing, "what_came_before_a_break_is_handed_on", "handed on nothing"),
        (Raw, "a_web_page_is_a_bad_response", "JSONDecodeError, not ProviderError"),
        (ShowsTheKey, "a_refused_key_is_auth", "shows a key"),
        (LogsTheKey, "it_starts", "a log line shows a key"),
        (CountsBackwards, "it_answers_what_was_said", "less than nothing"),
        (ChargesOthers, "what_the_vendor_charges_is_told", "is not as its charges have it"),
        (ChargesWhatIsHeard, "what_is_cancelled_is_charged_too", "told of nothing"),
        (Forgetful, "a_failure_costs_one_piece_of_work", "is not there"),
        (ClingsToItsLine, "a_kept_connection_that_is_gone_when_it_is_used_costs_nothing", "once more"),
        (MixesUp, "many_at_once_are_not_mixed_up", "with others"),
        (CannotBeClosed, "it_leaves_nothing_behind", "OSError: the cage is shut"),
        (CannotBeClosed, "a_refused_key_is_auth", "OSError: the cage is shut"),
        (Speechless, "a_phrase_that_is_closed_half_way_harms_nobody", "nothing came of it"),
        (CannotBeMade, "it_is_created", "KeyError"),
        (InFloats, "a_phrase_is_sound", "not int16"),
        (BeginsInSilence, "silence_before_the_words_is_trimmed", "200 ms of silence"),
        (MarksTooLate, "marks_are_never_behind_the_sound", "given away already"),
        (MarksBesideTheText, "marks_lie_inside_the_sound_and_the_text", "not inside"),
        (GoesOnAlone, "work_that_is_cancelled_is_closed_at_the_vendor", "still open at the vendor"),
        (WaitsForEver, "a_silent_vendor_is_a_timeout", "still waits"),
        (LeavesAThread, "it_leaves_nothing_behind", "thread forgotten"),
        (LeavesASocket, "it_leaves_nothing_behind", "socket"),
        (Computes, "a_faster_style_is_taken", "the event loop computed"),
        (Sleeps, "a_faster_style_is_taken", "the event loop stood still"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
async def test_what_is_wrong_is_caught_by_name(provider: type[Parrot], check: str, why: str) -> None:
    shared = "it_says_what_it_is"  # so that there is an examination that starts and ends
    caught = await failures(provider, check, shared)
    assert why in caught[check]
