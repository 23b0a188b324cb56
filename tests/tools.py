"""Functions as a server's owner writes them, for the tools in tests."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

ran: list[tuple[str, dict[str, Any]]] = []  # what was called, with what; tests clear it


class Day(BaseModel):
    temperature: float
    sky: Literal["clear", "cloudy"]


def forecast(
    city: str, days: Annotated[int, Field(ge=1, le=7)] = 1, unit: Literal["C", "F"] = "C"
) -> list[Day]:
    """The weather of the coming days.

    Ask for the city first.

    Args:
        city: its name,
            in English.
        days: how many.

    Returns:
        One of each day.
    """
    ran.append(("forecast", {"city": city, "days": days, "unit": unit}))
    if city == "Atlantis":
        raise ValueError("there is no city Atlantis")
    return [Day(temperature=20.5, sky="clear")] * days


async def look_up(word: str) -> str:
    """Looks a word up.

    Args:
        word: in any language.
    """
    ran.append(("look_up", {"word": word}))
    await asyncio.sleep({"slow": 8.0, "endless": 1e6}.get(word, 0.5))
    if word == "broken":
        raise RuntimeError("password=1234")
    return f"{word} is a word"


def where() -> str:
    """The thread that it runs on."""
    return threading.current_thread().name


def sleepy() -> str:
    """Blocks its thread."""
    threading.Event().wait(0.3)
    return "awake"


def hang() -> str:
    """Never comes back."""
    threading.Event().wait()
    return ""


def bare(city: str) -> str:
    return city


def untyped(city) -> str:  # type: ignore[no-untyped-def]
    """No type."""
    return str(city)


def anything(*cities: str) -> str:
    """Not by name."""
    return "".join(cities)


NOT_A_FUNCTION = 3
