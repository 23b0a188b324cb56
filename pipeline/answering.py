"""From the end of a person's turn to the end of the reply: words awaited, a reply prepared, released, cut."""

from __future__ import annotations

from collections.abc import Callable

from pipeline import events as ev
from pipeline import turns
from pipeline.air import Air
from pipeline.answers import Answer, Answers, Preparation, Request
from pipeline.dialogue import INTERRUPTED, Dialogue
from pipeline.errors import CallError
from pipeline.items import Item, new_id
from pipeline.languages import asks_for_nothing, fold, is_murmur
from pipeline.listening import Utterance
from pipeline.owed_words import OwedWords
from pipeline.providers import Message
from pipeline.settings import CallSettings, Settings
from pipeline.timeline import Timeline

WORDLESS_MS = 700  # voice of that length without a word in it deserves "I didn't catch that"
MOST_BESIDE = 8  # replies beside the conversation at a time; each is a stream at a vendor
MURMUR_DB = -9.0  # an "mhm" is softer than an answer


class Answering:
    """One call's. Tells the floor what becomes of a reply through `handle`.

    Args:
        wants_full: the mind wants the recogniser's full pass, and there is one.
        call: the call's settings as they are now.
        held: someone speaks already; a reply waits until that proves nothing.
        stop_words: ends the recognition of an utterance.
        clock: seconds.
    """

    def __init__(
        self,
        answers: Answers,
        dialogue: Dialogue,
        settings: Settings,
        *,
        wants_full: bool,
        call: Callable[[], CallSettings],
        held: Callable[[], bool],
        handle: Callable[[turns.TurnEvent], None],
        emit: Callable[[ev.Event], None],
        stop_words: Callable[[Utterance], None],
        clock: Callable[[], float],
    ) -> None:
        self.air = Air(dialogue, emit, self._audible, self._over)
        self.timeline = Timeline()
        self.owed = OwedWords(
            settings.turns.no_words_after_ms / 1000,
            lambda: wants_full and self._call().mode == "interview",
            emit,
            stop_words,
            self._words_settled,
        )
        self._answers = answers
        self._dialogue = dialogue
        self._settings = settings
        self._call = call
        self._held = held
        self._handle = handle
        self._emit = emit
        self._clock = clock
        self._prepared = Preparation()
        self._awaited: Utterance | None = None  # the floor's: its words are to be answered
        self._answered: Utterance | None = None  # what the reply answers; a withdrawal takes it up again
        self._overlapping: Utterance | None = None  # the last turn beside the reply
        self._asked: Request | None = None  # for a reply, which has not begun
        self._next: Request | None = None  # likewise, behind the one on air
        self._beside: list[Request] = []  # wait for words that are owed
        # A voice that ended a reply before it was heard, and what had asked for that: it is still owed where
        # the voice turns out to have been a noise.
        self._silenced: tuple[Utterance, Request] | None = None
        self._ended = ""  # why the turn that is answered was over

    def expect(self) -> None:
        """See `Answers.expect`."""
        self._answers.expect(self._call())

    # --------------------------------------------------------- the words

    def turn_ended(self, utterance: Utterance, why: str, judged: str, silence_ms: int) -> None:
        """The person's turn is over; it is answered as soon as its words are known, or after a bound."""
        self.timeline.end_of_speech(self._clock(), silence_ms, why, judged)
        self._awaited = self._answered = utterance
        self._ended = why
        self._ask_for_words(utterance)

    def overlapping_turn_ended(self, utterance: Utterance) -> None:
        """Their turn beside a reply is over: it is answered when that is, by `catch_up`."""
        self._overlapping = utterance
        self._ask_for_words(utterance)

    def _ask_for_words(self, utterance: Utterance) -> None:
        """The turn becomes an item; its words follow."""
        item = Item(utterance.item_id, "user", "completed", interrupted=utterance.interrupted)
        item.audio_ms = int(1000 * utterance.seconds)
        previous = self._dialogue.add(item)
        if utterance.announced:
            self._emit(ev.SpeechStopped(item.id, utterance.ended_ms))
        self._emit(ev.Committed(item.id, previous))
        self._emit(ev.ItemAdded(item, previous))
        self._emit(ev.ItemDone(item, previous))
        self.owed.ask(utterance)

    def _words_settled(self, utterance: Utterance) -> None:
        """Its words will get no better."""
        self._keep_words(utterance)
        while self._beside and not self.owed:
            self.beside(self._beside.pop(0))
        if self._awaited is utterance:
            self._awaited = self.owed.aside(self._overlapping) if utterance.recorded else None
            if self._awaited is None:
                self._answer(utterance)

    def _answer(self, utterance: Utterance) -> None:
        call, text = self._call(), utterance.words
        asked, self._asked = self._asked, None
        self.timeline.stamp("final", self._clock())
        said = self._says(utterance)
        wordless = not fold(text, call.language)
        missed = wordless and (utterance.voiced_ms >= WORDLESS_MS or utterance.failed is not None)
        if not said and utterance.announced:
            self.forget(utterance.item_id)
        if asked is None and not said and not missed and call.answers_by_itself:
            asked = self._silenced_by(utterance)
        if asked is None and not (said and call.answers_by_itself):
            self._prepared.drop()
            if not (missed and call.answers_by_itself):
                self._nothing_to_say()
            else:
                deaf = utterance.failed is not None and utterance.failed.code == "unsupported_language"
                self.say("deaf" if deaf else "not_caught")
            return
        opening = "time_up" if self._ended == "longest" else None
        if opening or (asked and asked.differs):
            self._prepared.drop()
        answer = self._prepared.take(text)
        self.timeline.note(prepared=answer is not None)
        if answer is None:
            answer = self._answers.begin(call, said=text, request=asked, opening=opening)
        elif asked is not None:
            answer.metadata = asked.metadata
        answer.to = utterance.item_id if said else None
        self._on_air(answer)

    def _says(self, utterance: Utterance) -> bool:
        """There are words in it that want an answer: not those of a listener to a reply that was over before
        the recogniser had found them."""
        text, language = utterance.words, self._call().language
        if not fold(text, language) or (utterance.began_over_reply and is_murmur(text, language)):
            return False
        beside = 0 < utterance.voiced_ms <= utterance.beside_ms
        return not (beside and asks_for_nothing(text, language))

    def _silenced_by(self, utterance: Utterance) -> Request | None:
        """What asked for the reply that it broke into before there was anything to be heard."""
        if self._silenced is None or not utterance.includes(self._silenced[0]):
            return None
        return self._silenced[1]

    def _keep_words(self, utterance: Utterance) -> None:
        text = utterance.words
        item = self._dialogue.get(utterance.item_id)
        if item is None:  # the client has deleted it meanwhile
            return
        item.text = text
        if utterance.failed is not None and not text:
            self._emit(ev.TranscriptionFailed(item.id, utterance.failed.message))
        else:
            self._emit(ev.Transcribed(item.id, text, utterance.seconds))

    def _nothing_to_say(self) -> None:
        self._answered = None
        self._handle(turns.ReplyEnded())

    # --------------------------------------------------------- preparing

    def plan(self, patience_ms: int | None, why: str, utterance: Utterance, silence_ms: int) -> None:
        """A pause has words: prepare the reply now, or shortly before its patience ends."""
        wanted = self._settings.turns.speculate and self._call().answers_by_itself
        if wanted and patience_ms is not None:
            self._prepared.plan(patience_ms, why, self._clock())
            self.prepare_if_due(utterance, silence_ms)

    def prepare_if_due(self, utterance: Utterance, silence_ms: int) -> None:
        if not self._prepared.is_due(silence_ms):
            return
        text = utterance.words
        if self._says(utterance) and not self._prepared.holds(text):
            said = Message("user", (INTERRUPTED if utterance.interrupted else "") + text)
            self._prepared.put(self._answers.begin(self._call(), said=text, ahead=said), self._clock())

    def unprepare(self) -> None:
        """What was prepared is void, down to its streams: speech goes on, or the conversation is another."""
        self._prepared.drop()

    # ------------------------------------------------------------ on air

    def ask(self, request: Request) -> None:
        """A client wants a reply to what is being said, as soon as its words are known."""
        self._asked = request

    def begin(self, request: Request, opening: str | None = None) -> None:
        """A reply that no turn of the person's leads to; it waits for the words of recordings.

        `opening`: key of fixed words that come before the mind's own."""
        self.timeline.begin()
        self._awaited = self.owed.aside(self._overlapping)
        if self._awaited is not None:
            self._asked, self._ended = request, "asked"
            return
        self._on_air(self._answers.begin(self._call(), request=request, opening=opening))

    def call_off(self) -> bool:
        """Nobody wants the reply any more that waits for words. False: none does."""
        if self._awaited is None and self._asked is None:
            return False
        request, self._asked = self._asked or Request(), None
        self._awaited = self._answered = None  # words that are still owed are kept when they come
        self._prepared.drop()
        response_id = new_id("resp")
        self._emit(ev.ReplyCreated(response_id, self._call().merged(request.patch), request.metadata))
        self._emit(ev.ReplyDone(response_id, "cancelled", "client_cancelled"))
        return True

    def follow(self, request: Request) -> bool:
        """A reply behind the one on air. False: that one does not wait for anything of the client's."""
        answer = self.air.answer
        if answer is None or self._next is not None or not (answer.calls and answer.reply.thought):
            return False
        self._next = request
        return True

    def take_next(self) -> Request | None:
        """What is to follow the reply that has just ended."""
        request, self._next = self._next, None
        return request

    @property
    def behind(self) -> bool:
        """Something was said beside the last reply that has had no answer."""
        return self._overlapping is not None

    def leave_behind(self) -> bool:
        """Forgets that; whether there was something."""
        behind, self._overlapping = self.behind, None
        return behind

    def catch_up(self) -> None:
        """Answers what was said beside the reply that is over, as soon as its words are known."""
        utterance, self._overlapping = self._overlapping, None
        assert utterance is not None, "the floor asks whether there is something to answer"
        self.timeline.begin()
        self._awaited, self._ended = utterance, ""
        if utterance not in self.owed:
            self._awaited = None
            self._answer(utterance)

    def beside(self, request: Request) -> None:
        """A reply that is none of the conversation's. Raises CallError if there are too many."""
        if len(self.air.asides) + len(self._beside) == MOST_BESIDE:
            raise CallError("rate_limit_exceeded", f"{MOST_BESIDE} replies beside the conversation at a time")
        if self.owed:
            self._beside.append(request)
        else:
            self.air.put_aside(self._answers.begin(self._call(), request=request))

    def timed_out(self, from_ms: int, to_ms: int) -> None:
        """Nobody spoke for as long as the client gave them: a silence of a turn, which is answered."""
        item = Item(new_id("item"), "user", "completed", "", audio_ms=to_ms - from_ms)
        previous = self._dialogue.add(item)
        self._emit(ev.TimedOut(item.id, from_ms, to_ms))
        self._emit(ev.Committed(item.id, previous))
        self._emit(ev.ItemAdded(item, previous))
        self._emit(ev.ItemDone(item, previous))
        self._emit(ev.Transcribed(item.id, "", item.audio_ms / 1000))
        self.begin(Request())

    def recorded(self, utterance: Utterance, previous_id: str | None = None, *, heard: bool = False) -> None:
        """A recording that is no turn, already on its way through the recogniser. Raises CallError.

        Args:
            previous_id: where the client adds it.
            heard: it came through the microphone.
        """
        item = Item(utterance.item_id, "user", "completed", audio_ms=int(1000 * utterance.seconds))
        previous = self._dialogue.add(item, previous_id)
        if heard:
            self._emit(ev.Committed(item.id, previous))
        self._emit(ev.ItemAdded(item, previous))
        self._emit(ev.ItemDone(item, previous))
        self.owed.wait(utterance)

    def say(self, key: str) -> None:
        """Fixed words from the language's table."""
        self._on_air(self._answers.words(self._call(), key))

    def farewell(self, why: str) -> None:
        """The last words; after them the conversation has ended."""
        answer = self._answers.words(self._call(), "goodbye")
        answer.reply.note = {"ended": why}
        self._on_air(answer)

    def speak(self, text: str) -> None:
        """Just that text."""
        self._on_air(self._answers.text(self._call(), text))

    async def murmur(self, text: str, still_fits: Callable[[], bool]) -> None:
        """A listener's sound beside the conversation."""
        aside = self._answers.text(self._call(), text)
        if aside.task is not None:
            await aside.task
        aside.reply.playout.duck(MURMUR_DB)
        if still_fits():
            self.air.murmur(aside.reply.playout)

    def _on_air(self, answer: Answer) -> None:
        self.timeline.stamp("released", self._clock())
        if self._overlapping not in self.owed:  # it is in the history that is answered
            self._overlapping = None
        self.air.put(answer, held=self._held())

    def _audible(self) -> None:
        self.timeline.stamp("first_sample", self._clock())
        self._handle(turns.ReplyAudible())

    def _over(self, answer: Answer) -> None:
        self._answered = None
        self._measured(answer)
        self._handle(turns.ReplyEnded())
        note = answer.reply.note
        if note and "ended" in note:
            self._emit(ev.Ended(str(note["ended"])))

    # -------------------------------------------------------------- ends

    def cut(self, reason: str, by: Utterance | None = None) -> None:
        """The reply on air is over: silence, streams closed, its item cut to what was heard.

        `by`: who broke into it."""
        self._awaited = self._answered = None  # words that are still owed are kept when they come
        answer = self.air.cut(reason)
        request = Request() if answer is None else answer.request
        heard = answer is not None and (answer.audible or not answer.item.spoken or answer.acted)
        self._silenced = None if by is None or request is None or heard else (by, request)
        if answer is not None:
            item = answer.item
            self.timeline.note(interrupted_after_words=len((item.text or "").split()))
            if answer.speaks and item.spoken:
                self._emit(ev.ItemTruncated(item.id, item.audio_ms, item.text or ""))
            if answer.passing:
                self.forget(item.id)
            self._measured(answer)

    def withdraw(self) -> Utterance | None:
        """It was not the person's end: no trace of the reply. Returns the turn that goes on."""
        before, self._awaited, self._answered = self._answered, None, None
        answer = self.air.cut("turn_detected")
        if answer is not None:
            self.forget(answer.item.id)
        self._prepared.drop()
        self.timeline.note(withdrawn=True)
        if before is not None:
            self.owed.forget(before)
            self.forget(before.item_id)
        return before

    def forget(self, item_id: str) -> None:
        """Takes an item out of the history, if it is still there."""
        if self._dialogue.get(item_id) is not None:
            self._dialogue.remove(item_id)
            self._emit(ev.ItemDeleted(item_id))

    def _measured(self, answer: Answer) -> None:
        if answer.to is not None:
            self.timeline.note(wasted_tokens=self._prepared.wasted_tokens)
            self._prepared.wasted_tokens = 0
            figures = self.timeline.figures(answer.reply.stamps)
            item = self._dialogue.get(answer.to)
            if item is not None:
                item.figures = figures
            self._emit(ev.TurnMeasured(answer.to, answer.response_id, figures))
