"""The three modes and the personas: data in the files beside this one, frozen and checked when loaded."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from pipeline import settings
from pipeline.languages import language_of
from pipeline.providers import VoiceStyle


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EspeakManner(_Data):
    variant: str  # of espeak-ng, e.g. "f3"
    pitch: float = Field(gt=0.4, lt=2)  # times the voice's own
    rate: float = Field(gt=0.4, lt=2)  # likewise


class OpenAIManner(_Data):
    voice: str
    manner: str  # a line before the mode's instructions


class Persona(_Data):
    id: str
    name: str
    role: str
    temper: str  # for the system prompt
    espeak: EspeakManner
    openai: OpenAIManner


class Mode(_Data):
    id: str
    title: str
    summary: str
    persona: str  # id of the default one
    nudges_ms: tuple[int, ...]  # of silence before each; no more nudges after the last
    topic: str  # what the prompt says where the person chose none
    instructions: str  # how to speak
    prompt: str


class Modes(_Data):
    modes: Mapping[str, Mode]
    personas: Mapping[str, Persona]

    def persona(self, mode: str, persona: str = "") -> Persona:
        """The persona that speaks: the one asked for, or the mode's own if that is unknown."""
        return self.personas.get(persona) or self.personas[self.modes[mode].persona]


@cache
def load() -> Modes:
    """All of them. Raises pydantic.ValidationError if a file is wrong: they are part of the program."""
    personas = {
        name: Persona.model_validate({"id": name, **table}) for name, table in _read("personas").items()
    }
    modes = {name: Mode.model_validate({"id": name, **_read(name)}) for name in get_args(settings.Mode)}
    return Modes(modes=modes, personas=personas)


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))


def system_prompt(
    mode: str, persona: str = "", language: str = "en", topic: str | None = None, override: str | None = None
) -> str:
    """What the mind is told about its role.

    Args:
        persona: an id, "": the mode's own.
        language: ISO 639-1.
        topic: id of a topic of the question bank, or words; None: the mode's own.
        override: the call's own instructions, which replace the mode's prompt. They may use the same
            names in braces; other braces stay as they are.
    """
    plan = load().modes[mode]
    who = load().persona(mode, persona)
    text = plan.prompt.strip() if override is None else override
    names = {
        "persona": who.name,
        "role": who.role,
        "temper": who.temper,
        "language": language_of(language).name,
        "topic": topic.replace("_", " ") if topic else plan.topic,
    }
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def style(mode: str, persona: str, provider: str, language: str = "en") -> VoiceStyle:
    """How that persona sounds in that mode and language with that voice provider.

    For "espeak" `voice` is a variant with its plus sign ("+f3"), to be added to the language's voice."""
    who = load().persona(mode, persona)
    if provider == "espeak":
        manner = who.espeak
        return VoiceStyle(
            f"+{manner.variant}", rate=manner.rate, pitch=manner.pitch, mode=mode, persona=persona
        )
    if provider == "openai":
        instructions = f"{who.openai.manner} {load().modes[mode].instructions}"
        return VoiceStyle(who.openai.voice, instructions, mode=mode, persona=persona)
    return VoiceStyle(rate=who.espeak.rate, mode=mode, persona=persona)
