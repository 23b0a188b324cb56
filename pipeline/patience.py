"""How long a pause may last before the floor changes, from the words so far and the mode.

The order of judgement, and why it is that order, is at the head of languages.toml:
cue, dictated number or address, exception, hanging, question, terminator, neutral.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from pipeline.languages import Language, cue, fold, language_of, matching
from pipeline.settings import PatienceSettings

Kind = Literal["complete", "question", "neutral", "hanging"]

DONE_MS = 240  # "that's all": the person has said that they ended, so no mode waits longer than chat does
DICTATION_REACH = 4  # words before a dictation word in which a digit, a letter or another such word counts
WORD_LETTERS = frozenset("aeioyàéèòóuúуввиякосàöå")  # single letters that are words somewhere
QUESTION_MARKS = ("?", "？", "؟")
TRAILING_OFF = ("…", "...")  # written by recognisers where a voice trails off: no sign of an end
SEPARATOR_IN_NUMBER = re.compile(r"(?<=\d)[.,:'’](?=\d)")  # 10,000 and 99.9 are one number


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: Kind  # a question counts as complete
    why: str  # for a person and a log, e.g. 'ends in "because"'
    cue: str | None = None  # what the utterance asks for, if it is a cue
    weak: bool = False  # only the recogniser's full stop says so, and most put one after everything


def judge(text: str, language: str, punctuated: bool = False) -> Verdict:
    """How finished `text`, all that was said in this turn, sounds.

    Args:
        text: as the recogniser gave it.
        language: ISO 639-1, one of the 13. Raises KeyError for another.
        punctuated: whether this recogniser writes punctuation. Without it most statements are neutral.
    """
    known = language_of(language)
    folded = fold(SEPARATOR_IN_NUMBER.sub("", text), language)
    if not folded:
        return Verdict("neutral", "no words yet")
    asked = cue(text, language)
    if asked is not None:
        return Verdict("complete", f"cue: {asked}", asked)
    if (dictated := _dictated(folded, known)) is not None:
        return Verdict("hanging", dictated)
    exception = known.completes(folded)
    if exception is not None:
        return Verdict("complete", exception.reason)
    if (last := known.hangs(folded)) is not None:
        return Verdict("hanging", f'ends in "{last}"')
    if (sign := _question(folded, known)) is not None:
        return Verdict("question", sign)
    end = text.rstrip()
    if punctuated and end.endswith(QUESTION_MARKS):
        return Verdict("question", "ends in a question mark")
    if punctuated and end.endswith(known.terminators) and not end.endswith(TRAILING_OFF):
        return Verdict("complete", f'ends in "{end[-1]}"', weak=True)
    return Verdict("neutral", "no sign of an end")


def patience_ms(
    verdict: Verdict, settings: PatienceSettings, factor: float = 1.0, learned_ms: int = 0
) -> int:
    """How long the person may be silent before it is the other's turn.

    Args:
        settings: the mode's.
        factor: the call's own (1.0: as configured); longer for a slow speaker, shorter for an eager client.
        learned_ms: never less than this; what this person's own pauses have shown. 0: nothing learned.
    """
    if verdict.cue == "done":
        return round(min(settings.complete_ms * factor, DONE_MS))
    base_ms = (
        (settings.complete_ms + settings.neutral_ms) / 2
        if verdict.weak
        else {
            "complete": settings.complete_ms,
            "question": settings.complete_ms,
            "neutral": settings.neutral_ms,
            "hanging": settings.hanging_ms,
        }[verdict.kind]
    )
    return max(round(base_ms * factor), learned_ms)


def _question(folded: str, known: Language) -> str | None:
    bare = known.without_leading(known.asides, folded)  # "okay so how", "um what": the question starts later
    start = known.question_starts.at_start(folded) or known.question_starts.at_start(bare)
    if start is not None:
        return f'begins with "{start}"'
    end = known.question_endings.at_end(folded)
    return None if end is None else f'ends in "{end}"'


def _dictated(folded: str, known: Language) -> str | None:
    """A number, an address or a spelled word, in whose middle people pause."""
    if _digits_at_end(folded, known) >= matching().digits_in_a_row:
        return "dictating digits"
    word = known.dictation.at_end(folded)
    if word is None:
        return None
    before = _tokens(folded[: -len(word)], known)[-DICTATION_REACH:]
    phrases = _joined(before, known)
    for token in before:
        is_word = known.spaces and token in WORD_LETTERS
        letter = len(token) == 1 and not is_word and _spelled(token)
        if letter or token.isdecimal() or token in known.digits.all or token in known.dictation.all:
            return f'dictating, "{word}"'
    longer = known.digits.all | known.dictation.all
    if any(len(_tokens(entry, known)) > 1 and entry in phrases for entry in longer):
        return f'dictating, "{word}"'
    return None


def _digits_at_end(folded: str, known: Language) -> int:
    count = 0
    rest = folded
    while rest:
        last = _tokens(rest, known)[-1]
        if re.fullmatch(r"\d+(-\d+)*", last):
            digit, found = last, last.count("-") + 1
        else:
            digit, found = known.digits.at_end(rest) or "", 1
        if not digit:
            break
        count += found
        rest = rest[: -len(digit)].rstrip()
    return count


def _tokens(folded: str, known: Language) -> list[str]:
    return folded.split() if known.spaces else re.findall(r"[a-z]+|\d+|.", folded)


def _joined(tokens: list[str], known: Language) -> str:
    return (" " if known.spaces else "").join(tokens)


def _spelled(letter: str) -> bool:
    """Latin and Cyrillic letters are spelled one by one; a Hangul or Devanagari letter can be a word."""
    return unicodedata.name(letter, "").startswith(("LATIN", "CYRILLIC"))
