"""What an operator watches, in Prometheus' words: https://prometheus.io/docs/practices/naming/

Counted from the events of the calls, so that a figure here is one that a page could have shown. Nothing that
was said is a label, and no id of a call or a person: ids are in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pipeline import events as ev
from pipeline.notices import Spent
from server import __version__
from server.prices import name_of

__all__ = ["CONTENT_TYPE", "Metrics"]

ANSWER_S = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 3.0, 5.0, 10.0)
ADDED_S = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5, 0.8, 1.3, 2.0, 3.5, 6.0, 20.0)
CALL_S = (5, 15, 60, 180, 300, 600, 900, 1200, 1800, 3600)


class Metrics:
    """Of one process.

    Args:
        worker: its name, a label of every figure.
        currency: a label of all money.
    """

    def __init__(self, worker: str, currency: str = "USD") -> None:
        self._registry = CollectorRegistry()
        self._worker = worker
        self._currency = currency
        self._active = self._gauge("viva_calls_active", "Calls now.")
        self._room = self._gauge("viva_calls_limit", "Calls at a time that are let in.")
        self._placed = self._counters("viva_calls", "Calls answered.", "line")
        self._refused = self._counters("viva_calls_refused", "Offers not answered.", "code")
        self._lasted = self._histogram("viva_call_duration_seconds", "How long calls were.", CALL_S)
        self._answered = self._histogram(
            "viva_response_latency_seconds",
            "Voice to voice: from the end of speech to the first sample of the answer.",
            ANSWER_S,
        )
        self._patience = self._histograms(
            "viva_patience_seconds",
            "Silence that ended a turn, by how its last words were judged.",
            ANSWER_S,
            "judged",
        )
        self._added = self._histogram(
            "viva_response_overhead_seconds",
            "Response latency without patience: what the system adds.",
            ADDED_S,
        )
        self._turns = self._counters("viva_turns", "Turns answered.", "prepared")
        self._interruptions = self._counter(
            "viva_interruptions", "Barge-ins: replies that a person broke into."
        )
        self._withdrawals = self._counter(
            "viva_withdrawals", "Replies taken back, as the person had not finished."
        )
        self._wasted = self._counter(
            "viva_prepared_tokens_wasted", "Tokens of replies prepared and thrown away."
        )
        self._tokens = self._counters("viva_model_tokens", "Tokens of replies that were heard.", "direction")
        self._spoken = self._counter("viva_voice_characters", "Characters of phrases that began to be heard.")
        self._heard = self._counter("viva_speech_seconds", "Speech transcribed.")
        self._fell_over = self._counters(
            "viva_provider_changes",
            "Calls in which a provider gave way to another, or was returned to.",
            "stage",
            "from",
            "to",
        )
        self._troubles = self._counters("viva_provider_errors", "Failures that cost a turn.", "stage", "code")
        self._used = self._counters(
            "viva_provider_usage",
            "What vendors count: tokens, seconds of sound, characters; also of what was thrown away.",
            "stage",
            "model",
            "unit",
        )
        self._cost = self._counters("viva_cost", "Money, by [prices].", "stage", "model", "currency")
        self._not_priced = self._counters(
            "viva_provider_usage_not_priced",
            "Of viva_provider_usage, what has no price.",
            "stage",
            "model",
            "unit",
        )
        self._cost_wasted = self._counters(
            "viva_cost_wasted", "Of viva_cost, what answers have cost that nobody heard.", "currency"
        )
        self._today = self._gauges("viva_day_cost", "Money spent since midnight UTC.", "currency")
        self._day_limit = self._gauges("viva_day_cost_limit", "That may be spent a day.", "currency")
        Gauge(
            "viva_build_info", "The version that runs.", ["worker", "version"], registry=self._registry
        ).labels(worker, __version__).set(1)

    # ------------------------------------------------------------ of calls

    def load(self, calls: int, limit: int) -> None:
        self._active.set(calls)
        self._room.set(limit)

    def placed(self, line: str) -> None:
        """`line`: "webrtc" or "websocket"."""
        self._placed(line).inc()

    def refused(self, code: str) -> None:
        """`code`: of the error that was answered; one of a few."""
        self._refused(code).inc()

    def ended(self, seconds: float) -> None:
        self._lasted.observe(seconds)

    # ------------------------------------------------------------- of money

    def spent(self, spent: Spent, money: float | None) -> None:
        """`money`: None: it is not priced."""
        what = (spent.stage, name_of(spent))
        self._used(*what, spent.unit).inc(spent.amount)
        if money is None:
            self._not_priced(*what, spent.unit).inc(spent.amount)
        else:
            self._cost(*what, self._currency).inc(money)

    def wasted(self, money: float) -> None:
        """In a call that is over."""
        self._cost_wasted(self._currency).inc(money)

    def today(self, spent: float, budget: float) -> None:
        """`budget`: 0: no limit."""
        self._today(self._currency).set(spent)
        if budget:
            self._day_limit(self._currency).set(budget)

    # ------------------------------------------------------------ in calls

    def observe(self, event: ev.Event) -> None:
        """One event of a session."""
        match event:
            case ev.TurnMeasured():
                self._turn(event)
            case ev.ReplyDone(usage=usage) if usage is not None:
                self._tokens("input").inc(usage.input_tokens)
                self._tokens("output").inc(usage.output_tokens)
            case ev.PhraseStarted():
                self._spoken.inc(len(event.text))
            case ev.Transcribed():
                self._heard.inc(event.seconds)
            case ev.FellOver():
                self._fell_over(event.stage, event.failed, event.to).inc()
            case ev.Trouble():
                self._troubles(event.stage, event.code).inc()

    def _turn(self, turn: ev.TurnMeasured) -> None:
        figures = turn.figures
        self._turns(str(bool(figures.get("prepared"))).lower()).inc()
        self._wasted.inc(figures.get("wasted_tokens") or 0)
        if figures.get("withdrawn"):
            self._withdrawals.inc()
        if figures.get("interrupted_after_words") is not None:
            self._interruptions.inc()
        patience_ms, sounded_ms = figures.get("patience_ms"), figures.get("first_sample_ms")
        if patience_ms is not None:
            self._patience(figures.get("judged") or "").observe(patience_ms / 1000)
        if patience_ms is not None and sounded_ms is not None:
            self._answered.observe(sounded_ms / 1000)
            self._added.observe(max(0, sounded_ms - patience_ms) / 1000)

    # ----------------------------------------------------------------- out

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, what: str) -> Counter:
        return Counter(name, what, ["worker"], registry=self._registry).labels(self._worker)

    def _counters(self, name: str, what: str, *labels: str) -> Callable[..., Counter]:
        """One for each value of the labels."""
        return partial(Counter(name, what, ["worker", *labels], registry=self._registry).labels, self._worker)

    def _gauge(self, name: str, what: str) -> Gauge:
        return self._gauges(name, what)()

    def _gauges(self, name: str, what: str, *labels: str) -> Callable[..., Gauge]:
        return partial(Gauge(name, what, ["worker", *labels], registry=self._registry).labels, self._worker)

    def _histogram(self, name: str, what: str, bounds: Sequence[float]) -> Histogram:
        return self._histograms(name, what, bounds)()

    def _histograms(
        self, name: str, what: str, bounds: Sequence[float], *labels: str
    ) -> Callable[..., Histogram]:
        family = Histogram(name, what, ["worker", *labels], buckets=bounds, registry=self._registry)
        return partial(family.labels, self._worker)
