"""What a voice owes, see `pipeline.providers.Voice`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from itertools import pairwise
from typing import get_args

import numpy as np

from pipeline.contract.bench import LANGUAGE, PHRASE, Bench, all_of, expect, first_of
from pipeline.contract.checks import check
from pipeline.providers import Speech, VoiceStyle
from pipeline.settings import Language

ONSET = 104  # of 32768: -50 dBFS; what is below is silence
LEAD_MS = 60  # of silence before the first word, at most
SHORTEST_S = 0.2  # that a sentence of six words may take
TOGETHER = 4
SENTENCES = {
    "en": "Tell me about yourself.",
    "es": "Háblame de ti, ¿qué haces?",
    "fr": "Parlez-moi de vous, s'il vous plaît.",
    "de": "Erzählen Sie mir etwas über sich.",
    "zh": "请介绍一下你自己。",
    "hi": "मुझे अपने बारे में बताइए।",
    "ja": "お名前を教えてください。",
    "ko": "자기소개를 해 주세요.",
    "pt": "Fale um pouco sobre você.",
    "ar": "حدثني عن نفسك من فضلك.",
    "ru": "Расскажите немного о себе.",
    "it": "Mi parli un po' di lei.",
    "nl": "Vertel eens iets over jezelf.",
}


@check("tts")
async def a_phrase_is_sound(bench: Bench) -> None:
    """Pieces of int16, mono, none of them empty, all of one rate."""
    pieces = await all_of(bench.spoken(PHRASE))
    _sound(pieces)
    expect(len({piece.rate for piece in pieces}) == 1, "its pieces are of several rates")
    expect(int(np.abs(_samples(pieces).astype(int)).max()) > ONSET, "it is silent")


@check("tts")
async def silence_before_the_words_is_trimmed(bench: Bench) -> None:
    pieces = await all_of(bench.spoken(PHRASE))
    loud = np.flatnonzero(np.abs(_samples(pieces).astype(int)) > ONSET)
    expect(len(loud), "it is silent")
    lead_ms = 1000 * int(loud[0]) / pieces[0].rate
    expect(lead_ms <= LEAD_MS, f"{lead_ms:.0f} ms of silence come first")


@check("tts")
async def marks_lie_inside_the_sound_and_the_text(bench: Bench) -> None:
    pieces = await all_of(bench.spoken(PHRASE))
    length = len(_samples(pieces))
    words = [word for piece in pieces for word in piece.words]
    phonemes = [phoneme for piece in pieces for phoneme in piece.phonemes]
    for word in words:
        expect(0 <= word.at <= length, f"{word} is not inside {length} samples")
        expect(0 <= word.start < word.end <= len(PHRASE), f"{word} is not inside {PHRASE!r}")
    expect(all(a.at <= b.at and a.end <= b.start for a, b in pairwise(words)), f"out of order: {words}")
    for each in phonemes:
        expect(each.length >= 0 <= each.at <= length, f"{each} is not inside {length} samples")
    expect(all(a.at <= b.at for a, b in pairwise(phonemes)), f"out of order: {phonemes}")


@check("tts")
async def marks_are_never_behind_the_sound(bench: Bench) -> None:
    """A mark comes with the piece that it points into, or before: a caption cannot be shown afterwards."""
    came = 0
    for piece in await all_of(bench.spoken(PHRASE)):
        late = [mark for mark in (*piece.words, *piece.phonemes) if mark.at < came]
        expect(not late, f"{late} came when {came} samples were given away already")
        came += len(piece.samples)


@check("tts")
async def every_language_that_it_knows_is_spoken(bench: Bench) -> None:
    known = [language for language in get_args(Language) if bench.provider.knows(language)]
    expect(known, "it knows none of the 13 languages")
    for language in known:
        pieces = await all_of(bench.spoken(SENTENCES[language], language))
        _sound(pieces)
        length_s = len(_samples(pieces)) / pieces[0].rate
        expect(length_s >= SHORTEST_S, f"a sentence in “{language}” took {1000 * length_s:.0f} ms")


@check("tts")
async def nothing_to_say_is_said_in_silence(bench: Bench) -> None:
    for text in ("", " ", "\n"):
        samples = _samples(await all_of(bench.spoken(text)))
        expect(not len(samples), f"{text!r} is {len(samples)} samples long")


@check("tts")
async def odd_text_breaks_nothing(bench: Bench) -> None:
    """Whatever gets past the cutter: it may be silent, and it may not fail."""
    known = await all_of(bench.spoken(PHRASE))
    _sound(known)
    for text in ("🎉", "…", "a\0b", "<break time='5s'/>", "ẞ̷̛", 40 * "no, "):
        pieces = await all_of(bench.spoken(text))
        expect({piece.rate for piece in pieces} <= {known[0].rate}, f"{text!r} is of another rate")


@check("tts")
async def a_faster_style_is_taken(bench: Bench) -> None:
    style = VoiceStyle(rate=1.3, pitch=1.1, instructions="Gently.")
    _sound(await all_of(bench.spoken(PHRASE, LANGUAGE, style)))


@check("tts")
async def a_phrase_that_is_closed_half_way_harms_nobody(bench: Bench) -> None:
    async with aclosing(bench.spoken(20 * PHRASE)) as stream:  # type: ignore[type-var]
        await first_of(stream)
    _sound(await all_of(bench.spoken(PHRASE)))


@check("tts")
async def it_speaks_for_many_at_once(bench: Bench) -> None:
    for pieces in await asyncio.gather(*(all_of(bench.spoken(PHRASE)) for _ in range(TOGETHER))):
        _sound(pieces)


def _sound(pieces: Sequence[Speech]) -> None:
    expect(pieces, "it gave no sound")
    for piece in pieces:
        samples = piece.samples
        shape = f"{samples.dtype} {samples.shape}"
        expect(samples.dtype == np.int16 and samples.ndim == 1, f"not int16 (n,): {shape}")
        expect(len(samples), "a piece has no sound in it")
        expect(8000 <= piece.rate <= 48_000, f"a rate of {piece.rate} Hz")


def _samples(pieces: Sequence[Speech]) -> np.ndarray:
    return np.concatenate([piece.samples for piece in pieces] or [np.zeros(0, np.int16)])
