"""A batch of recordings through Whisper: CTranslate2's own steps, which take several at once.

faster-whisper's `transcribe` takes one recording, and its batches are pieces of one; here each row is
somebody else's. It takes from faster-whisper what is the same for one: features, tokenizer, alignment.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
from ctranslate2 import DataType, StorageView
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens, merge_punctuations

from pipeline.audio import MIC_RATE
from pipeline.providers import Word
from pipeline.stt.growing import Heard
from pipeline.stt.hallucinations import NO_SPEECH, weighed
from pipeline.stt.recording import Recording

WINDOW_S = 30  # what Whisper was trained to look at, and the most that it can
FRAMES_PER_S = 100  # of features
# A window that fits, filled up with less silence, costs less. Seen with trained weights: hardly a word is
# lost down to these; in a shorter one it misses the silence that it knows, and says them again and again.
FITTED_S = 10  # at least
BEHIND_S = 2  # of silence, at least; behind it there is nothing
STEP_S = 5  # few windows: what has the same may be in one batch
TOKENS, TOKENS_PER_S = 16, 25  # nobody says more, in any language
SPARSE = 1.0  # tokens a second of voice; with fewer it has stopped before the end
LATE_S = 10  # before the window's end, in which a longer recording is cut where it is quietest
PROMPT_TOKENS = 160  # of hints and what was said before; most of 448 is for the answer
WRITTEN = 100  # characters of what was said before, in which a sentence has to end
STEP_TOKENS = 16  # a prompt's length is a multiple of it: only equal ones go into one batch
SURE = 0.8  # probability of another language than the one expected, to take it
LONGEST_WORD = 2.0  # times the median; what is longer has silence in it
MEDIAN_S = 0.7  # of words, at most
BEFORE_WORD, BEHIND_WORD = (
    "\"'“¿([{-",
    "\"'.。,，!！?？:：”)]}、",
)  # what belongs to the next word, or to the last
SENTENCE_ENDS = ".。!！?？"


@dataclass(frozen=True, slots=True)
class Row:
    """One recording of a batch."""

    samples: np.ndarray  # int16, shape (n,), mono, MIC_RATE
    language: str  # ISO 639-1
    prompt: tuple[int, ...] = ()  # tokens
    detect: bool = False  # it may be another language, and is heard in that, where the model is sure
    window_s: int = WINDOW_S  # that the model looks at; what is longer is cut into pieces

    @property
    def goes_with(self) -> Hashable:
        """What all rows of a batch have in common."""
        return self.detect, self.language, len(self.prompt), self.window_s

    @property
    def last(self) -> bool:
        """Whether there is no better look."""
        return self.window_s == WINDOW_S and not self.prompt

    @property
    def again(self) -> Row:
        """For a look with the whole window, and without the prompt, which may have misled it."""
        return replace(self, window_s=WINDOW_S, prompt=())


class Whisper:
    """`run` is for the model's threads, of which there may be as many as `workers`.

    Args:
        model: a `faster_whisper.WhisperModel`.
        languages: that may be detected.
        window_s: what it looks at, or a multiple of it where a recording is longer; 0: what fits the
            recording on a CPU, WINDOW_S on a GPU.
    """

    def __init__(self, model: Any, beam_size: int, languages: Sequence[str], window_s: int = 0) -> None:
        self._model = model
        self._beam_size = beam_size
        self._window_s = window_s or (0 if self.device == "cpu" else WINDOW_S)
        self._languages = frozenset(languages)
        self._tokenizers: dict[str, Any] = {}

    @property
    def multilingual(self) -> bool:
        return bool(self._model.model.is_multilingual)

    @property
    def workers(self) -> int:
        """Batches that it computes at once."""
        return int(self._model.model.num_workers)

    @property
    def device(self) -> str:
        """cpu or cuda."""
        return str(self._model.model.device)

    @property
    def computes_in(self) -> str:
        """A type of CTranslate2's, int8 for short."""
        return str(self._model.model.compute_type).removesuffix("_float32")

    def row(self, samples: np.ndarray, language: str, hints: str, before: str, *, detect: bool) -> Row:
        """With a prompt of the hints, and of what was said before the newest that fits. The hints are given a
        full stop: behind a list without one, answers have none either."""
        tokenizer = self._tokenizer(language)
        named = (
            [*tokenizer.encode(f" {hints}")[: PROMPT_TOKENS // 2 - 1], *tokenizer.encode(".")]
            if hints
            else []
        )
        said = tokenizer.encode(f" {before.strip()}") if before and _well_written(before) else []
        whole = min(PROMPT_TOKENS, len(named) + len(said)) // STEP_TOKENS * STEP_TOKENS
        prompt = (*named, *said[len(said) - max(0, whole - len(named)) :])
        return Row(samples, language, prompt, detect, self._fitting_s(len(samples) / MIC_RATE))

    def run(self, rows: Sequence[Row]) -> list[Heard | None]:
        """What was said in each. They go with each other.

        None: too doubtful; `Row.again` gets an answer."""
        frames = rows[0].window_s * FRAMES_PER_S
        pieces = [
            (number, at, piece) for number, row in enumerate(rows) for at, piece in _pieces(row.samples)
        ]
        features = [self._model.feature_extractor(piece.astype(np.float32) / 32768) for _, _, piece in pieces]
        encoded = self._encoded([_filled(each, frames) for each in features])
        if rows[0].detect:
            spoken = self._spoken(
                rows, [index for index, (_, at, _) in enumerate(pieces) if at == 0], encoded
            )
            if any(row.language != language for row, language in zip(rows, spoken, strict=True)):
                return [
                    self.run([replace(row, language=language, detect=False)])[0]
                    for row, language in zip(rows, spoken, strict=True)
                ]
        language = rows[0].language
        tokenizer = self._tokenizer(language)
        longest_s = max(len(piece) for _, _, piece in pieces) / MIC_RATE
        most = min(self._model.max_length // 2, round(TOKENS + TOKENS_PER_S * longest_s))
        prompts = [
            self._model.get_prompt(tokenizer, list(rows[number].prompt), without_timestamps=True)
            for number, _, _ in pieces
        ]
        results = self._model.model.generate(
            encoded,
            prompts,
            beam_size=self._beam_size,
            max_length=most + max(most, len(prompts[0])),  # half of it it keeps for the prompt, if not more
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
        )
        tokens = [[each for each in result.sequences_ids[0] if each < tokenizer.eot] for result in results]
        lengths = [min(each.shape[-1], frames) for each in features]
        alignments = self._model.find_alignment(tokenizer, tokens, encoded, lengths)
        words: list[list[Word]] = [[] for _ in rows]
        doubtful = set()
        for (number, at, piece), result, alignment in zip(pieces, results, alignments, strict=True):
            length = len(result.sequences_ids[0])
            # The end's token is in the score, not in the ids.
            likely = result.scores[0] * length / (length + 1)
            found = weighed(
                _words(alignment, at, len(piece)),
                language,
                no_speech=result.no_speech_prob,
                log_probability=likely,
            )
            words[number] += found.words
            ended = SPARSE * _voiced_s(piece) <= length < most or result.no_speech_prob > NO_SPEECH
            if found.doubtful or not ended:
                doubtful.add(number)
        return [
            None
            if number in doubtful and not rows[number].last
            else Heard("".join(word.text for word in each), tuple(each), language)
            for number, each in enumerate(words)
        ]

    def _fitting_s(self, length_s: float) -> int:
        """The window for a recording of that length."""
        step = self._window_s or STEP_S
        least = 0 if self._window_s else max(FITTED_S, length_s + BEHIND_S)
        return min(WINDOW_S, step * ceil(max(least, length_s, 1) / step))

    def _encoded(self, features: Sequence[np.ndarray]) -> Any:
        """A CPU is faster with one after another than with several at once."""
        if self.device != "cpu":
            return self._model.encode(np.stack(features))
        each = [np.asarray(self._model.encode(one).to(DataType.float32)) for one in features]
        return StorageView.from_array(np.concatenate(each))

    def _spoken(self, rows: Sequence[Row], beginnings: Sequence[int], encoded: Any) -> list[str]:
        """The language expected of each, unless the model is sure of another.

        Args:
            beginnings: which of what was encoded is the first piece of a row.
        """
        guesses = self._model.model.detect_language(encoded)
        found = []
        for row, index in zip(rows, beginnings, strict=True):
            known = [(token[2:-2], sure) for token, sure in guesses[index] if token[2:-2] in self._languages]
            best, sure = known[0] if known else (row.language, 1.0)
            found.append(best if sure > SURE else row.language)
        return found

    def _tokenizer(self, language: str) -> Any:
        if language not in self._tokenizers:
            self._tokenizers[language] = Tokenizer(
                self._model.hf_tokenizer, self.multilingual, task="transcribe", language=language
            )
        return self._tokenizers[language]


def _well_written(text: str) -> bool:
    """Whisper goes on as its prompt is written: behind one without stops it sets none any more."""
    return len(text) < WRITTEN // 2 or any(mark in text[-WRITTEN:] for mark in SENTENCE_ENDS)


def _filled(features: np.ndarray, frames: int) -> np.ndarray:
    """With silence behind, and then zeros, as faster-whisper has them, to that length. Without the silence a
    brief answer loses its full stop; with nothing but silence it is said twice."""
    quiet = min(BEHIND_S * FRAMES_PER_S, max(0, frames - features.shape[-1]))
    heard = np.pad(features[:, :frames], ((0, 0), (0, quiet)), constant_values=features.min())
    return np.pad(heard, ((0, 0), (0, frames - heard.shape[-1])))


def _pieces(samples: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Pieces that Whisper can look at, each with its place in samples."""
    recording, found = Recording(), []
    recording.push(samples)
    while (left := recording.end - recording.start) > WINDOW_S * MIC_RATE:
        at, latest = recording.start, recording.start + WINDOW_S * MIC_RATE
        _, place = recording.quietest(latest - LATE_S * MIC_RATE, latest - 1)
        found.append((at, recording.sound(place)))
        recording.drop(place)
    return [*found, (recording.start, recording.sound(recording.start + left))]


def _voiced_s(samples: np.ndarray) -> float:
    recording = Recording()
    recording.push(samples)
    return recording.voiced_s(0, recording.end)


def _words(alignment: list[dict[str, Any]], at: int, length: int) -> list[Word]:
    """With the spaces in front of them, which not all languages have, and the stops behind them.

    Args:
        at, length: of the piece that was aligned, in samples."""
    merge_punctuations(alignment, BEFORE_WORD, BEHIND_WORD)
    spoken = [each for each in alignment if each["word"]]
    durations = [each["end"] - each["start"] for each in spoken if each["end"] > each["start"]]
    longest = LONGEST_WORD * min(MEDIAN_S, float(np.median(durations))) if durations else 0.0
    words, begins = [], True  # a sentence
    for each in spoken:
        start, end = each["start"], min(each["end"], length / MIC_RATE)
        if end - start > longest and begins:
            start = end - longest
        elif end - start > longest and each["word"].strip()[-1:] in SENTENCE_ENDS:
            end = start + longest
        begins = each["word"].strip()[-1:] in SENTENCE_ENDS
        start_ms, end_ms = (round(1000 * (at / MIC_RATE + time)) for time in (min(start, end), end))
        words.append(Word(each["word"], start_ms, end_ms, min(1.0, float(each["probability"]))))
    return words
