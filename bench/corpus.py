"""What people say in the timelines: answers with pauses inside, sounds over replies. Fixed seeds; no audio.

A pause stands after a hanging word of languages.toml (80 %) or after any other word inside a sentence (20 %).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench import noises
from pipeline.audio import MIC_RATE
from pipeline.languages import fold, language_of
from tests.sounds import FLITE_VOICES, at_level, speech

AFTER_HANGING = 0.8
APART = 3  # words, at least, between two pauses and at both ends
SPEECH_DB = -23.0  # RMS of a voice near its microphone, dBFS
QUIET_DB = -36.0  # of a quiet one, or one far off

SENTENCES = (
    "i worked on the payment system and we moved it to a new server because the old one was too slow",
    "my team had five people and every week we talked about the work that was left for the next release",
    "the hardest part was that nobody knew the code so we had to read it line by line before the change",
    "at first i wanted to write everything again but then i saw that a smaller change would be enough",
    "we had a problem with the database when many people used the shop at the same time in december",
    "i think that the most important thing is to listen to the people who use the product every day",
    "when i started there the tests took two hours and after a month they took less than ten minutes",
    "my manager asked me to lead the project although i had never done that before in my whole career",
    "we used a queue between the two services so that one could fail without stopping the other one",
    "i would first look at the numbers and then talk with the team about what they see every day",
    "the customer wanted the report on monday which was hard because the data came only on friday evening",
    "i learned a lot from my colleague who had worked with um large systems for more than ten years",
    "there was a conflict between two engineers about the design and i asked them to write it down",
    "we decided to keep the old interface for a year because many partners could not change their programs",
    "for example last summer we had an outage of three hours and i was the one who wrote the report",
    "i like to work with people from different countries since they often have another way to see a problem",
    "the first version was simple but it helped us to learn what the users really needed from us",
    "i measured the service for a week and uh found that most of the time was spent in one small function",
    "we wanted to release every day so i built a pipeline that ran all tests and deployed the result",
    "if i could do it again i would talk to the customers earlier and write much less code at the start",
)

COMPLETE = (  # statements that could each be the whole answer
    "i have worked as an engineer for seven years",
    "my last project was a payment system for a large shop",
    "we had four people and one designer in the team",
    "the old system failed almost every week",
    "so i wrote a plan with three steps",
    "first we added tests for the most important parts",
    "then we replaced the database in one night",
    "nobody noticed the change the next morning",
    "my manager was very happy with the result",
    "i learned that small steps are much safer",
    "today the system handles ten times more orders",
    "i am proud of what the team did there",
)

MURMUR = "mhm"
BACKCHANNELS = (MURMUR, "yeah", "right", "okay", "uh huh", "i see", "yes")
INTERRUPTIONS = (
    "wait i have another question",
    "no that is not what i meant",
    "sorry can we talk about something else",
    "but i already told you that",
    "let me say something about this",
)


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of speech and the pause after it. The last part's pause is none."""

    text: str
    pause_ms: int
    hangs: bool


@dataclass(frozen=True, slots=True)
class Over:
    """Something over a reply."""

    kind: str
    sound: np.ndarray  # int16, 16 kHz
    text: str  # what a recogniser would make of it
    after_ms: int  # since the reply began


def answers(count: int, seed: int, pauses_ms: tuple[int, int] = (300, 1_500)) -> list[list[Part]]:
    """Answers of one or two sentences with two to four pauses inside them."""
    chance = random.Random(seed)
    return [_with_pauses(_sentence(chance), chance, pauses_ms) for _ in range(count)]


def complete_answers(count: int, seed: int, pauses_ms: tuple[int, int] = (300, 900)) -> list[list[Part]]:
    """Answers of three to five sentences, each complete, with a pause between any two."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        said = chance.sample(COMPLETE, chance.randint(3, 5))
        pauses = [chance.randint(*pauses_ms) for _ in said[1:]] + [0]
        found.append([Part(text, pause, False) for text, pause in zip(said, pauses, strict=True)])
    return found


def voice_of(number: int) -> str:
    return FLITE_VOICES[number % len(FLITE_VOICES)]


def spoken(text: str, voice: str, level_db: float = SPEECH_DB) -> np.ndarray:
    return at_level(speech(text, voice).astype(float), level_db)


def nothing_meant(count: int, seed: int, after_ms: tuple[int, int]) -> Iterator[Over]:
    """Coughs, laughter, doors, keyboards and backchannels, as many of each, at -34 to -20 dBFS."""
    chance = random.Random(seed)
    for number in range(count):
        kind = ("cough", "laugh", "door", "keyboard", "backchannel")[number % 5]
        level_db, after = chance.uniform(-34, -20), chance.randint(*after_ms)
        if kind == "backchannel":
            text = BACKCHANNELS[number // 5 % len(BACKCHANNELS)]
            if text == MURMUR:  # flite would spell it
                sound = noises.make("murmur", seed * 1000 + number, level_db)
            else:
                sound = spoken(text, voice_of(number // 5), level_db)
            yield Over(kind, sound, text, after)
        else:
            yield Over(kind, noises.make(kind, seed * 1000 + number, level_db), "", after)


def interruptions(count: int, seed: int, after_ms: tuple[int, int]) -> Iterator[Over]:
    """Every second one quiet."""
    chance = random.Random(seed)
    for number in range(count):
        kind, level_db = ("quiet", QUIET_DB) if number % 2 else ("normal", SPEECH_DB)
        text = INTERRUPTIONS[number // 8 % len(INTERRUPTIONS)]
        sound = spoken(text, voice_of(number // 2), level_db)
        yield Over(kind, sound, text, chance.randint(*after_ms))


def nobody(count: int) -> Iterator[Over]:
    """Nobody says anything over a reply."""
    for _ in range(count):
        yield Over("nobody", np.zeros(MIC_RATE, np.int16), "", 700)


def _sentence(chance: random.Random) -> list[str]:
    return " and ".join(chance.sample(SENTENCES, chance.randint(1, 2))).split()


def _with_pauses(words: list[str], chance: random.Random, pauses_ms: tuple[int, int]) -> list[Part]:
    hanging, inside = _places(words)
    wanted, chosen = chance.randint(2, 4), dict[int, bool]()
    for _ in range(wanted):
        hangs = chance.random() < AFTER_HANGING
        free = [
            place
            for place in (hanging if hangs else inside)
            if all(abs(place - other) >= APART for other in (*chosen, len(words)))
        ]
        if free:
            chosen[chance.choice(free)] = hangs
    parts, begin = [], 0
    for place in sorted(chosen):
        pause = chance.randint(*pauses_ms)
        parts.append(Part(" ".join(words[begin:place]), pause, chosen[place]))
        begin = place
    return [*parts, Part(" ".join(words[begin:]), 0, False)]


def _places(words: Sequence[str]) -> tuple[list[int], list[int]]:
    """Where a pause may stand: after a hanging word or a filled pause, and after any other."""
    known = language_of("en")
    hanging, inside = [], []
    for place in range(APART, len(words) - APART + 1):
        folded = fold(" ".join(words[:place]), "en")
        hangs = known.hanging.at_end(folded) or known.fillers.at_end(folded)
        (hanging if hangs else inside).append(place)
    return hanging, inside
