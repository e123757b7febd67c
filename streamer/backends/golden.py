"""Deviation of a backend from a bundle's golden vectors.

Golden vectors are a short run whose outputs were recorded at export.
"""

from __future__ import annotations

import numpy as np

from streamer import artifact
from streamer.artifact import Bundle
from streamer.backends import open_scorer
from streamer.errors import CorruptBundle
from streamer.event import F32

PART = "golden.npz"
OUTPUTS = ("value_state", "rhythm_state", "delta", "value", "gap", "hour", "attention")
# For f32 backends: processors differ, and so does the order of sums. With 16-bit weights or 8-bit
# activations the forecast may deviate by this much, rms in step units, as at export.
TOLERANCE_F32, TOLERANCE_RMS = 1e-4, {"litert-fp16": 0.01, "litert-int8": 0.25}


def deviation(bundle: Bundle, backend: str) -> tuple[float, float]:
    """Return the largest scaled difference, and the forecast's rms in step units.

    NaN or infinite if an output is. CorruptBundle if the bundle has no golden vectors.
    """
    if PART not in bundle.parts:
        raise CorruptBundle(f"bundle {bundle.version} has no {PART}; export it again")
    vectors = artifact.unpack_arrays(bundle.parts[PART], bundle.version)
    scorer = open_scorer(bundle, backend)
    state = np.zeros_like(vectors["value_state"][0]), np.zeros_like(vectors["rhythm_state"][0])
    worst, squares = [], []
    for t in range(len(vectors["x"])):
        out = scorer.step(*state, vectors["x"][t], vectors["r"][t])
        worst += [_distance(getattr(out, name), vectors[name][t]) for name in OUTPUTS]
        squares.append(np.mean((out.delta - vectors["delta"][t]) ** 2))
        state = out.value_state, out.rhythm_state
    replayed = scorer.replay(
        np.zeros_like(state[0]), np.zeros_like(state[1]), vectors["x"], vectors["r"]
    )
    wanted = (vectors["value_state"][-1], vectors["rhythm_state"][-1], vectors["attention"])
    worst += [_distance(got, want) for got, want in zip(replayed, wanted, strict=True)]
    return float(np.max(worst)), float(np.sqrt(np.mean(squares)))


def strays(bundle: Bundle, backend: str) -> str | None:
    """Why the backend may not judge with this bundle; None if its outputs match."""
    if backend == "baseline":
        return None
    worst, rms = deviation(bundle, backend)
    if backend in TOLERANCE_RMS:
        return (
            None
            if rms <= TOLERANCE_RMS[backend]
            else f"its forecasts stray by {rms:.3g} rms on {backend}"
        )
    return None if worst <= TOLERANCE_F32 else f"its outputs stray by {worst:.3g} on {backend}"


def _distance(got: F32, want: F32) -> float:
    return float(np.max(np.abs(got - want) / np.maximum(1, np.abs(want))))
