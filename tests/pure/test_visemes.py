"""Phonemes to mouth shapes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.visemes import SHAPES, shapes_of

FACE = {"rest", "MBP", "FV", "TH", "S", "EE", "EH", "AH", "OH", "OO"}  # what the page's mouth can draw


@pytest.mark.parametrize(
    ("mnemonic", "shapes"),
    [
        ("p", [("MBP", 1.0, 0.0)]),
        ("'aI", [("AH", 0.85, 0.0), ("EE", 0.65, 0.55)]),
        ("tS", [("S", 0.75, 0.0)]),
        ("dZ", [("S", 0.75, 0.0)]),
        ("aU", [("AH", 0.85, 0.0), ("OO", 0.6, 0.55)]),
        ("a#", [("EH", 0.5, 0.0)]),
        ("u:", [("OO", 0.95, 0.0)]),
        ("_:", [("rest", 1.0, 0.0)]),
        ("_", [("rest", 1.0, 0.0)]),
        ("_^_", [("rest", 1.0, 0.0)]),
        ("(en)", []),
        ("?", []),
        (":", []),
        ("", []),
    ],
)
def test_a_phoneme_moves_the_mouth(mnemonic: str, shapes: list[tuple[str, float, float]]) -> None:
    assert shapes_of(mnemonic) == tuple(shapes)


def test_every_shape_can_be_drawn() -> None:
    assert {shape for shape, _ in SHAPES.values()} < FACE


@given(st.text(max_size=8))
def test_whatever_espeak_says_gives_shapes_in_order(mnemonic: str) -> None:
    shapes = shapes_of(mnemonic)
    parts = [part for _, _, part in shapes]
    assert parts == sorted(parts)
    assert all(0 <= part < 1 for part in parts)
    assert all(name in FACE and 0 < weight <= 1 for name, weight, _ in shapes)
