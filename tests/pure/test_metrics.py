"""What Prometheus is told: from the events of calls, without words or ids."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline import events as ev
from pipeline.notices import Spent
from pipeline.providers import Usage
from server.metrics import Metrics

TURN = {
    "patience_ms": 240,
    "judged": "complete",
    "first_sample_ms": 260,
    "prepared": True,
    "wasted_tokens": 7,
}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("one")


def figures(metrics: Metrics) -> dict[str, float]:
    """ "name" or "name{label=value,...}" without the worker -> value, as a scraper reads them."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            assert sample.labels.pop("worker") == "one"
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_an_answer_counts_with_its_latency_its_patience_and_what_the_system_added(metrics: Metrics) -> None:
    metrics.observe(ev.TurnMeasured("item", "resp", TURN))
    seen = figures(metrics)
    assert seen["viva_turns_total{prepared=true}"] == 1
    assert seen["viva_response_latency_seconds_sum"] == pytest.approx(0.26)
    assert seen["viva_patience_seconds_sum{judged=complete}"] == pytest.approx(0.24)
    assert seen["viva_response_overhead_seconds_sum"] == pytest.approx(0.02)
    assert (
        seen["viva_response_overhead_seconds_bucket{le=0.02}"]
        + seen["viva_response_overhead_seconds_bucket{le=0.03}"]
        >= 1
    )
    assert seen["viva_prepared_tokens_wasted_total"] == 7
    assert seen["viva_interruptions_total"] == 0


def test_a_reply_that_was_broken_into_or_taken_back_counts_as_such(metrics: Metrics) -> None:
    metrics.observe(ev.TurnMeasured("item", "resp", {**TURN, "interrupted_after_words": 0}))
    metrics.observe(ev.TurnMeasured("item", "resp", {**TURN, "withdrawn": True}))
    seen = figures(metrics)
    assert seen["viva_interruptions_total"] == 1
    assert seen["viva_withdrawals_total"] == 1


def test_a_reply_to_no_turn_has_no_latency(metrics: Metrics) -> None:
    metrics.observe(ev.TurnMeasured("item", "resp", {"first_sample_ms": 300}))
    assert figures(metrics)["viva_response_latency_seconds_count"] == 0


def test_speech_tokens_and_failures_are_counted_by_where_they_belong(metrics: Metrics) -> None:
    metrics.observe(ev.Transcribed("item", "my name is Ann", 2.5))
    metrics.observe(ev.ReplyDone("resp", "completed", usage=Usage(100, 20)))
    metrics.observe(ev.PhraseStarted("resp", "item", "Hello Ann."))
    metrics.observe(ev.Trouble("llm", "timeout", "the mind of Ann did not answer"))
    seen = figures(metrics)
    assert seen["viva_speech_seconds_total"] == 2.5
    assert seen["viva_model_tokens_total{direction=input}"] == 100
    assert seen["viva_voice_characters_total"] == 10
    assert seen["viva_model_tokens_total{direction=output}"] == 20
    assert seen["viva_provider_errors_total{code=timeout,stage=llm}"] == 1
    assert b"Ann" not in metrics.text()


def test_a_provider_that_gave_way_is_counted_with_the_one_that_took_over(metrics: Metrics) -> None:
    metrics.observe(ev.FellOver("tts", "elevenlabs", "espeak", "timeout", "said nothing for 5 s"))
    assert figures(metrics)["viva_provider_changes_total{from=elevenlabs,stage=tts,to=espeak}"] == 1


def test_money_is_counted_by_what_it_went_into_and_what_has_no_price_apart() -> None:
    metrics = Metrics("one", "EUR")
    metrics.spent(Spent("llm", "openai", "gpt-4o", "output_tokens", 500), 0.005)
    metrics.spent(Spent("stt", "deepgram", "nova-9", "seconds", 12.5), None)
    metrics.wasted(0.002)
    metrics.today(0.005, 10)
    seen = figures(metrics)
    assert seen["viva_cost_total{currency=EUR,model=openai/gpt-4o,stage=llm}"] == 0.005
    assert seen["viva_provider_usage_total{model=openai/gpt-4o,stage=llm,unit=output_tokens}"] == 500
    assert seen["viva_provider_usage_not_priced_total{model=deepgram/nova-9,stage=stt,unit=seconds}"] == 12.5
    assert not [name for name in seen if name.startswith("viva_cost_total") and "nova" in name]
    assert seen["viva_cost_wasted_total{currency=EUR}"] == 0.002
    assert (seen["viva_day_cost{currency=EUR}"], seen["viva_day_cost_limit{currency=EUR}"]) == (0.005, 10)


def test_calls_are_counted_as_they_come_and_go(metrics: Metrics) -> None:
    metrics.placed("webrtc")
    metrics.load(1, 8)
    metrics.refused("server_busy")
    metrics.ended(61.0)
    seen = figures(metrics)
    assert seen["viva_calls_total{line=webrtc}"] == 1
    assert (seen["viva_calls_active"], seen["viva_calls_limit"]) == (1, 8)
    assert seen["viva_calls_refused_total{code=server_busy}"] == 1
    assert seen["viva_call_duration_seconds_sum"] == 61
