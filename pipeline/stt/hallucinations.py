"""What Whisper writes where nobody said it: into silence, round in circles, and subtitles' credits.

Sources: the limits of openai/whisper's transcribe.py; the credits are what its training subtitles end with
(Koenecke et al. 2024, https://arxiv.org/abs/2402.08021, and the reports at openai/whisper).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from pipeline.languages import fold
from pipeline.providers import Word

NO_SPEECH = 0.6  # probability of silence above which unlikely words are left out
UNLIKELY = -1.0  # mean log probability of the tokens
DOUBTFUL = 0.5  # probability of silence above which a closing phrase is left out; a spoken “Bye.” has 0.44
REPETITIVE = 2.4  # compression ratio: the model goes round in circles
ROUNDS = 4  # in which somebody may repeat the same words
LONGEST_ROUND = 8  # words

CREDITS = (  # what only subtitles say, in an answer that is hardly longer
    "amara.org", "subtitles by", "captions by", "transcription by", "untertitel im auftrag",
    "untertitelung des zdf", "untertitel von", "sous-titres réalisés", "sous-titrage st'",
    "sous-titrage société", "subtítulos realizados", "subtítulos por la comunidad",
    "legendas pela comunidade", "sottotitoli e revisione", "sottotitoli creati", "ondertitels ingediend",
    "субтитры сделал", "субтитры создавал", "субтитры подготовил", "редактор субтитров", "字幕由",
    "字幕志愿者", "请不吝点赞", "한글자막 by", "자막 제공", "ترجمة نانسي قنقر",
)  # fmt: skip
CREDIT = 100  # characters of such an answer
CLOSING = (  # whole answers that may well be spoken, but hardly into silence
    "thank you", "thank you very much", "thank you for watching", "thanks for watching", "bye", "you",
    "please subscribe", "gracias", "gracias por ver el video", "merci",
    "merci d'avoir regardé cette vidéo", "vielen dank", "vielen dank fürs zuschauen", "谢谢", "谢谢大家",
    "谢谢观看", "धन्यवाद", "ご視聴ありがとうございました", "ありがとうございました",
    "시청해주셔서 감사합니다", "감사합니다", "obrigado", "obrigado por assistir", "شكرا", "شكرا للمشاهدة",
    "اشتركوا في القناة", "спасибо", "спасибо за просмотр", "продолжение следует", "grazie",
    "grazie per la visione", "bedankt voor het kijken",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Weighed:
    """What remains of a decoding."""

    words: Sequence[Word]
    doubtful: bool  # it went round in circles, or found nothing likely


def weighed(words: Sequence[Word], language: str, *, no_speech: float, log_probability: float) -> Weighed:
    """Without what nobody said; see `is_made_up`."""
    text = "".join(word.text for word in words)
    if is_made_up(text, language, no_speech, log_probability):
        return Weighed((), doubtful=False)
    kept = without_circles(words, language)
    circles = len(kept) < len(words) or goes_in_circles(text)
    if circles and no_speech > NO_SPEECH:  # laughter
        return Weighed((), doubtful=False)
    if goes_in_circles("".join(word.text for word in kept)):
        kept = []
    return Weighed(kept, doubtful=circles or log_probability < UNLIKELY)


def is_made_up(text: str, language: str, no_speech: float = 0.0, log_probability: float = 0.0) -> bool:
    """Whether nobody said that.

    Args:
        no_speech: the model's probability that there is only silence, 0..1.
        log_probability: of its tokens, on average.
    """
    if not fold(text, language):  # dots
        return True
    if no_speech > NO_SPEECH and log_probability < UNLIKELY:
        return True
    if len(text) <= CREDIT and any(credit in text.lower() for credit in CREDITS):
        return True
    return no_speech > DOUBTFUL and fold(text, language) in _closing(language)


@cache
def _closing(language: str) -> frozenset[str]:
    return frozenset(fold(text, language) for text in CLOSING)


def goes_in_circles(text: str) -> bool:
    whole = text.encode()
    return len(whole) > REPETITIVE * len(zlib.compress(whole))


def without_circles(words: Sequence[Word], language: str) -> list[Word]:
    """Nothing more than ROUNDS times in a row."""
    kept: list[Word] = []
    folded: list[str] = []
    for word in words:
        kept.append(word)
        folded.append(fold(word.text, language))
        for length in range(1, LONGEST_ROUND + 1):
            rounds = folded[-length * (ROUNDS + 1) :]
            if len(rounds) == length * (ROUNDS + 1) and rounds == rounds[:length] * (ROUNDS + 1):
                del kept[-length * ROUNDS :], folded[-length * ROUNDS :]
                break
    return kept
