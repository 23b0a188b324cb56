"""What the corpus for the figures is made of."""

from __future__ import annotations

import numpy as np
import pytest

from bench import corpus, noises
from pipeline.languages import language_of


def test_the_same_seed_makes_the_same_answers() -> None:
    assert corpus.answers(20, 3) == corpus.answers(20, 3)
    assert corpus.answers(20, 3) != corpus.answers(20, 4)


def test_four_of_five_pauses_stand_after_a_hanging_word() -> None:
    known = language_of("en")
    answers = [answer for seed in range(1, 13) for answer in corpus.answers(8, seed)]
    pauses = [part for answer in answers for part in answer[:-1]]
    for part in pauses:
        assert 300 <= part.pause_ms <= 1500
    for answer in answers:
        for end in range(1, len(answer)):
            said = " ".join(part.text for part in answer[:end])
            hangs = bool(known.hanging.at_end(said) or known.fillers.at_end(said))
            assert hangs == answer[end - 1].hangs
    assert 0.77 <= sum(part.hangs for part in pauses) / len(pauses) <= 0.83


@pytest.mark.parametrize("kind", sorted(noises.MAKERS))
def test_a_noise_has_its_level_and_its_seed(kind: str) -> None:
    sound = noises.make(kind, 5, -26)
    level_db = 10 * np.log10(np.mean((sound / 32768) ** 2))
    assert abs(level_db + 26) < 1
    assert np.array_equal(sound, noises.make(kind, 5, -26))
    assert not np.array_equal(sound, noises.make(kind, 6, -26))
    assert 200 <= 1000 * len(sound) / 16_000 <= 2_500
