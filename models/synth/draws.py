"""How parameters and noise are drawn, a row for each stream. Axes: N streams, T rows."""

from __future__ import annotations

import numpy as np

from streamer.event import F64

Rng = np.random.Generator


def column(rng: Rng, n: int, low: float, high: float) -> F64:
    return rng.uniform(low, high, (n, 1))


def log_column(rng: Rng, n: int, low: float, high: float) -> F64:
    return np.exp(rng.uniform(np.log(low), np.log(high), (n, 1)))


def normal(rng: Rng, shape: tuple[int, int]) -> F64:
    return rng.standard_normal(shape)


def noise(rng: Rng, like: F64, low: float, high: float) -> F64:
    return log_column(rng, len(like), low, high) * normal(rng, like.shape)
