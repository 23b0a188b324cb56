"""A voice of Piper's with random weights, made on the spot, with the right inputs and outputs.

As in the real ones: phoneme ids and their number in, lengths as `Ceil` of something times the second scale,
256 samples (`HOP`) for each unit of length out. It hums, at another pitch for each phoneme.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP

HOP = 256  # samples
RATE = 22_050
LONGEST = 24  # units of length of one phoneme


def make(folder: Path, name: str, *, speakers: int = 1, work: int = 0, seed: int = 1) -> Path:
    """Writes NAME.onnx and NAME.onnx.json.

    Args:
        work: rounds of a matrix product for each phrase, to make it slow.
    """
    chance = np.random.default_rng(seed)
    symbols = 1 + max(number for numbers in DEFAULT_PHONEME_ID_MAP.values() for number in numbers)
    length = chance.uniform(3, 8, (symbols, 1)).astype(np.float32)
    pitch = chance.uniform(0.02, 0.12, (symbols, 1)).astype(np.float32)
    constants = {
        "length": length,
        "pitch": pitch,
        "steps": np.arange(LONGEST * HOP, dtype=np.float32).reshape(1, 1, -1),
        "hop": np.array(float(HOP), np.float32),
        "loud": np.array(0.5, np.float32),
        "last": np.array([-1], np.int64),
        "one": np.array(1, np.int64),
        "flat": np.array([1, 1, -1], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["scales", "one"], ["scale"]),
        helper.make_node("Gather", ["length", "input"], ["lengths"]),
        helper.make_node("Mul", ["lengths", "scale"], ["scaled"]),
        helper.make_node("Ceil", ["scaled"], ["w_ceil"]),
        # Each phoneme hums for its own time, of the longest that there may be; then all of that in a row.
        helper.make_node("Mul", ["w_ceil", "hop"], ["samples"]),
        helper.make_node("Less", ["steps", "samples"], ["sounds"]),
        helper.make_node("Gather", ["pitch", "input"], ["pitches"]),
        helper.make_node("Mul", ["steps", "pitches"], ["phases"]),
        helper.make_node("Sin", ["phases"], ["waves"]),
        helper.make_node("Mul", ["waves", "loud"], ["hum"]),
        helper.make_node("Reshape", ["hum", "last"], ["all"]),
        helper.make_node("Reshape", ["sounds", "last"], ["kept"]),
        helper.make_node("Compress", ["all", "kept"], ["row"], axis=0),
    ]
    row = "row"
    if work:
        nodes += _slow(work)
        nodes.append(helper.make_node("Add", ["row", "nothing"], ["worked"]))
        row = "worked"
        constants["matrix"] = chance.normal(0, 0.01, (400, 400)).astype(np.float32)
        constants["rounds"], constants["yes"] = np.array(work, np.int64), np.array(True)
        constants["zero"] = np.array(0, np.float32)
    nodes.append(helper.make_node("Reshape", [row, "flat"], ["output"]))
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, ["batch", "phonemes"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    if speakers > 1:
        inputs.append(helper.make_tensor_value_info("sid", TensorProto.INT64, ["batch"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, "samples"])],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path = folder / f"{name}.onnx"
    onnx.save(model, str(path))
    Path(f"{path}.json").write_text(json.dumps(_config(name, speakers, symbols)))
    return path


def _slow(rounds: int) -> list[onnx.NodeProto]:
    """A loop of matrix products whose result is zero times itself: work that nothing can leave out."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["carried", "matrix"], ["product"]),
            helper.make_node("Tanh", ["product"], ["next"]),
            helper.make_node("Identity", ["go_on"], ["still"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, [400, 400]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [400, 400]),
        ],
    )
    return [
        helper.make_node("Loop", ["rounds", "yes", "matrix"], ["worn"], body=body),
        helper.make_node("ReduceMax", ["worn"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "zero"], ["nothing"]),
    ]


def _config(name: str, speakers: int, symbols: int) -> dict[str, object]:
    language = name.split("-")[0]
    return {
        "audio": {"sample_rate": RATE, "quality": "x_low"},
        "espeak": {"voice": {"en_US": "en-us", "de_DE": "de"}.get(language, language[:2])},
        "language": {"code": language, "family": language[:2]},
        "inference": {"noise_scale": 0.667, "length_scale": 1.0, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": DEFAULT_PHONEME_ID_MAP,
        "num_symbols": symbols,
        "num_speakers": speakers,
        "speaker_id_map": {f"speaker{number}": number for number in range(speakers)} if speakers > 1 else {},
        "piper_version": "1.0.0",
    }
