"""What the page needs to know before a call: who answers, and what there is to choose from."""

from __future__ import annotations

from typing import Any

from pipeline import modes
from pipeline.choice import Chosen, to_add
from pipeline.coach.questions import bank
from pipeline.languages import languages
from server import __version__
from server.config import Config
from server.engines import STAGES, Engines
from server.workers import Load


def about(config: Config, engines: Engines, load: Load) -> dict[str, Any]:
    """JSON for `GET /v1/viva/about`. Holds no secret."""
    ears, voice = (engines.stages[stage].chosen.provider for stage in ("stt", "tts"))
    catalogue = modes.load()
    call = config.call
    return {
        "version": __version__,
        "ready": engines.ready,
        "providers": [_provider(config, engines, stage) for stage in STAGES],
        "modes": [
            {"id": mode.id, "title": mode.title, "summary": mode.summary, "persona": mode.persona}
            for mode in catalogue.modes.values()
        ],
        "personas": [
            {"id": who.id, "name": who.name, "role": who.role} for who in catalogue.personas.values()
        ],
        "languages": [
            {
                "code": language.code,
                "name": language.name,
                "own": language.own,
                "direction": language.direction,
                "ears": ears.knows(language.code),
                "voice": voice.knows(language.code),
                "add": [] if ears.knows(language.code) else to_add("stt", language.code, config.pipeline),
            }
            for language in languages().values()
        ],
        "topics": topics(),
        "defaults": {
            "mode": call.mode,
            "persona": call.persona,
            "language": call.language,
            "topic": call.topic,
            "greet": call.greet,
            "patience": call.patience,
        },
        "limits": {
            "calls": load.calls,
            "max_calls": load.max_calls,
            "no_budget_s": load.no_budget_s,
            "longest_utterance_s": config.pipeline.turns.longest_utterance_s,
            "connect_timeout_s": config.server.connect_timeout_s,
        },
    }


def _provider(config: Config, engines: Engines, stage: Any) -> dict[str, Any]:
    engine = engines.stages[stage]
    return {
        "stage": stage,
        "name": engine.chosen.name,
        "detail": engine.chosen.provider.detail,
        "why": engine.chosen.why,
        "better": engine.chosen.better,
        "chain": _chain(engine.chosen),
        "charged": any(config.prices.charged(link.provider) for link in engine.chosen.each),
        "ready": engine.ready,
        "error": engine.error,
    }


def _chain(chosen: Chosen) -> list[dict[str, Any]]:
    """Its links, the preferred one first; [] where there is only one provider."""
    trouble = chosen.provider.trouble if chosen.links else {}
    return [
        {"name": link.name, "detail": link.provider.detail, "error": trouble.get(link.name)}
        for link in chosen.links
    ]


def topics() -> list[dict[str, str]]:
    """The topics of the question bank, in its order."""
    return [{"id": topic.id, "title": topic.title} for topic in bank().topics.values()]
