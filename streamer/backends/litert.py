"""The step model on LiteRT, the default backend: small, fast, no TensorFlow.

Parts are hashed when the bundle is loaded, and only those bytes are parsed, because a corrupt
.tflite can crash the process.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamer.artifact import Bundle
from streamer.detect.network.cell import widths
from streamer.errors import BackendError, CorruptBundle
from streamer.event import F32, ModelRef
from streamer.protocols import StepOut

PRECISIONS = {"litert": "f32", "litert-fp16": "fp16", "litert-int8": "int8"}
INPUTS = ("value_state", "rhythm_state", "x", "r")
OUTPUTS = ("value_state", "rhythm_state", "delta", "value", "gap", "hour", "attention")
REPLAYED = (*OUTPUTS[:2], OUTPUTS[-1])
# Events per call of the replay model. One call per step costs 45 us for a few rows, mostly
# overhead.
REPLAY_STEPS = 16
# Rows x channels per call; more would leave the cache. 4,096 rows of 38 channels take 19.6 us each
# in one call, 10.8 us this way.
ROWS_PER_CALL = 2048


class LiteRTScorer:
    """A Network over two interpreters, for the step and the unrolled replay.

    Used by one thread at a time.
    """

    forecast_from = "last"
    has_rhythm = True

    def __init__(self, bundle: Bundle, name: str = "litert", threads: int = 1) -> None:
        self.ref = ModelRef(bundle.version, name, bundle.sha256)
        self.value_width, self.rhythm_width = widths(bundle.spec)
        self._step = _Graph(bundle, f"step_{PRECISIONS[name]}.tflite", OUTPUTS, threads)
        self._replay = _Graph(bundle, f"replay_{PRECISIONS[name]}.tflite", REPLAYED, threads)

    def step(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> StepOut:
        arrays, size = (value_state, rhythm_state, x, r), max(1, ROWS_PER_CALL // x.shape[1])
        if len(x) <= size:
            return StepOut(*self._step(*arrays))
        runs = [
            self._step(*(a[start : start + size] for a in arrays))
            for start in range(0, len(x), size)
        ]
        return StepOut(*map(np.concatenate, zip(*runs, strict=True)))

    def replay(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> tuple[F32, F32, F32]:
        logits = np.zeros(x.shape[:2], np.float32)
        whole = len(x) - len(x) % REPLAY_STEPS
        for t in range(0, whole, REPLAY_STEPS):
            run = slice(t, t + REPLAY_STEPS)
            value_state, rhythm_state, logits[run] = self._replay(
                value_state, rhythm_state, x[run], r[run]
            )
        for t in range(whole, len(x)):
            value_state, rhythm_state, *_, logits[t] = self._step(
                value_state, rhythm_state, x[t], r[t]
            )
        return value_state, rhythm_state, logits


class _Graph:
    """One .tflite part as a function of INPUTS; a new batch shape costs a re-allocation."""

    def __init__(self, bundle: Bundle, part: str, outputs: tuple[str, ...], threads: int) -> None:
        self._interpreter = _interpreter(_part(bundle, part), threads)
        self._inputs, self._outputs = _indices(self._interpreter, outputs)
        self._shape: tuple[int, ...] | None = None

    def __call__(self, *arrays: F32) -> list[F32]:
        if arrays[0].shape != self._shape:
            self._resize(arrays)
        for index, array in zip(self._inputs, arrays, strict=True):
            self._interpreter.set_tensor(index, np.ascontiguousarray(array))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]

    def _resize(self, arrays: tuple[F32, ...]) -> None:
        self._shape = None
        for index, array in zip(self._inputs, arrays, strict=True):
            self._interpreter.resize_tensor_input(index, array.shape)
        self._interpreter.allocate_tensors()
        self._shape = arrays[0].shape


def _part(bundle: Bundle, name: str) -> bytes:
    if name not in bundle.parts:
        raise CorruptBundle(
            f"bundle {bundle.version} has no {name}; export it again or choose backend numpy"
        )
    return bundle.parts[name]


def _interpreter(content: bytes, threads: int) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as exc:
        raise BackendError(
            "backend litert needs ai-edge-litert: pip install 'streamer[edge]', or use numpy"
        ) from exc
    try:
        return Interpreter(model_content=content, num_threads=threads)
    except (ValueError, RuntimeError) as exc:
        raise BackendError(f"LiteRT cannot read the step model: {exc}") from exc


def _indices(interpreter: Any, names: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Tensor indices of inputs and outputs.

    The runner is deleted here, because invoke() raises while one is alive.
    """
    runner = interpreter.get_signature_runner()
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
    del runner
    try:
        return [inputs[name]["index"] for name in INPUTS], [
            outputs[f"next_{name}"]["index"] for name in names
        ]
    except KeyError as exc:
        raise BackendError(f"the model lacks the tensor {exc}; export the bundle again") from exc
