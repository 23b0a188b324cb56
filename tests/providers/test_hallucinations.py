"""What nobody said is left out, and what somebody said is not."""

from __future__ import annotations

import pytest

from pipeline.providers import Word
from pipeline.stt.hallucinations import goes_in_circles, is_made_up, weighed, without_circles


def words(text: str) -> list[Word]:
    return [
        Word(f" {word}", 100 * number, 100 * number + 80, 1.0) for number, word in enumerate(text.split())
    ]


def said(found: list[Word]) -> str:
    return "".join(word.text for word in found).strip()


@pytest.mark.parametrize(
    ("text", "language", "no_speech", "likely"),
    [
        ("whatever it is", "en", 0.7, -1.2),
        (" . . . .", "en", 0.2, -0.02),
        ("Thank you for watching!", "en", 0.55, -0.3),
        ("Subtitles by the Amara.org community", "en", 0.0, 0.0),
        ("Untertitel im Auftrag des ZDF für funk, 2017", "de", 0.0, 0.0),
        ("ご視聴ありがとうございました", "ja", 0.55, -0.2),
        ("Продолжение следует...", "ru", 0.55, -0.2),
        ("Sous-titres réalisés para la communauté d'Amara.org", "fr", 0.0, 0.0),
    ],
)
def test_what_is_made_up(text: str, language: str, no_speech: float, likely: float) -> None:
    assert is_made_up(text, language, no_speech, likely)


@pytest.mark.parametrize(
    ("text", "language", "no_speech", "likely"),
    [
        ("Thank you.", "en", 0.05, -0.4),
        ("Bye.", "en", 0.44, -0.48),
        ("Thank you, that was a good question.", "en", 0.5, -0.4),
        ("I said nothing", "en", 0.7, -0.4),
        ("I once wrote a tool that adds subtitles to a film", "en", 0.1, -0.3),
        ("我们给视频加了字幕", "zh", 0.1, -0.3),
    ],
)
def test_what_is_not(text: str, language: str, no_speech: float, likely: float) -> None:
    assert not is_made_up(text, language, no_speech, likely)


def test_words_that_go_round_are_kept_a_few_times_at_most() -> None:
    assert said(without_circles(words("and so " + "I think " * 40), "en")).startswith("and so I think")
    assert len(without_circles(words("and so " + "I think " * 40), "en")) <= 2 + 2 * 4
    assert len(without_circles(words("no " * 30), "en")) <= 4


def test_somebody_may_say_a_word_four_times() -> None:
    spoken = "no no no no I meant the other the other one"
    assert said(without_circles(words(spoken), "en")) == spoken


def test_circles_show_in_how_well_the_text_can_be_packed() -> None:
    assert goes_in_circles("this is what I said about that and " * 12)
    assert not goes_in_circles("We moved the database to a new server in March, and it was quick.")


@pytest.mark.parametrize(
    ("text", "no_speech", "likely", "kept", "doubtful"),
    [
        ("we moved it", 0.1, -0.3, 3, False),
        ("we moved it", 0.1, -1.4, 3, True),
        ("sure " * 9, 0.1, -0.1, 1, True),
        ("ha " * 9, 0.65, -0.1, 0, False),
        ("this is what I said about that and " * 12, 0.1, -0.1, 0, True),
        ("door", 0.9, -1.8, 0, False),
    ],
    ids=["said", "unlikely", "in circles", "laughter", "in long circles", "noise"],
)
def test_what_remains_of_a_decoding(
    text: str, no_speech: float, likely: float, kept: int, doubtful: bool
) -> None:
    found = weighed(words(text), "en", no_speech=no_speech, log_probability=likely)
    assert (len(found.words), found.doubtful) == (kept, doubtful)
