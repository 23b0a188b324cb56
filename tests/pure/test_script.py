"""A model that writes a scene is heard as one that speaks, however the stream is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.script import Script


def heard(text: str, cuts: list[int] | None = None) -> str:
    places = [0, *sorted(cuts or range(len(text))), len(text)]
    script = Script("Alex")
    pieces = [text[a:b] for a, b in pairwise(places)]
    return "".join([*map(script.said, pieces), script.rest()]).strip()


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Alex: That was clear.", "That was clear."),
        ("**Alex:** That was clear.", "That was clear."),
        ("Interviewer: Hello.\nAlex: And welcome.", "Hello.\nAnd welcome."),
        ("(I smile.) That was clear.", "That was clear."),
        ("That was clear. (nods) Go on. *leans back* And then?", "That was clear. Go on. And then?"),
        ("（笑）そうですね。", "そうですね。"),
        ("[INTERRUPTED] Sure, go on.", "Sure, go on."),
        ("Go on.\n(I look at you, and I can see that you have grown.)", "Go on."),
        ("That was clear.\nCandidate: Thank you!\nAlex: Next.", "That was clear."),
        ("That was clear.\n\nUser: Thank you!", "That was clear."),
    ],
)
def test_speakers_directions_and_the_others_lines_are_not_heard(written: str, spoken: str) -> None:
    assert heard(written) == spoken


@pytest.mark.parametrize(
    "speech",
    [
        "Kubernetes (or k8s) runs containers. (1) Pods, (2) services.",
        "*Really* good. **Two** points: you were clear. **But** slow.",
        "Ask Alex: he knows. You: that is who decides.",
        "[The guide](https://example.com) says it. [1] It is long.",
        "Answering is hard. Personally, I like it. Alexander did too.",
        "You are right. User stories help. AI is one.",
        "One (that never closes. Two.",
        "(never closed",
        "Time: it flies. User:s are people.",
        "Well... yes!",
        "",
    ],
)
def test_speech_is_left_as_it_is(speech: str) -> None:
    assert heard(speech) == speech


def test_who_speaks_for_the_other_is_over() -> None:
    script = Script()
    script.said("Hello there.\nUser: ")
    assert script.over


SCENE = "Alex: Hi. (smiles) *nods* Fine (or not).\n[pause] Good (1) one.\nUser: Ok.\nAlex: No."


@given(st.sets(st.integers(0, len(SCENE))))
def test_it_does_not_matter_how_the_stream_is_cut(cuts: set[int]) -> None:
    assert heard(SCENE, list(cuts)) == "Hi. Fine (or not).\nGood (1) one."


@given(st.text(alphabet="abc .,!?\n'", max_size=80))
def test_plain_words_are_heard_at_once_and_all_of_them(text: str) -> None:
    assert heard(text) == text.strip()
