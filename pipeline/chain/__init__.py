"""Several providers of one stage as one: each stands in for those before it, in the middle of a call.

links ──order──▶ relay ──pieces──▶ ears, mind, voice: what is said of one piece of work when its provider
                   │                changes half-way, so that no word is lost or said twice
                   └─ late, failed: the next one is started; whoever is first wins, the other is closed
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.chain.ears import ChainEars
from pipeline.chain.links import Links
from pipeline.chain.mind import ChainMind
from pipeline.chain.voice import ChainVoice
from pipeline.errors import Stage
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.choice import Chosen

__all__ = ["ChainEars", "ChainMind", "ChainVoice", "chained"]


def chained(stage: Stage, links: Sequence[Chosen], settings: Settings) -> ChainEars | ChainMind | ChainVoice:
    """A provider of that stage made of several, the preferred one first."""
    named = Links(stage, [(link.name, link.provider) for link in links], settings.chain)
    match stage:
        case "stt":
            return ChainEars(named)
        case "llm":
            return ChainMind(named)
        case "tts":
            return ChainVoice(named)
