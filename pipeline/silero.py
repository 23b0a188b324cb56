"""Silero VAD v6: how probably a window of 32 ms is speech. The ONNX file comes with faster-whisper.

The network is recurrent: a window's probability depends on what came before it. One `SileroModel`
is loaded per process and shared; each call has a `SileroStream` with the state of its own.
Source: https://github.com/snakers4/silero-vad; inputs as in faster_whisper/vad.py.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ConfigError

WINDOW = 512  # samples at 16 kHz, 32 ms
CONTEXT = 64  # samples of the window before, put in front
STATE = (1, 1, 128)
FULL_SCALE = np.float32(1 / 32768)


def model_path() -> Path:
    """The ONNX file inside the installed faster-whisper, found without importing it (that takes seconds).

    Raises ConfigError when there is none."""
    spec = importlib.util.find_spec("faster_whisper")
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in sorted(Path(folder, "assets").glob("silero_vad_v*.onnx"), reverse=True):
            return path
    raise ConfigError("the voice detector silero_vad_v6.onnx is missing: install faster-whisper 1.2 or newer")


class SileroModel:
    """The loaded network. Takes 0.2 s to load, onnxruntime included: do it in a thread, at start."""

    def __init__(self, path: Path | None = None) -> None:
        import onnxruntime  # here: 0.1 s that nothing but a running server needs

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a window costs 0.1 ms: handing it to a pool would cost more
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            str(path or model_path()), providers=["CPUExecutionProvider"], sess_options=options
        )
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._after_silence: dict[int, tuple[list[float], np.ndarray, np.ndarray]] = {}

    def after_silence(self, count: int) -> tuple[list[float], np.ndarray, np.ndarray]:
        """As `run` on so many windows without any sound, from the beginning: asked often, always the same."""
        if count not in self._after_silence:
            nothing = np.zeros((count, CONTEXT + WINDOW), np.float32)
            self._after_silence[count] = self.run(
                nothing, np.zeros(STATE, np.float32), np.zeros(STATE, np.float32)
            )
        return self._after_silence[count]

    def run(
        self, windows: np.ndarray, h: np.ndarray, c: np.ndarray
    ) -> tuple[list[float], np.ndarray, np.ndarray]:
        """Windows one after the other, float32 (n, CONTEXT + WINDOW) in [-1, 1], and the two states; their
        probabilities and the new states. Of many in one run each takes half as long as by itself."""
        answer: Any = self._session.run(self._outputs, {"input": windows, "h": h, "c": c})
        probabilities, h, c = answer
        return probabilities.reshape(-1).tolist(), h, c


class SileroStream:
    """One call's sound, cut into windows."""

    def __init__(self, model: SileroModel) -> None:
        self._model = model
        self.windows_run = 0  # since the call began: what the gate's economy is measured by
        self.reset()

    def reset(self) -> None:
        """Forgets what was heard; the next sample begins a window."""
        self._h = np.zeros(STATE, np.float32)
        self._c = np.zeros(STATE, np.float32)
        self._heard = np.zeros(CONTEXT, np.float32)  # context, then what does not yet fill a window
        self._begins = True  # no window was run yet

    def sibling(self) -> SileroStream:
        """Another stream of the same model, that has heard nothing."""
        return SileroStream(self._model)

    def push(self, samples: np.ndarray) -> list[float]:
        """int16 (n,), 16 kHz; the probabilities of the windows that became full, 0..1."""
        heard = np.concatenate([self._heard, samples * FULL_SCALE])
        count = (len(heard) - CONTEXT) // WINDOW
        self._heard = heard[count * WINDOW :]
        if not count:
            return []
        windows = heard[: CONTEXT + WINDOW].reshape(1, -1)  # as nearly always
        if count > 1:
            windows = np.stack([heard[n * WINDOW : (n + 1) * WINDOW + CONTEXT] for n in range(count)])
        judged: list[float] = []
        if self._begins:
            self._begins = False
            sounding = np.flatnonzero(windows.any(axis=1))
            quiet = int(sounding[0]) if len(sounding) else count
            if quiet:
                judged, self._h, self._c = self._model.after_silence(quiet)
                windows = windows[quiet:]
        if len(windows):
            probabilities, self._h, self._c = self._model.run(windows, self._h, self._c)
            judged = judged + probabilities
            self.windows_run += len(windows)
        return judged
