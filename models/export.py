"""Export of trained weights to a bundle: LiteRT in three precisions, golden vectors, parity.

The SavedModel stays in a temporary directory, because it is code, and a bundle holds no code.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamer import artifact
from streamer.artifact import Bundle, ModelSpec
from streamer.backends import open_scorer
from streamer.backends.keras_step import TensorNamespace, import_tensorflow
from streamer.backends.litert import INPUTS, OUTPUTS, REPLAY_STEPS, REPLAYED
from streamer.detect.network.cell import (
    GAP_COMPONENTS,
    MIXTURE,
    NumpyNamespace,
    replay,
    shapes,
    step,
    widths,
)
from streamer.errors import ModelError
from streamer.event import F32

# Another order of float sums over 24 steps: 5e-6 for the starter, 9e-6 for a model trained further.
PARITY_F32 = 5e-5
# fp16 rounds the weights, dynamic int8 also each activation row. Largest rms change of the forecast
# in step units.
PARITY_RMS = {"litert-fp16": 0.01, "litert-int8": 0.25}
PRECISIONS = ("f32", "fp16", "int8")
GOLDEN_STEPS, GOLDEN_ROWS, GOLDEN_CHANNELS = 24, 3, 2


def expected_shapes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of such a network, by name: cell.shapes in numbers."""
    return {
        name: tuple(_size(spec, term) for term in terms)
        for name, terms in shapes(spec.layers).items()
    }


def _size(spec: ModelSpec, term: str) -> int:
    h, f1, f2 = spec.units, spec.value_features, spec.rhythm_features
    symbols = {"H": h, "2H": 2 * h, "3H": 3 * h, "4H": 4 * h, "H+F1": h + f1, "F1": f1, "F2": f2}
    symbols |= {"A": spec.attention, "D": spec.head, "3M": 3 * MIXTURE, "3G": 3 * GAP_COMPONENTS}
    return symbols[term] if term in symbols else int(term)


def check_weights(spec: ModelSpec, weights: Mapping[str, F32]) -> None:
    """ModelError if a weight is missing, misshapen, not finite, or unknown."""
    expected = expected_shapes(spec)
    for name in sorted(weights.keys() - expected):
        raise ModelError(f"weight {name} belongs to no network of this shape")
    for name, shape in expected.items():
        if name not in weights:
            raise ModelError(f"weight {name} is missing")
        if weights[name].shape != shape:
            raise ModelError(f"weight {name} has shape {weights[name].shape}, expected {shape}")
        if not np.all(np.isfinite(weights[name])):
            raise ModelError(f"weight {name} is not finite: the training diverged")


def to_litert(
    spec: ModelSpec,
    weights: Mapping[str, F32],
    directory: Path,
    precisions: Sequence[str] = PRECISIONS,
) -> dict[str, bytes]:
    """The LiteRT files by name: step and replay in each precision.

    Rows and channels are resizable. Precisions are "f32", "fp16" (weights of 16 bits, arithmetic of
    32) and "int8" (weights of 8 bits, activations rounded row by row).
    """
    tf = import_tensorflow()
    parts = {}
    for graph, (function, signature) in _graphs(tf, spec, weights).items():
        saved = directory / graph
        module = tf.Module()
        module.run = tf.function(function, input_signature=signature)
        tf.saved_model.save(module, str(saved), signatures={"serving_default": module.run})
        for precision in precisions:
            converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
            converter.optimizations = [] if precision == "f32" else [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16] if precision == "fp16" else []
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
            parts[f"{graph}_{precision}.tflite"] = converter.convert()
    return parts


def _graphs(
    tf: Any, spec: ModelSpec, weights: Mapping[str, F32]
) -> dict[str, tuple[Any, list[Any]]]:
    """Step and replay as (function, signature).

    The weights are constants of the graph, so no variable is saved.
    """
    namespace = TensorNamespace(tf)
    constants = {name: tf.constant(weights[name]) for name in shapes(spec.layers)}

    def one(value_state: Any, rhythm_state: Any, x: Any, r: Any) -> dict[str, Any]:
        return _named(OUTPUTS, step(namespace, constants, value_state, rhythm_state, x, r))

    def many(value_state: Any, rhythm_state: Any, x: Any, r: Any) -> dict[str, Any]:
        return _named(REPLAYED, replay(namespace, constants, value_state, rhythm_state, x, r))

    return {
        "step": (one, _signature(tf, spec, ())),
        "replay": (many, _signature(tf, spec, (REPLAY_STEPS,))),
    }


def _named(names: Iterable[str], tensors: Sequence[Any]) -> dict[str, Any]:
    return {f"next_{name}": tensor for name, tensor in zip(names, tensors, strict=True)}


