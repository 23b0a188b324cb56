"""Replies begun: by the mind for a history, or of fixed words. And the one that is prepared unheard."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline import modes
from pipeline.items import Item, new_id
from pipeline.languages import say
from pipeline.memory import Memory, Spawn
from pipeline.notices import work_for
from pipeline.providers import Expecting, Message, Mind, ReplyOptions, Voice, VoiceStyle
from pipeline.reply import Bounds, Reply, Wording, fixed
from pipeline.settings import CallSettings, Settings
from pipeline.tokens import estimate_all
from pipeline.tool_use import MindStream, thinking
from pipeline.toolbox import Toolbox

PREPARE_BEFORE_MS = 900  # what hangs is prepared at most so long before its patience ends
PREPARATIONS = 3  # at most so many at the first sign of a pause, in
PREPARATIONS_S = 10.0
MEASURED = 8  # preparations that show how long it takes until there is sound
SPARE_MS = 150  # on top of the slowest of them


@dataclass(frozen=True, slots=True)
class Request:
    """What a client wants of one reply; what it leaves open is as the call has it."""

    patch: Mapping[str, Any] = field(default_factory=dict)  # of the call's settings
    metadata: Mapping[str, str] | None = None
    given: tuple[Item, ...] | None = None  # what it answers, in place of the history
    in_conversation: bool = True  # False: it leaves nothing in the history, and does not wait for the floor
    once_more: str | None = None  # just that, which has been said before; it leaves nothing in the history

    @property
    def differs(self) -> bool:
        """A reply that was prepared before it came is not what it wants."""
        return bool(self.patch) or self.given is not None or self.once_more is not None


@dataclass(slots=True)
class Answer:
    """A reply and what the session knows about it."""

    reply: Reply
    task: asyncio.Task[None] | None
    response_id: str
    call: CallSettings  # as they are for this reply
    item: Item  # what it says
    said: str | None = None  # the person's words it was prepared from
    to: str | None = None  # id of their item
    request: Request | None = None  # that it was begun for; None: fixed words of ours
    metadata: Mapping[str, str] | None = None
    in_conversation: bool = True
    items: list[Item] = field(default_factory=list)  # that the world has been told of: `item`, and calls
    calls: list[Item] = field(
        default_factory=list
    )  # those of them that are calls, in the order of `reply.calls`
    audible: bool = False
    passing: bool = False  # said once more: leaves nothing in the history
    failures_told: int = 0

    @property
    def speaks(self) -> bool:
        """Its words have their item."""
        return any(item is self.item for item in self.items)

    @property
    def acted(self) -> bool:
        """It has had effects beyond its words: tools ran, or a client has been told to run one."""
        return bool(self.calls) or self.reply.acted

    def stop(self) -> None:
        """Closes its streams; what is in the playout stays."""
        if self.task is not None:
            self.task.cancel()


class Answers:
    """Begins replies for one call. `spawn` starts a task in the call's group."""

    def __init__(
        self,
        mind: Mind,
        voice: Voice,
        memory: Memory,
        settings: Settings,
        spawn: Spawn,
        clock: Callable[[], float],
        toolbox: Toolbox,
        seed: int = 0,
    ) -> None:
        self._memory = memory
        self._mind = mind
        self._voice = voice
        self._settings = settings
        self._spawn = spawn
        self._clock = clock
        self._toolbox = toolbox
        self._seed = seed  # of the conversation, for minds that vary their words by themselves
        self._rotation = 0

    def begin(
        self,
        call: CallSettings,
        *,
        said: str | None = None,
        ahead: Message | None = None,
        request: Request | None = None,
        opening: str | None = None,
    ) -> Answer:
        """The mind's reply to the history, starting now; or what the request wants said once more.

        Args:
            said: the person's words that it answers.
            ahead: a message that is not in the history yet.
            request: what is to be otherwise than the call has it.
            opening: key of fixed words that come before the mind's own.
        """
        request = request or Request()
        call = call.merged(request.patch)
        if request.once_more is not None:
            answer = self.text(call, request.once_more)
            answer.passing, answer.request, answer.metadata = True, request, request.metadata
            return answer
        system = modes.system_prompt(call.mode, call.persona, call.language, call.topic, call.instructions)
        messages = self._memory.messages(system, request.given)
        self._memory.mind_is_needed()
        if ahead is not None:
            messages.append(ahead)
        llm, turns = self._settings.llm, self._settings.turns
        usual = llm.max_tokens_interview if call.mode == "interview" else llm.max_tokens
        options = ReplyOptions(
            language=call.language,
            mode=call.mode,
            topic=call.topic,
            temperature=llm.temperature,
            max_tokens=call.max_output_tokens or usual,
            persona_name=modes.load().persona(call.mode, call.persona).name,
            seed=self._seed if request.in_conversation else 0,
            tools=call.tools,
            tool_choice=call.tool_choice,
        )
        wording = Wording(
            filler=self._one_of("one_moment", call.language),
            filler_after_s=turns.filler_after_ms / 1000,
            apology=self._one_of("apology", call.language),
            apology_after_s=turns.apology_after_ms / 1000,
            opening=self._one_of(opening, call.language) if opening else "",
        )
        source = thinking(self._mind, messages, options, self._toolbox)
        answer = self._start(call, source, wording, Bounds(call.max_output_tokens, estimate_all(messages)))
        answer.said, answer.request, answer.metadata = said, request, request.metadata
        answer.in_conversation = request.in_conversation
        if answer.task is not None:
            answer.task.add_done_callback(lambda _: self._memory.mind_is_free(call, system))
        return answer

    def expect(self, call: CallSettings) -> None:
        """There is likely to be a reply soon: the voice may open beforehand what takes time."""
        if isinstance(self._voice, Expecting) and not call.text_only:
            self._voice.expect(language=call.language, style=self._style(call))

    def words(self, call: CallSettings, key: str) -> Answer:
        """Fixed words from the language's table (`say` in languages.toml)."""
        return self.text(call, self._one_of(key, call.language))

    def text(self, call: CallSettings, text: str) -> Answer:
        """Just that text, spoken."""
        return self._start(call, fixed(text), None, Bounds())

    def _one_of(self, key: str, language: str) -> str:
        choices = say(key, language)
        self._rotation += 1
        return choices[self._rotation % len(choices)]

    def _style(self, call: CallSettings) -> VoiceStyle:
        style = modes.style(call.mode, call.persona, self._voice.name, call.language)
        return replace(style, voice=call.voice or style.voice, rate=style.rate * call.speed)

    def _start(
        self, call: CallSettings, source: MindStream, wording: Wording | None, bounds: Bounds
    ) -> Answer:
        reply = Reply(
            source,
            self._voice,
            self._style(call),
            call.language,
            wording=wording,
            text_only=call.text_only,
            bounds=bounds,
            clock=self._clock,
        )
        item = Item(new_id("item"), "assistant", text="", spoken=not call.text_only)
        response_id = new_id("resp")
        prepared = wording is not None  # or may be: fixed words never are
        task = self._spawn(_run(reply, response_id if prepared else ""), "reply")
        return Answer(reply, task, response_id, call, item)


