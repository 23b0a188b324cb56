"""Personas and modes are data: complete, and put together as the page and the voices expect them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.modes import load, style, system_prompt, voice_of
from pipeline.providers import VoiceStyle
from pipeline.settings import Language, Mode

MODES = Mode.__args__  # type: ignore[attr-defined]
LANGUAGES = Language.__args__  # type: ignore[attr-defined]
FACES = Path(__file__).parents[2] / "static" / "face" / "personas.js"


def test_every_mode_has_a_persona_of_its_own():
    assert {mode: load().modes[mode].persona for mode in MODES} == {
        "interview": "alex",
        "language": "mei",
        "chat": "tomas",
    }


def test_personas_are_those_that_have_a_face():
    faces = re.findall(r"^  (\w+): \{\n    name: '([^']+)'", FACES.read_text("utf-8"), re.MULTILINE)
    assert faces == [(persona.id, persona.name) for persona in load().personas.values()]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_prompt_has_no_open_places(mode, language):
    prompt = system_prompt(mode, "", language, None)
    assert not re.search(r"[{}]", prompt)
    assert load().persona(mode).name in prompt
    assert "[INTERRUPTED]" in prompt


def test_prompt_names_persona_language_and_topic():
    prompt = system_prompt("interview", "vera", "de", "system_design")
    assert "You are Vera" in prompt
    assert "in German" in prompt
    assert "Topic: system design." in prompt


def test_override_replaces_the_prompt_and_keeps_foreign_braces():
    assert system_prompt("chat", "", "en", None, 'Be {persona}, answer {"as": "JSON"}') == (
        'Be Tomás, answer {"as": "JSON"}'
    )


def test_empty_override_is_an_override():
    assert system_prompt("chat", override="") == ""


def test_unknown_persona_becomes_the_modes_own():
    assert load().persona("interview", "nobody").id == "alex"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("provider", ["espeak", "openai", "elevenlabs", "piper"])
def test_no_two_personas_sound_alike(mode, provider):
    voices = {style(mode, persona, provider).voice for persona in load().personas}
    assert len(voices) == len(load().personas)


def test_openai_voice_is_told_how_to_speak_by_persona_and_mode():
    spoken = style("language", "", "openai")
    assert spoken.voice == "nova"
    assert "young woman" in spoken.instructions
    assert "slowly" in spoken.instructions


def test_openai_voices_of_women_go_by_mode():
    assert style("interview", "vera", "openai").voice == "coral"
    assert style("language", "mei", "openai").voice == "nova"
    assert style("chat", "mei", "openai").voice == "shimmer"


def test_a_voice_that_takes_instructions_is_told_what_its_first_language_is():
    assert "Japanese is your first language" in style("chat", "mei", "openai", "ja").instructions
    assert "first language" not in style("chat", "mei", "openai", "en").instructions


def test_espeak_speaks_slower_in_a_language_lesson_than_in_an_interview():
    assert style("language", "", "espeak").rate < style("interview", "", "espeak").rate


def test_provider_without_a_style_of_its_own_gets_a_plain_one():
    spoken = style("chat", "vera", "somebody")
    assert (spoken.voice, spoken.persona) == ("", "vera")


def test_a_style_knows_its_persona_so_that_another_provider_can_be_given_its_own():
    spoken = style("language", "", "openai")
    assert style(spoken.mode, spoken.persona, "elevenlabs") == style("language", "mei", "elevenlabs")


def test_a_voice_that_was_set_for_a_persona_is_taken_in_place_of_its_own():
    assert voice_of(style("interview", "vera", "openai"), "openai", {"vera": "af_bella"}) == "af_bella"
    assert voice_of(style("interview", "alex", "openai"), "openai", {"vera": "af_bella"}) == "ash"


def test_a_voice_that_a_call_asks_for_goes_before_the_personas():
    asked = replace(style("interview", "vera", "openai"), voice="alloy")
    assert voice_of(asked, "openai", {"vera": "af_bella"}) == "alloy"
    assert voice_of(asked, "openai", {"vera": "af_bella", "alloy": "af_alloy"}) == "af_alloy"


def test_a_style_of_nobody_leaves_the_voice_to_the_provider():
    assert voice_of(VoiceStyle(), "openai", {"vera": "af_bella"}) == ""
