"""What a voice is given, and where its words are in what is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.settings import Language
from pipeline.speakable import speakable

LANGUAGES = Language.__args__  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("**Exactly**, use `Redis`.", "Exactly, use Redis."),
        ("# A title", "A title"),
        ("- first point", "first point"),
        ("_Well_ said, *really*.", "Well said, really."),
        ("[the docs](https://a.b/c) say so", "the docs say so"),
        ("> quoted", "quoted"),
        ("Great 🎉👍🏽!", "Great!"),
        ("It costs $5 or $2.5M.", "It costs 5 dollars or 2.5 million dollars."),
        ("It costs $1.", "It costs 1 dollar."),
        ("About 20% of 3,000 users", "About 20 percent of 3,000 users"),
        ("It takes 30 ms.", "It takes 30 milliseconds."),
        ("1 GB of memory", "1 gigabyte of memory"),
        ("Use SQL, e.g. in C++.", "Use sequel, for example in C plus plus."),
        ("We run k8s & nginx", "We run kubernetes and engine x"),
        ("See https://www.example.com/a/b?c=d.", "See example dot com."),
        ("Mail me@example.org!", "Mail me at example dot org!"),
        ("On 2024-05-01.", "On May 1, 2024."),
        ("2-3 times, 10–20 users", "2 to 3 times, 10 to 20 users"),
        ("It is O(n log n).", "It is O of n log n."),
        ("A well-known API is an API.", "A well-known API is an API."),
        ("Year 1999 and 42 cats", "Year 1999 and 42 cats"),
        ("Don't say “no” (yet).", "Don't say “no” (yet)."),
        ("```python\nx = 1\n```", ""),
        ("No. 5 is alive. No.", "number 5 is alive. No."),
        ("🎉", ""),
        ("***", ""),
        ("", ""),
    ],
)
def test_english_phrase_is_read_sensibly(text, spoken):
    assert speakable(text, "en").text == spoken


@pytest.mark.parametrize(
    ("language", "text", "spoken"),
    [
        ("de", "z. B. 5 km für 3 €", "zum Beispiel 5 Kilometer für 3 Euro"),
        ("es", "Sr. Pérez & Cía., 20 %", "señor Pérez y Cía., 20 por ciento"),
        ("fr", "p. ex. 3 € & 5 km", "par exemple 3 euros et 5 kilomètres"),
        ("nl", "bijv. 2-3 km", "bijvoorbeeld 2 tot 3 kilometer"),
        ("it", "ad es. 5 kg", "ad esempio 5 chili"),
        ("pt", "R$ 20 por 5 km", "20 reais por 5 quilômetros"),
        ("ru", "т. е. 5 км", "то есть 5 километров"),
        ("zh", "大约5km，¥30", "大约5公里，30元"),
        ("ja", "約5kmです。", "約5キロメートルです。"),
        ("ko", "약 5km, ₩3000", "약 5 킬로미터, 3000 원"),
        ("hi", "₹500 में 5 km", "500 रुपये में 5 किलोमीटर"),
        ("ar", "حوالي 5 km", "حوالي 5 كيلومتر"),
    ],
)
def test_signs_are_read_in_the_language(language, text, spoken):
    assert speakable(text, language).text == spoken


def test_display_keeps_signs_and_emoji_but_no_markdown():
    assert speakable("**Good** 🎉 & `SQL`\n", "en").display == "Good 🎉 & SQL "


def test_displays_of_phrases_join_to_the_text():
    whole = "First, **this** is it. Then that."
    phrases = ["First, **this** is it. ", "Then that."]
    assert "".join(speakable(phrase, "en").display for phrase in phrases) == speakable(whole, "en").display


def test_code_is_shown_but_not_spoken():
    spoken = speakable("```python\nx = 1\n```", "en")
    assert (spoken.text, spoken.display) == ("", "x = 1")


def test_mark_behind_a_replaced_sign_points_behind_it():
    spoken = speakable("Use SQL, e.g. here", "en")
    here = spoken.text.index("here")
    assert spoken.display[spoken.shown(here) :] == "here"
    inside = spoken.text.index("example")  # of "for example"
    assert spoken.display[: spoken.shown(inside)] == "Use SQL, "


def test_ends_map_to_ends():
    spoken = speakable("  Hello **there**  ", "en")
    assert spoken.shown(len(spoken.text)) == len(spoken.display)
    assert spoken.shown(0) == spoken.display.index("H")


@given(
    st.text(alphabet="abC 12.,!?*_`#$€%&+|[]()🎉-–@/\n<>é中", max_size=80),
    st.sampled_from(LANGUAGES),
)
def test_map_is_monotone_and_inside_the_display(text, language):
    spoken = speakable(text, language)
    places = [spoken.shown(offset) for offset in range(-1, len(spoken.text) + 2)]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] <= len(spoken.display)
    assert not set(spoken.text) & set("*_`#|🎉")
    assert "  " not in spoken.text
    assert spoken.text == spoken.text.strip()


@pytest.mark.parametrize("language", LANGUAGES)
def test_plain_sentence_is_left_as_it_is(language):
    assert speakable("Marta 2 Anna, Otto.", language).text == "Marta 2 Anna, Otto."