async def _run(reply: Reply, response_id: str) -> None:
    """What it costs is told with that id, by which the costs of one that nobody heard are known."""
    work_for(response_id)
    await reply.run()


class Preparation:
    """The one reply that is being prepared while the pause is still judged."""

    def __init__(self) -> None:
        self.wasted_tokens = 0
        self._answer: Answer | None = None
        self._due_ms: int | None = None  # of silence
        self._begun: deque[float] = deque(maxlen=PREPARATIONS)
        self._measured: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=MEASURED)

    def plan(self, patience_ms: int, why: str, now_s: float) -> None:
        """A pause has words. Due as late as it can be for its sound to be there when patience is over: once
        that is known, what people go on speaking over costs few tokens. Until then at once; what hangs, or
        if too much was prepared for nothing lately, shortly before the pause ends."""
        crowded = len(self._begun) == PREPARATIONS and now_s - self._begun[0] < PREPARATIONS_S
        before_ms = self._takes_ms() or patience_ms
        if crowded or why in ("hanging", "think"):
            before_ms = min(PREPARE_BEFORE_MS, before_ms)
        self._due_ms = max(0, patience_ms - before_ms)

    def _takes_ms(self) -> int:
        """From the beginning of a preparation to its first sound, with something to spare; 0: not known."""
        took_s = [
            stamps["first_audio"] - begun for begun, stamps in self._measured if "first_audio" in stamps
        ]
        return round(1000 * max(took_s)) + SPARE_MS if took_s else 0

    def is_due(self, silence_ms: int) -> bool:
        """True once, when the silence has lasted until the planned moment."""
        if self._due_ms is None or silence_ms < self._due_ms:
            return False
        self._due_ms = None
        return True

    def holds(self, said: str) -> bool:
        return self._answer is not None and self._answer.said == said

    def put(self, answer: Answer, now_s: float) -> None:
        self.drop()
        self._begun.append(now_s)
        self._measured.append((now_s, answer.reply.stamps))
        self._answer = answer

    def take(self, said: str) -> Answer | None:
        """The prepared reply, if it was prepared from these words; any other is dropped."""
        if not self.holds(said):
            self.drop()
        answer, self._answer, self._due_ms = self._answer, None, None
        return answer

    def drop(self) -> None:
        """Speech went on: everything of it is cancelled, down to the streams."""
        self._due_ms = None
        if self._answer is not None:
            self._answer.stop()
            self.wasted_tokens += self._answer.reply.tokens
            self._answer = None
