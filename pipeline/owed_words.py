"""The words of turns and recordings that are over: which are still to come, and how long they are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipeline import events as ev
from pipeline.errors import ProviderError
from pipeline.listening import Utterance

FULL_WITHIN_S = 2.5  # how long an answer waits for the recogniser's better pass


class OwedWords:
    """One call's.

    Args:
        bound_s: how long words are awaited at all; a recording has its own length on top.
        better: whether the recogniser's full pass is wanted as things are now.
        stop: ends the recognition of an utterance.
        settled: an utterance that was awaited has its words, or will have none.
    """

    def __init__(
        self,
        bound_s: float,
        better: Callable[[], bool],
        emit: Callable[[ev.Event], None],
        stop: Callable[[Utterance], None],
        settled: Callable[[Utterance], None],
    ) -> None:
        self._bound_s = bound_s
        self._better = better
        self._emit = emit
        self._stop = stop
        self._settled = settled
        self._timers: dict[Utterance, asyncio.TimerHandle] = {}  # in the order in which they were over

    def __contains__(self, utterance: object) -> bool:
        return utterance in self._timers

    def __bool__(self) -> bool:
        return bool(self._timers)

    def known(self, utterance: Utterance) -> bool:
        """Its words are as good as they will get for an answer."""
        if utterance.before is not None and not self.known(utterance.before):
            return False
        if utterance.over:
            return True
        if utterance.final is None:
            return False
        return utterance.full is not None or not (self._better() and utterance.final.text)

    def ask(self, utterance: Utterance) -> None:
        """It is over: `settled` is called as soon as its words are known, or after a bound."""
        if self.known(utterance):
            self._settle(utterance)
        else:
            self.wait(utterance)

    def wait(self, utterance: Utterance) -> None:
        """Of one whose words cannot be there yet."""
        self.forget(utterance)
        bound_s = self._bound_s
        if utterance.recorded:
            bound_s += utterance.seconds
        if utterance.final is not None:  # only the better pass is missing
            bound_s = min(bound_s, FULL_WITHIN_S)
        loop = asyncio.get_running_loop()
        self._timers[utterance] = loop.call_later(bound_s, self._give_up, utterance)

    def came(self, utterance: Utterance) -> bool:
        """News of words; False: nobody waits for them here."""
        waiting = [one for one in self._timers if one.includes(utterance)]
        for one in waiting:
            if self.known(one):
                self._settle(one)
            elif utterance is one:
                self.wait(one)
        return bool(waiting)

    def aside(self, overlapping: Utterance | None) -> Utterance | None:
        """The first that was said beside the talk: a client's recording, or `overlapping` with a reply."""
        return next((one for one in self._timers if one.recorded or one is overlapping), None)

    def forget(self, utterance: Utterance) -> None:
        """Nobody waits for it any more."""
        timer = self._timers.pop(utterance, None)
        if timer is not None:
            timer.cancel()

    def forget_all(self) -> None:
        while self._timers:
            self._timers.popitem()[1].cancel()

    def _give_up(self, utterance: Utterance) -> None:
        """Its words, or the better ones, have not come in time."""
        if not utterance.words:
            utterance.failed = ProviderError("stt", "ears", "no words came in time", "timeout")
            self._emit(ev.Trouble("stt", "timeout", utterance.failed.message))
        self._stop(utterance)
        self._settle(utterance)

    def _settle(self, utterance: Utterance) -> None:
        self.forget(utterance)
        self._settled(utterance)
