"""Makes a phrase speakable: no Markdown, no emoji, signs and abbreviations as words.

Three texts belong together. The phrase as the mind wrote it; the display text, which is the phrase without
its Markdown and goes into captions and history; the spoken text, which is what the voice is given. The voice
marks its words in the spoken text, so every place in that has a place in the display text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.signs import signs_of


@dataclass(frozen=True, slots=True)
class Spoken:
    """A phrase for the voice.

    text: spoken; empty if there is nothing to say (an emoji, a block of code).
    display: for the eye, its white space made single and kept at both ends, so that phrases can be joined.
    """

    text: str
    display: str
    _places: tuple[int, ...] = field(repr=False)  # for each character of `text` its offset in `display`

    def shown(self, spoken_offset: int) -> int:
        """The offset in `display` that belongs to one in `text`. Monotone; never inside what was replaced:
        an offset there gives the beginning of the sign or abbreviation, so that half heard is not heard."""
        if spoken_offset < 0:
            return 0
        if spoken_offset >= len(self._places):
            return len(self.display)
        return self._places[spoken_offset]


def speakable(text: str, language: str) -> Spoken:
    """Raises nothing: an unknown language is read by the English table."""
    words = signs_of(language)
    display: list[str] = []
    shown = 0  # characters of `display` so far
    spoken: list[str] = []
    places: list[int] = []

    def say(piece: str, at: int, *, step: int) -> None:
        if spoken and spoken[-1] == " " and piece[:1] in tuple(",.!?;:"):
            spoken.pop()
            places.pop()
        for offset, char in enumerate(piece):
            if char.isspace():
                if not spoken or spoken[-1] == " ":
                    continue
                char = " "
            spoken.append(char)
            places.append(at + offset * step)

    for piece, silent in _without_markdown(text):
        if silent:
            display.append(piece)
            shown += len(piece)
            continue
        if piece[:1] == " " and shown and display[-1][-1:] == " ":
            piece = piece[1:]
        end = 0
        for match in words.pattern.finditer(piece):
            say(piece[end : match.start()], shown + end, step=1)
            reading = words.read(match)
            before = words.before if match.start() > 0 and piece[match.start() - 1].isalnum() else ""
            after = words.after if match.end() < len(piece) and piece[match.end()].isalnum() else ""
            if reading or (before and after):
                say(f"{before}{reading}{after}", shown + match.start(), step=0)
            end = match.end()
        say(piece[end:], shown + end, step=1)
        display.append(piece)
        shown += len(piece)
    return _trimmed("".join(spoken), "".join(display), places)


def _trimmed(spoken: str, display: str, places: list[int]) -> Spoken:
    if not any(char.isalnum() for char in spoken):
        return Spoken("", display, ())
    end = len(spoken.rstrip())
    return Spoken(spoken[:end], display, tuple(places[:end]))


# ------------------------------------------------------------------ Markdown

_MARKDOWN = re.compile(
    r"""
    (?P<fence> ```[^\n`]*\n?(?P<code>.*?)(?:```|\Z) )
  | (?P<image> !\[(?P<alt>[^\]]*)\]\([^)]*\) )
  | (?P<link> \[(?P<label>[^\]]+)\]\([^)\s]*(?:\s"[^"]*")?\) )
  | (?P<html> </?[a-zA-Z][^<>\n]{0,80}> )
  | (?P<rule> ^[ \t]*(?:-{3,}|\*{3,}|_{3,}|[|:\-\s]{5,})[ \t]*$ )
  | (?P<head> ^[ \t]*(?:\#{1,6}[ \t]+|>[ \t]*|[-*+•][ \t]+(?:\[[ xX]\][ \t]+)?) )
  | (?P<tick> `+ )
  | (?P<strong> \*{2,3} | __ | ~~ )
  | (?P<stress> (?<!\w)[*_](?=\S) | (?<=\S)[*_](?!\w) )
  | (?P<pipe> [ \t]*\|[ \t]* )
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)


def _without_markdown(text: str) -> Iterator[tuple[str, bool]]:
    """Pieces of the display text in order, each with whether the voice is silent about it."""
    end = 0
    for match in _MARKDOWN.finditer(text):
        yield from _visible(text[end : match.start()])
        end = match.end()
        kind = match.lastgroup
        if match.group("fence") is not None:
            code = match.group("code").strip("\n")
            if code:
                yield code, True
        elif match.group("link") is not None:
            yield from _visible(match.group("label"))
        elif match.group("image") is not None:
            yield from _visible(match.group("alt"))
        elif kind == "pipe":
            yield ", " if match.start() and end < len(text) and text[end] not in "\n|" else " ", False
    yield from _visible(text[end:])


def _visible(text: str) -> Iterator[tuple[str, bool]]:
    text = re.sub(r"\s+", " ", text)
    if text:
        yield text, False
