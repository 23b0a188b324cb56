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


class Manner(_Data):
    """How a persona sounds with one voice provider."""

    voice: str | Mapping[settings.Mode, str]  # the provider's name of it, also by mode
    rate: float = Field(1.0, gt=0.4, lt=2)  # times the voice's own
    pitch: float = Field(1.0, gt=0.4, lt=2)  # likewise
    manner: str = ""  # a line before the mode's instructions, for a voice that is told how to speak

    def voice_in(self, mode: str) -> str:
        return self.voice if isinstance(self.voice, str) else self.voice[mode]  # type: ignore[index]


class Persona(_Data):
    id: str
    name: str
    role: str
    temper: str  # for the system prompt
    voices: Mapping[str, Manner]  # by the provider's name


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
    """How that persona sounds in that mode and language with that voice provider."""
    who = load().persona(mode, persona)
    sounds = who.voices.get(provider)
    if sounds is None:  # of somebody else: its own voice, at the persona's pace
        return VoiceStyle(rate=who.voices["espeak"].rate, mode=mode, persona=who.id)
    told = ""
    if sounds.manner:
        native = "" if language == "en" else f" {language_of(language).name} is your first language."
        told = f"{sounds.manner}{native} {load().modes[mode].instructions}"
    return VoiceStyle(sounds.voice_in(mode), told, sounds.rate, sounds.pitch, mode=mode, persona=who.id)


def voice_of(style: VoiceStyle, provider: str, set_voices: Mapping[str, str]) -> str:
    """The voice that a provider is to be asked for; "": its own choice.

    Args:
        set_voices: the operator's names of voices, by persona or by the name that a call asks for.
    """
    who = load().personas.get(style.persona)
    sounds = who.voices.get(provider) if who else None
    own = sounds.voice_in(style.mode) if sounds and style.mode else ""
    if style.voice in ("", own):
        return set_voices.get(style.persona, own)
    return set_voices.get(style.voice, style.voice)
