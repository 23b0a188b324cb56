"""A Whisper in CTranslate2's format, made on the spot: two real, tiny networks that say one fixed sentence.

Its layers add nothing, so what it says depends on the position alone: position n's embedding is a unit
vector, and the projection of the n-th token is that vector. It says the same whatever it hears.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import WhisperSpec
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

WIDTH = 16  # more than the tokens it says
MELS = 80
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
PROMPT = 1  # tokens in front of what it says: start of transcript (a small vocabulary is an English model)


def make(folder: Path, words: list[str], seconds: float = 2.0) -> Path:
    """Writes the model that says `words` (each with the space in front of it) and returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [word.replace(" ", "Ġ") for word in words]  # the byte-level name of a space
    vocabulary = list(dict.fromkeys([*letters, *pieces]))
    tokens = [*vocabulary, *SPECIAL]
    said = ["<|0.00|>", *pieces, f"<|{seconds:.2f}|>", "<|endoftext|>"]
    _network([tokens.index(token) for token in said], tokens, seconds).save(str(folder))
    _tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": MELS}))
    return folder


def _network(said: list[int], tokens: list[str], seconds: float) -> WhisperSpec:
    spec = WhisperSpec(1, 1, 1, 1)
    encoder, decoder = spec.encoder, spec.decoder
    for convolution, inputs in ((encoder.conv1, MELS), (encoder.conv2, WIDTH)):
        convolution.weight, convolution.bias = _zeros(WIDTH, inputs, 3), _zeros(WIDTH)
    # The n-th part of the sound looks like the n-th token's position, so that the words get times in order.
    encoder.position_encodings.encodings = _zeros(1500, WIDTH)
    for frame in range(1500):
        part = min(int(frame / FRAMES_PER_S / seconds * len(said)), len(said) - 1)
        encoder.position_encodings.encodings[frame, part] = 1
    decoder.embeddings.weight = _zeros(len(tokens), WIDTH)
    decoder.position_encodings.encodings = _zeros(448, WIDTH)
    decoder.projection.weight = _zeros(len(tokens), WIDTH)
    for number, token in enumerate(said):
        decoder.position_encodings.encodings[PROMPT - 1 + number, number] = 1
        decoder.projection.weight[token, number] = 4
    for normed in (encoder.layer_norm, decoder.layer_norm):
        _norm(normed)
    for layer in encoder.layer:
        _attention(layer.self_attention, 3 * WIDTH, WIDTH)
        _feed_forward(layer.ffn)
    for layer in decoder.layer:
        _attention(layer.self_attention, 3 * WIDTH, WIDTH)
        _attention(layer.attention, WIDTH, 2 * WIDTH, WIDTH)
        query, key_and_value, _ = layer.attention.linear
        query.weight = np.eye(WIDTH, dtype=np.float32)
        key_and_value.weight[:WIDTH] = np.eye(WIDTH, dtype=np.float32)  # keys; the values stay nothing
        _feed_forward(layer.ffn)
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [tokens.index(f"<|{language}|>") for language in LANGUAGES]
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    return spec


def _attention(attention: Any, *outputs: int) -> None:
    _norm(attention.layer_norm)
    for linear, size in zip(attention.linear, outputs, strict=True):
        linear.weight, linear.bias = _zeros(size, WIDTH), _zeros(size)


def _feed_forward(layer: Any) -> None:
    _norm(layer.layer_norm)
    layer.linear_0.weight, layer.linear_0.bias = _zeros(4 * WIDTH, WIDTH), _zeros(4 * WIDTH)
    layer.linear_1.weight, layer.linear_1.bias = _zeros(WIDTH, 4 * WIDTH), _zeros(WIDTH)


def _norm(layer: Any) -> None:
    layer.gamma, layer.beta = np.ones(WIDTH, np.float32), _zeros(WIDTH)


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def _tokenizer(vocabulary: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(vocabulary)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return tokenizer
