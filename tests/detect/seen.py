"""Judged events for the tests of evidences, without a network: an outlook is made up, and is as
wrong as we like.
"""

from __future__ import annotations

import numpy as np

from streamer.detect.evidence import Evidence, Observation
from streamer.detect.network.cell import GAP_COMPONENTS, HOURS
from streamer.detect.network.lanes import Outlook
from streamer.event import F32, I64

HOURLY_S = 3600.0  # a typical gap at which a day is soon full


def f32(*numbers: float) -> F32:
    """A row of numbers."""
    return np.array(numbers, np.float32)


def outlook(forecast: F32, step: float | F32 = 1.0, log_gap: F32 | None = None) -> Outlook:
    """What was expected of N events: standard logistic gaps (on the log axis), the given forecast
    (N, C).
    """
    n = len(forecast)
    gaps = np.zeros(n, np.float32) if log_gap is None else log_gap
    units = np.broadcast_to(np.float32(step), forecast.shape).copy()
    gap, hour = np.zeros((n, 3 * GAP_COMPONENTS), np.float32), np.zeros((n, HOURS), np.float32)
    gap[:, 3:GAP_COMPONENTS] = -10  # all the weight on the three logistics
    return Outlook(forecast, units, gaps, np.full(n, HOURLY_S, np.float32), gap, hour)


def observation(
    slots: I64,
    judged: int | I64,
    values: F32,
    forecast: F32 | None = None,
    *,
    step: float | F32 = 1.0,
    log_gap: F32 | None = None,
    learn: float = 1.0,
) -> Observation:
    """One event of each slot; by default the forecast is 0."""
    n = len(slots)
    expected = np.zeros_like(values) if forecast is None else forecast
    time_s = np.full(n, 1.7e9)
    seen = np.broadcast_to(np.int64(judged), n).copy()
    return Observation(
        slots,
        seen,
        seen,
        values,
        time_s,
        outlook(expected, step, log_gap),
        np.full(n, learn, np.float32),
    )


def noise(
    seed: int, events: int, slots: int, channels: int, *, missing: float = 0.0
) -> tuple[F32, F32, F32]:
    """Values and forecasts (T, N, C), log gaps (T, N): forecasts that see a part of what comes."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (events, slots, channels))
    forecast = 0.5 * values + rng.normal(0, 0.5, values.shape)
    values[rng.random(values.shape) < missing] = np.nan
    gaps = np.clip(rng.logistic(0, 1, (events, slots)), -5, 6)
    return values.astype(np.float32), forecast.astype(np.float32), gaps.astype(np.float32)


def fold(
    evidence: Evidence, log: tuple[F32, F32, F32], slots: I64, start: int = 0
) -> tuple[F32, F32]:
    """A whole log folded, event by event: evidence (T, N) and split (T, N, P)."""
    found = [
        evidence.fold(observation(slots, start + t, value, forecast, log_gap=gap))
        for t, (value, forecast, gap) in enumerate(zip(*log, strict=True))
    ]
    return np.stack([e for e, _ in found]), np.stack([split for _, split in found])
