"""The scripted partner for talking: in 13 languages, and for free chat in English.

It understands cues and, in English chat, what a sentence is about; it does not understand sentences. So it
asks open questions, reacts in words that fit any answer, and says what it is when asked.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from pipeline.languages import cue, fold, language_of
from pipeline.llm.scripted_state import shuffled
from pipeline.providers import Message, ReplyOptions

SHORT_WORDS = 2  # an answer of so few words is asked about
DEEPER = 2  # questions on one subject of a chat before the next
BAD = frozenset(
    "bad sad tired terrible awful ill sick stressed lonely died lost horrible annoying angry".split()
)
GOOD = frozenset("great wonderful happy love loved amazing fantastic excellent fun excited perfect".split())
BACK_TO_ME = re.compile(
    r"\b(?:(?:and|what about|how about) you|who are you"
    r"|are you (?:a |an )?(?:real|human|robot|ai|bot|machine|person))\b"
)


@cache
def _bank() -> Mapping[str, Any]:
    return tomllib.loads((resources.files("pipeline.llm") / "partner.toml").read_text(encoding="utf-8"))


def partner(
    last: Message | None, heard: str, options: ReplyOptions, *, takes_over: bool = False
) -> tuple[str, dict[str, Any]]:
    """The next reply and its note.

    Args:
        last: the last reply that has a note, cut to what was heard of it.
        heard: what the person said since.
        takes_over: another mind has spoken last: nobody is greeted, and no question of ours was heard.
    """
    chat = options.mode == "chat" and options.language == "en"
    kind = "chat" if chat else ("interview" if options.mode == "interview" else "questions")
    words = _words(kind, options.language)
    if last is None or last.note is None or last.note.get("partner") != kind:
        note = {
            "partner": kind,
            "seed": options.seed,
            "turn": 0,
            "asked": [],
            "ask": "",
            "ask_from": 0,
            "subject": -1,
            "depth": 0,
        }
        name = "greeting" if options.persona_name else "greeting_nameless"
        greeting = shuffled(words[name], options.seed, name)[0].replace("{persona}", options.persona_name)
        if takes_over:
            greeting = _reaction(note, words, kind, heard)
        return _asking(note, greeting, _next(note, kind, options.language, ""), options.language), note
    note = {**last.note, "asked": list(last.note["asked"]), "turn": last.note["turn"] + 1}
    if takes_over:
        note["ask_from"] = 0
    stopping, note["stop_asked"] = bool(note.get("stop_asked")), False
    return _reply(note, words, kind, heard, last.text, options.language, stopping), note


def _words(kind: str, language: str) -> Mapping[str, Any]:
    """What is said in that kind of conversation; in an interview politely, where that differs."""
    words = _bank()[language]
    if kind == "chat":
        return {**words, **_bank()["chat_words"]}
    return {**words, **_bank()["formal"].get(language, {})} if kind == "interview" else words


def _reply(
    note: dict[str, Any],
    words: Mapping[str, Any],
    kind: str,
    heard: str,
    last_text: str,
    language: str,
    stopping: bool,
) -> str:
    known = language_of(language)
    asked = cue(heard, language) if heard else "repeat"
    if note.get("ended") or (stopping and (asked == "stop" or _is_short(heard, language))):
        if note.get("ended") or asked == "stop" or not _refuses(heard, language):
            note["ended"] = "stopped"
            return _of(note, known.say["goodbye"], "goodbye")
        return _asking(note, _of(note, words["reactions"], "reactions"), note["ask"], language)
    if asked == "stop":
        note["stop_asked"] = True
        note["ask_from"] = 0
        return str(words["sure"])
    if asked == "wait":
        note["ask_from"] = 0
        return _of(note, known.say["take_your_time"], "take_your_time")
    unheard = len(last_text.rstrip()) - note["ask_from"] < len(note["ask"]) / 2 and note["ask_from"] > 0
    if asked in ("repeat", "slower") or (unheard and asked is None):
        note["ask_from"] = 0
        return str(note["ask"])
    to_me = kind == "chat" and BACK_TO_ME.search(fold(heard, language)) is not None
    if asked is None and _is_short(heard, language) and not note.get("more") and not to_me:
        note["more"] = True
        return _asking(note, "", _of(note, words["more"], "more"), language)
    note["more"] = False
    reaction = "" if asked else _reaction(note, words, kind, heard)
    if kind == "interview" and len(note["asked"]) == len(words["interview"]):
        note["ended"] = "finished"
        return _joined(reaction, _of(note, known.say["goodbye"], "goodbye"), language)
    return _asking(note, reaction, _next(note, kind, language, heard if asked is None else ""), language)


def _reaction(note: dict[str, Any], words: Mapping[str, Any], kind: str, heard: str) -> str:
    if kind == "chat":
        said = set(fold(heard, "en").split())
        if BACK_TO_ME.search(fold(heard, "en")):
            return _of(note, words["asked"], "asked")
        if said & BAD:
            return _of(note, words["bad"], "bad")
        if said & GOOD:
            return _of(note, words["good"], "good")
        subject = _subject(heard)
        if subject >= 0 and subject != note["subject"]:
            return _of(note, _bank()["chat"][subject]["react"], f"react {subject}")
    return _of(note, words["reactions"], "reactions")


def _next(note: dict[str, Any], kind: str, language: str, heard: str) -> str:
    """The next question: in a chat about what was said, elsewhere the next of the seeded order."""
    if kind != "chat":
        questions = list(_bank()[language][kind])
        order = questions if kind == "interview" else shuffled(questions, note["seed"], language)
        return str(order[len(_noted(note)) % len(order)])
    subjects = _bank()["chat"]
    brought_up = _subject(heard)
    if brought_up >= 0 and brought_up != note["subject"]:
        note["subject"], note["depth"] = brought_up, 0
    if note["subject"] >= 0 and note["depth"] < DEEPER:
        left = [one for one in subjects[note["subject"]]["then"] if one not in note["asked"]]
        if left:
            note["depth"] += 1
            question = left[0]
            note["asked"].append(question)
            return str(question)
    order = shuffled([str(number) for number in range(len(subjects))], note["seed"], "chat")
    unused = [int(number) for number in order if subjects[int(number)]["open"] not in note["asked"]]
    if not unused:
        note["asked"] = []
        unused = [int(order[0])]
    note["subject"], note["depth"] = unused[0], 0
    note["asked"].append(subjects[unused[0]]["open"])
    return str(subjects[unused[0]]["open"])


def _noted(note: dict[str, Any]) -> list[str]:
    """The questions asked before; counts the one that is about to be asked."""
    before = list(note["asked"])
    note["asked"].append(len(before))
    return before


def _subject(heard: str) -> int:
    """Which subject of a chat a sentence is about; -1: none that is known."""
    said = set(fold(heard, "en").split())
    counts = [len(said & set(subject["words"])) for subject in _bank()["chat"]]
    return counts.index(max(counts)) if any(counts) else -1


def _asking(note: dict[str, Any], said: str, question: str, language: str) -> str:
    text = _joined(said, question, language)
    note["ask"] = question
    note["ask_from"] = len(text) - len(question)
    return text


def _joined(said: str, more: str, language: str) -> str:
    gap = " " if said and language_of(language).spaces else ""
    return f"{said}{gap}{more}"


def _of(note: dict[str, Any], phrases: Sequence[str], salt: str) -> str:
    """One of them: a seeded order, gone through once before any comes again."""
    used = dict(note.get("used", {}))
    order = shuffled(list(phrases), note["seed"], salt)
    chosen = order[used.get(salt, 0) % len(order)]
    used[salt] = used.get(salt, 0) + 1
    note["used"] = used
    return chosen


def _is_short(heard: str, language: str) -> bool:
    folded = fold(heard, language)
    known = language_of(language)
    return len(folded.split()) <= SHORT_WORDS if known.spaces else len(folded) <= 2 * SHORT_WORDS


def _refuses(heard: str, language: str) -> bool:
    """Whether a short answer to "do you want to stop?" is a no: it is no yes."""
    known = language_of(language)
    return known.backchannels.at_start(fold(heard, language)) is None
