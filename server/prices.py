"""What vendors charge: the section [prices], and what something that a call has used costs by it.

An estimate, in floating point: the vendor's bill is what counts. It knows no rounding up to whole seconds, no
free allowance, no discount.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from pipeline.notices import Spent, Unit
from pipeline.settings import Section

# input, cached, output: of a million tokens; characters: of a million; minute, hour: of sound.
Rate = Literal["input", "cached", "output", "characters", "minute", "hour"]
Rates = Mapping[Rate, float]

MILLION = 1_000_000
SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")  # of a model, by its date: it costs what the model costs
OWN_DOMAINS = (".local", ".lan", ".internal", ".home.arpa", ".localhost")

# As of June 2026. Where a vendor charges by plan or language, the dearer of what a small account pays.
SHIPPED: dict[str, Rates] = {
    "openai/gpt-4o-mini": {"input": 0.15, "cached": 0.075, "output": 0.60},
    "openai/gpt-4o": {"input": 2.50, "cached": 1.25, "output": 10.0},
    "openai/gpt-4.1": {"input": 2.00, "cached": 0.50, "output": 8.00},
    "openai/gpt-4.1-mini": {"input": 0.40, "cached": 0.10, "output": 1.60},
    "openai/gpt-4.1-nano": {"input": 0.10, "cached": 0.025, "output": 0.40},
    "openai/gpt-5": {"input": 1.25, "cached": 0.125, "output": 10.0},
    "openai/gpt-5-mini": {"input": 0.25, "cached": 0.025, "output": 2.00},
    "openai/gpt-5-nano": {"input": 0.05, "cached": 0.005, "output": 0.40},
    "openai/whisper-1": {"minute": 0.006},
    "openai/gpt-4o-transcribe": {"minute": 0.006},
    "openai/gpt-4o-mini-transcribe": {"minute": 0.003},
    "openai/gpt-4o-mini-tts": {"minute": 0.015},
    "openai/tts-1": {"characters": 15.0},
    "openai/tts-1-hd": {"characters": 30.0},
    "deepgram": {"minute": 0.0058},
    "assemblyai": {"hour": 0.15},
    "elevenlabs": {"characters": 100.0},
    "elevenlabs/eleven_flash_v2_5": {"characters": 50.0},
}


class PriceSettings(Section):
    currency: str = Field("USD", pattern="^[A-Z]{3}$")  # of all of them; nothing is converted
    # By "provider/model", or by "provider" for all its others; a server of another vendor that speaks the
    # same protocol by its host. What stands here is laid over what is shipped; {}: not priced.
    models: dict[str, dict[Rate, Annotated[float, Field(ge=0)]]] = Field(
        default_factory=lambda: {name: dict(rates) for name, rates in SHIPPED.items()}
    )

    @field_validator("models")
    @classmethod
    def _over_the_shipped(cls, given: dict[str, dict[Rate, float]]) -> dict[str, dict[Rate, float]]:
        return {**{name: dict(rates) for name, rates in SHIPPED.items()}, **given}

    def cost(self, spent: Spent) -> float | None:
        """In `currency`; 0 on a machine of one's own; None: it is charged for, and no price is known."""
        rates = self.rates(name_of(spent))
        if rates:
            return spent.amount * _rate(rates, spent.unit)
        return 0.0 if spent.host and is_own(spent.host) else None

    def charged(self, provider: Any) -> bool:
        """Somebody sends a bill for its work."""
        charges = getattr(provider, "charges", None)
        own = charges is None or (charges.host and is_own(charges.host) and not self.rates(name_of(charges)))
        return not own

    def not_priced(self, providers: Iterable[Any]) -> list[str]:
        """Those of them that are charged for, and have no price: their names here."""
        charges = (getattr(provider, "charges", None) for provider in providers)
        return sorted({name_of(one) for one in charges if one is not None and self.cost(one) is None})

    def rates(self, name: str) -> Rates | None:
        """Of "provider/model"; None: none are known."""
        name = SNAPSHOT.sub("", name)
        return self.models.get(name, self.models.get(name.partition("/")[0])) or None


def name_of(spent: Spent) -> str:
    """As [prices] knows it."""
    who = spent.host or spent.provider
    return f"{who}/{spent.model}" if spent.model else who


def is_own(host: str) -> bool:
    """A server on this machine or in the own network: nobody sends a bill."""
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.lower().endswith(OWN_DOMAINS)
    return address.is_private or address.is_link_local


def _rate(rates: Rates, unit: Unit) -> float:
    """Of one token, character or second; 0: the vendor counts something else."""
    match unit:
        case "input_tokens":
            return rates.get("input", 0.0) / MILLION
        case "cached_tokens":
            return rates.get("cached", rates.get("input", 0.0)) / MILLION
        case "output_tokens":
            return rates.get("output", 0.0) / MILLION
        case "characters":
            return rates.get("characters", 0.0) / MILLION
        case "seconds":
            return rates.get("minute", 0.0) / 60 + rates.get("hour", 0.0) / 3600
