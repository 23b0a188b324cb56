"""The voices in a folder: files of Piper's, and which of them speaks for whom.

A voice is a model `en_US-lessac-medium.onnx` and beside it `en_US-lessac-medium.onnx.json`, as published at
https://huggingface.co/rhasspy/piper-voices: language and region, the speaker's name, the quality.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PHONEMES = ("espeak", "text")  # how a voice reads that needs nothing but its own files


@dataclass(frozen=True, slots=True)
class PiperVoiceFile:
    path: Path  # of the model
    name: str  # of the file, without ".onnx"
    language: str  # ISO 639-1
    rate: int  # Hz
    speakers: Mapping[str, int]  # name -> number; empty: there is one

    @property
    def speaker_name(self) -> str:
        """ "lessac" of "en_US-lessac-medium"."""
        parts = self.name.split("-")
        return parts[1] if len(parts) > 1 else self.name


@dataclass(frozen=True, slots=True)
class Folder:
    voices: Sequence[PiperVoiceFile]  # by name
    unfit: Sequence[str]  # what is wrong with the other models, in words

    def languages(self) -> set[str]:
        return {voice.language for voice in self.voices}

    def choose(self, language: str, asked: str) -> tuple[PiperVoiceFile, int | None]:
        """The voice for a language, and the number of its speaker; None: the voice's own choice.

        Args:
            asked: a file's name without ".onnx", with "#" and a speaker where it has several; or names of
                voices, best first, with spaces between. None of them there: the first of the language.
        """
        own = [voice for voice in self.voices if voice.language == language]
        for name in asked.split():
            file, _, speaker = name.partition("#")
            for voice in own:
                if file in (voice.name, voice.speaker_name):
                    return voice, _number(voice, speaker)
        return own[0], None


def _number(voice: PiperVoiceFile, speaker: str) -> int | None:
    if speaker.isdigit() and int(speaker) < max(1, len(voice.speakers)):
        return int(speaker)
    return voice.speakers.get(speaker)


def read(folder: str) -> Folder:
    """What is there. A folder that is not there is empty."""
    voices: list[PiperVoiceFile] = []
    unfit: list[str] = []
    for path in sorted(Path(folder).glob("*.onnx")):
        try:
            voices.append(_read(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            unfit.append(f"{path.name}: {_words(error)}")
    return Folder(voices, unfit)


def _read(path: Path) -> PiperVoiceFile:
    config = json.loads(Path(f"{path}.json").read_text("utf-8"))
    kind = config.get("phoneme_type", "espeak")
    if kind not in PHONEMES:
        raise ValueError(f"its phonemes are {kind}, which needs more than the voice's own files")
    name = path.name.removesuffix(".onnx")
    language = (config.get("language") or {}).get("family") or config["espeak"]["voice"]
    return PiperVoiceFile(
        path.absolute(),
        name,
        str(language).lower().replace("cmn", "zh")[:2],
        int(config["audio"]["sample_rate"]),
        {str(speaker): int(number) for speaker, number in (config.get("speaker_id_map") or {}).items()},
    )


def _words(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "its .onnx.json is missing"
    if isinstance(error, KeyError):
        return f"its .onnx.json has no {error}"
    return " ".join(str(error).split())[:200]
