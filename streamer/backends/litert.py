"""The step model on LiteRT: small, fast, no TensorFlow. The default backend.

The parts were hashed when the bundle was loaded; only those bytes are parsed (a corrupt .tflite can crash the process).
"""

from __future__ import annotations

from typing import Any

from streamer.artifact import Bundle
from streamer.backends.reference import state_widths
from streamer.errors import BackendError, CorruptBundle
from streamer.event import F32, ModelRef
from streamer.protocols import StepOut

PARTS = {"litert": "step_f32.tflite", "litert-int8": "step_int8.tflite"}
INPUTS = ("value_state", "rhythm_state", "x", "r")
OUTPUTS = ("value_state", "rhythm_state", "delta", "value", "gap", "hour", "attention")


class LiteRTScorer:
    """A Scorer over one interpreter; used by one thread at a time. A new batch shape costs one re-allocation."""

    forecast_from = "last"
    has_rhythm = True

    def __init__(self, bundle: Bundle, name: str = "litert", threads: int = 1) -> None:
        self.ref = ModelRef(bundle.version, name, bundle.sha256)
        self.value_width, self.rhythm_width = state_widths(bundle)
        self._interpreter = _interpreter(_part(bundle, PARTS[name]), threads)
        self._inputs, self._outputs = _indices(self._interpreter)
        self._shape: tuple[int, int] | None = None

    def step(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> StepOut:
        arrays = (value_state, rhythm_state, x, r)
        if x.shape[:2] != self._shape:
            self._resize(arrays)
        for index, array in zip(self._inputs, arrays, strict=True):
            self._interpreter.set_tensor(index, array)
        self._interpreter.invoke()
        return StepOut(*map(self._interpreter.get_tensor, self._outputs))

    def _resize(self, arrays: tuple[F32, ...]) -> None:
        self._shape = None
        for index, array in zip(self._inputs, arrays, strict=True):
            self._interpreter.resize_tensor_input(index, array.shape)
        self._interpreter.allocate_tensors()
        self._shape = arrays[2].shape[:2]


def _part(bundle: Bundle, name: str) -> bytes:
    if name not in bundle.parts:
        raise CorruptBundle(f"bundle {bundle.version} has no {name}; export it again or choose backend numpy")
    return bundle.parts[name]


def _interpreter(content: bytes, threads: int) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as exc:
        raise BackendError("backend litert needs ai-edge-litert: pip install 'streamer[edge]', or use numpy") from exc
    try:
        return Interpreter(model_content=content, num_threads=threads)
    except (ValueError, RuntimeError) as exc:
        raise BackendError(f"LiteRT cannot read the step model: {exc}") from exc


def _indices(interpreter: Any) -> tuple[list[int], list[int]]:
    """Tensor numbers of the step's inputs and outputs. The runner ends here: a live one makes invoke() raise."""
    runner = interpreter.get_signature_runner()
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
    del runner
    try:
        return [inputs[name]["index"] for name in INPUTS], [outputs[f"next_{name}"]["index"] for name in OUTPUTS]
    except KeyError as exc:
        raise BackendError(f"the step model lacks the tensor {exc}; export the bundle again") from exc