def _signature(tf: Any, spec: ModelSpec, run: tuple[int, ...]) -> list[Any]:
    value, rhythm = widths(spec)
    features = ((*run, None, None, spec.value_features), (*run, None, spec.rhythm_features))
    inputs = ((None, None, value), (None, rhythm), *features)
    return [
        tf.TensorSpec(shape, tf.float32, name=name)
        for shape, name in zip(inputs, INPUTS, strict=True)
    ]


def golden(spec: ModelSpec, weights: Mapping[str, F32], seed: int = 7) -> dict[str, F32]:
    """A short run of the numpy reference: inputs, and every output of every step.

    Inputs are x (T, N, C, F1) and r (T, N, F2).
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (GOLDEN_STEPS, GOLDEN_ROWS, GOLDEN_CHANNELS, spec.value_features)).astype(
        np.float32
    )
    r = rng.normal(0, 0.7, (GOLDEN_STEPS, GOLDEN_ROWS, spec.rhythm_features)).astype(np.float32)
    value, rhythm = widths(spec)
    state = (
        np.zeros((*x.shape[1:3], value), np.float32),
        np.zeros((GOLDEN_ROWS, rhythm), np.float32),
    )
    outputs = []
    for x_t, r_t in zip(x, r, strict=True):
        outputs.append(step(NumpyNamespace, weights, *state, x_t, r_t))
        state = outputs[-1][:2]
    return {"x": x, "r": r} | {
        n: np.stack(o) for n, o in zip(OUTPUTS, zip(*outputs, strict=True), strict=True)
    }


def deviation(
    bundle: Bundle, backend: str, vectors: Mapping[str, F32] | None = None
) -> dict[str, float]:
    """A backend's largest scaled difference from golden vectors, and its forecast's rms."""
    vectors = vectors or artifact.unpack_arrays(bundle.parts["golden.npz"])
    scorer = open_scorer(bundle, backend)
    state = np.zeros_like(vectors["value_state"][0]), np.zeros_like(vectors["rhythm_state"][0])
    worst, squares = 0.0, []
    for t in range(len(vectors["x"])):
        out = scorer.step(*state, vectors["x"][t], vectors["r"][t])
        got = {name: getattr(out, name) for name in OUTPUTS}
        worst = max(worst, *(distance(got[name], vectors[name][t]) for name in OUTPUTS))
        squares.append(np.mean((out.delta - vectors["delta"][t]) ** 2))
        state = out.value_state, out.rhythm_state
    replayed = scorer.replay(
        np.zeros_like(state[0]), np.zeros_like(state[1]), vectors["x"], vectors["r"]
    )
    wanted = (vectors["value_state"][-1], vectors["rhythm_state"][-1], vectors["attention"])
    worst = max(worst, *(distance(got, want) for got, want in zip(replayed, wanted, strict=True)))
    return {"max": worst, "delta_rms": float(np.sqrt(np.mean(squares)))}


def distance(got: F32, want: F32) -> float:
    """Largest difference, relative where the expected number exceeds 1."""
    return float(np.max(np.abs(got - want) / np.maximum(1, np.abs(want))))


def write_bundle(
    directory: Path,
    *,
    version: str,
    spec: ModelSpec,
    weights: Mapping[str, F32],
    training: Mapping[str, Any],
    calibration: Mapping[str, Any] | None = None,
    prove: Sequence[str] = ("litert", "litert-fp16", "litert-int8", "keras"),
    precisions: Sequence[str] = PRECISIONS,
) -> Bundle:
    """Export, save, reload and check parity; return the verified bundle.

    ModelError if a backend deviates.
    """
    check_weights(spec, weights)
    weights = {
        name: np.ascontiguousarray(weights[name], np.float32) for name in shapes(spec.layers)
    }
    with tempfile.TemporaryDirectory() as scratch:
        parts = to_litert(spec, weights, Path(scratch), precisions)
    parts["golden.npz"] = artifact.pack_arrays(golden(spec, weights))
    artifact.save(
        directory,
        version=version,
        spec=spec,
        weights=weights,
        calibration=calibration or {},
        parts=parts,
        training=training,
    )
    bundle = artifact.load(directory)
    parity(bundle, prove)
    return bundle


def parity(bundle: Bundle, backends: Sequence[str]) -> dict[str, dict[str, float]]:
    """Deviation of every exported form from the reference; ModelError if too large."""
    report = {name: deviation(bundle, name) for name in backends}
    for name, found in report.items():
        measure, limit = limit_of(name)
        if not found[measure] <= limit:
            raise ModelError(
                f"{name} strays from the numpy step: {measure} is {found[measure]:.2g}, allowed "
                f"is {limit}"
            )
    return report


def limit_of(backend: str) -> tuple[str, float]:
    """The bounded deviation of a backend, and its bound."""
    return ("delta_rms", PARITY_RMS[backend]) if backend in PARITY_RMS else ("max", PARITY_F32)
