"""Over a reply, with the embedded recogniser: what asks for nothing, and what asks for the floor."""

from __future__ import annotations

from bench import corpus, floor
from bench.corpus import Over

HEARTY = 26  # of the corpus: a laugh in which pocketsphinx is sure of "ha ha ha"
ASKS_FOR_NOTHING = list(corpus.nothing_meant(HEARTY + 1, 7, (700, 3_000)))


def test_coughs_laughter_and_a_yeah_leave_every_reply_whole() -> None:
    sounds = [ASKS_FOR_NOTHING[number] for number in (HEARTY - 1, HEARTY, 9)]
    assert [over.kind for over in sounds] == ["cough", "laugh", "backchannel"]
    rows = floor.over_replies(sounds, ears=floor.embedded())
    assert [row["kind"] for row in rows if row["lost"]] == []
    assert any(row["ducked"] for row in rows), "somebody was heard"
    assert max(row["resumed_ms"] for row in rows) <= 300, "though the second look may come later"


def test_a_question_of_a_few_words_ends_the_reply() -> None:
    words = "no that is not what i meant"
    (row,) = floor.over_replies(
        [Over("normal", corpus.spoken(words, "slt"), words, 900)], ears=floor.embedded()
    )
    assert row["lost"]
    assert row["silent_ms"] <= 380
