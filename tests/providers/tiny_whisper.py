"""A Whisper in CTranslate2's format, made on the spot, tiny or of any size, that says one fixed sentence.

Its layers add nothing, so what it says depends on the position alone: position n's embedding is a unit
vector, and the projection of the n-th token is that vector. It says the same whatever it hears. Yet its
layers compute, with random weights, what trained ones of that size would.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import WhisperSpec
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

FRAMES_PER_S = 50  # that the decoder sees
LANGUAGES = "en zh de es ru ko fr ja pt ar it nl hi".split()
SPECIAL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{language}|>" for language in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
    *(f"<|{step * 0.02:.2f}|>" for step in range(1501)),
]
MULTILINGUAL = 51_865  # tokens
MARK = ""  # the token by which CTranslate2 knows a model of many languages


@dataclass(frozen=True, slots=True)
class Size:
    width: int  # more than the tokens that it says
    layers: int
    heads: int
    mels: int = 80
    tokens: int = MULTILINGUAL


TINY = Size(16, 1, 1, tokens=0)  # as few tokens as there must be: an English model
SIZES = {  # Whisper's own
    "tiny": Size(384, 4, 6),
    "base": Size(512, 6, 8),
    "small": Size(768, 12, 12),
    "medium": Size(1024, 24, 16),
    "large-v3": Size(1280, 32, 20, 128, MULTILINGUAL + 1),
}


def make(folder: Path, words: list[str], seconds: float = 2.0, size: Size = TINY, spoken: str = "") -> Path:
    """Writes the model that says `words` (each with the space in front of it) and returns its folder.

    Args:
        spoken: the language of which it is sure, if it knows many; "": of none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [word.replace(" ", "Ġ") for word in words]  # the byte-level name of a space
    vocabulary = list(dict.fromkeys([*letters, *pieces]))
    vocabulary += [MARK] * bool(size.tokens)
    vocabulary += [f"<{number}>" for number in range(size.tokens - len(vocabulary) - len(SPECIAL))]
    tokens = [*vocabulary, *SPECIAL]
    said = [tokens.index(token) for token in [*pieces, "<|endoftext|>"]]
    _network(said, tokens, seconds, size, spoken).save(str(folder))
    _tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": size.mels}))
    return folder


def _network(said: list[int], tokens: list[str], seconds: float, size: Size, spoken: str) -> WhisperSpec:
    width = size.width
    spec = WhisperSpec(size.layers, size.heads, size.layers, size.heads)
    encoder, decoder = spec.encoder, spec.decoder
    for convolution, inputs in ((encoder.conv1, size.mels), (encoder.conv2, width)):
        convolution.weight, convolution.bias = _zeros(width, inputs, 3), _zeros(width)
    # The n-th part of the sound looks like the n-th token's position, so that the words get times in order.
    encoder.position_encodings.encodings = _zeros(1500, width)
    for frame in range(1500):
        part = min(int(frame / FRAMES_PER_S / seconds * len(said)), len(said) - 1)
        encoder.position_encodings.encodings[frame, part] = 1
    decoder.embeddings.weight = _zeros(len(tokens), width)
    decoder.position_encodings.encodings = _zeros(448, width)
    decoder.projection.weight = _zeros(len(tokens), width)
    # In front of what it says: the start of a transcript, its language and task (if there are many), and that
    # there are no timestamps; before them, perhaps, a prompt of 16, 32 ... tokens and its mark.
    start = 4 if MARK in tokens else 2
    for number, token in enumerate(said):
        for first in (start, *range(start + 17, 180, -(-len(said) // 16) * 16)):
            decoder.position_encodings.encodings[first - 1 + number, number] = 1
        decoder.projection.weight[token, number] = 4
    if spoken:  # what it makes of the first position, the start of a transcript
        decoder.position_encodings.encodings[0, -1] = 1
        decoder.projection.weight[tokens.index(f"<|{spoken}|>"), -1] = 4
    for normed in (encoder.layer_norm, decoder.layer_norm):
        _norm(normed, width)
    random = np.random.default_rng(1)
    for layer in encoder.layer:
        _attention(layer.self_attention, random, width, 3 * width, width)
        _feed_forward(layer.ffn, random, width)
    for layer in decoder.layer:
        _attention(layer.self_attention, random, width, 3 * width, width)
        _attention(layer.attention, random, width, width, 2 * width, width)
        query, key_and_value, _ = layer.attention.linear
        query.weight = np.eye(width, dtype=np.float32)
        key_and_value.weight[:width] = np.eye(width, dtype=np.float32)  # keys: where it looks gives the times
        _feed_forward(layer.ffn, random, width)
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [tokens.index(f"<|{language}|>") for language in LANGUAGES]
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    return spec


def _attention(attention: Any, random: np.random.Generator, width: int, *outputs: int) -> None:
    _norm(attention.layer_norm, width)
    for linear, size in zip(attention.linear, outputs, strict=True):
        linear.weight, linear.bias = _random(random, size, width), _zeros(size)
    attention.linear[-1].weight[:] = 0  # it adds nothing


def _feed_forward(layer: Any, random: np.random.Generator, width: int) -> None:
    _norm(layer.layer_norm, width)
    layer.linear_0.weight, layer.linear_0.bias = _random(random, 4 * width, width), _zeros(4 * width)
    layer.linear_1.weight, layer.linear_1.bias = _zeros(width, 4 * width), _zeros(width)


def _norm(layer: Any, width: int) -> None:
    layer.gamma, layer.beta = np.ones(width, np.float32), _zeros(width)


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def _random(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.standard_normal(shape, np.float32) * np.float32(0.02)


def _tokenizer(vocabulary: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(vocabulary)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return tokenizer
