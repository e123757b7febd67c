"""The features of the network: both streams of an entity, scaled by an anchor of the past.

Axes: B rows, T time, C channels, S window of the anchor. Training and serving both use this file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamer.detect.state.arrays import clip, known
from streamer.event import F32, F64, Bool

VALUE_FEATURES = 4  # scaled value, scaled step, log of step scale over scale, missing
RHYTHM_FEATURES = 6  # log gap, its change, sin/cos hour of day, sin/cos day of week
DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
# 1970-01-01 was a Thursday; Monday is day 0
EPOCH_WEEKDAY = 3
GAP_FLOOR_S = 1e-3
LOG_GAP_LOW, LOG_GAP_HIGH = -5.0, 6.0
STEP_CLIP = 30.0
# twice this over the smallest unit of a step (1e-14) is still a float32, so no feature overflows
VALUE_LIMIT = 1e24


@dataclass(frozen=True, slots=True)
class Anchor:
    """The fixed units of one lane: location and scale per channel, and the typical gap."""

    loc: F32  # (B, C)
    scale: F32  # (B, C)
    step: F32  # (B, C) scale of the differences
    gap_s: F32  # (B,)


def bounded(values: F32) -> F32:
    """Return values within +-VALUE_LIMIT, infinities included; missing ones stay missing."""
    return clip(values, -VALUE_LIMIT, VALUE_LIMIT)


def anchor_of(values: F32, valid_rows: Bool, time_s: F64) -> Anchor:
    """Return robust units of a window: values (B, S, C) with NaN = missing, time_s (B, S).

    valid_rows (B, S) marks rows that exist. Location is the median; scale is max(IQR / 1.35, 0.6
    mean |deviation|), for values and for their differences.
    """
    v = np.where(valid_rows[:, :, None], values, np.nan).astype(np.float32, copy=False)
    loc, scale = _robust(v)
    loc = np.where(np.isnan(loc), 0, loc)
    scale = np.maximum(scale, np.where(loc == 0, 1e-12, 1e-4 * np.abs(loc)))
    scale = np.where(scale <= 1e-12, 1, scale).astype(np.float32)
    _, step = _robust(np.diff(v, axis=1))
    step = np.maximum(step, 0.01 * scale).astype(np.float32)
    return Anchor(loc.astype(np.float32), scale, step, _typical_gap(valid_rows, time_s))


def _robust(v: F32) -> tuple[F32, F32]:
    """Return median and robust scale over axis 1 of (B, S, C), ignoring NaN.

    All-NaN columns give (NaN, 0).
    """
    ordered = np.sort(v, axis=1)  # NaN last
    n = np.sum(~np.isnan(v), axis=1)
    q25, q50, q75 = (_quantile(ordered, n, q) for q in (0.25, 0.5, 0.75))
    spread = np.abs(v - q50[:, None, :])
    mean_dev = np.nansum(spread, axis=1) / np.maximum(n, 1)
    scale = np.maximum((q75 - q25) / 1.35, 0.6 * mean_dev)
    return q50, known(scale, 0.0)


def _quantile(ordered: F32, n: np.ndarray, q: float) -> F32:
    rank = np.maximum(n - 1, 0) * q
    low = np.floor(rank).astype(np.intp)
    high = np.minimum(low + 1, np.maximum(n - 1, 0))
    # take_along_axis costs four times as much on the few rows that are anchored at a time
    rows, columns = np.arange(len(low))[:, None], np.arange(low.shape[1])
    a, b = ordered[rows, low, columns], ordered[rows, high, columns]
    return (a + (b - a) * (rank - low)).astype(np.float32)


def _typical_gap(valid_rows: Bool, time_s: F64) -> F32:
    gaps = np.diff(time_s, axis=1)
    both = valid_rows[:, 1:] & valid_rows[:, :-1] & (gaps >= 0)
    rows = np.where(both, gaps, np.nan).astype(np.float32)[:, :, None]
    median = _quantile(np.sort(rows, axis=1), both.sum(axis=1)[:, None], 0.5)[:, 0]
    return np.maximum(known(median, 1.0), GAP_FLOOR_S).astype(np.float32)


def value_features(values: F32, last: F32, anchor: Anchor) -> tuple[F32, F32]:
    """Return features (..., C, VALUE_FEATURES) of values (..., C), and the scaled step.

    `last` is the last known value before each. The step (value - last) / anchor.step, clipped, is
    also the training target. Missing values repeat the last one, marked.
    """
    missing = np.isnan(values)
    filled = np.where(missing, last, values)
    step = clip((filled - last) / anchor.step, -STEP_CLIP, STEP_CLIP)
    x = np.empty((*values.shape, VALUE_FEATURES), np.float32)
    np.arcsinh((filled - anchor.loc) / anchor.scale, out=x[..., 0])
    np.arcsinh(step, out=x[..., 1])
    x[..., 2] = np.log(anchor.step / anchor.scale) / 4
    x[..., 3] = missing
    return x, step


def log_gap(gap_s: F64 | F32, unit_s: F32) -> F32:
    """Return the log of a time gap in the entity's unit, bounded; NaN counts as typical (0)."""
    ratio = (gap_s + 0.01 * unit_s) / (1.01 * unit_s)
    return known(clip(np.log(ratio), LOG_GAP_LOW, LOG_GAP_HIGH), 0.0).astype(np.float32)


def rhythm_features(log_gaps: F32, previous: F32, time_s: F64) -> F32:
    """Return features (..., RHYTHM_FEATURES) of events at `time_s` (UTC).

    `log_gaps` and `previous` are in the entity's unit.
    """
    day = (time_s / DAY_S) * (2 * np.pi)
    week = (time_s / WEEK_S + EPOCH_WEEKDAY / 7) * (2 * np.pi)
    columns = (
        log_gaps / 2,
        (log_gaps - previous) / 2,
        np.sin(day),
        np.cos(day),
        np.sin(week),
        np.cos(week),
    )
    return np.stack(columns, axis=-1).astype(np.float32)


def hour_of_day(time_s: F64) -> np.ndarray:
    """Return the UTC hour 0..23 of each time."""
    return ((time_s / 3600) % 24).astype(np.int64)


def carry_forward(values: F32, first: F32) -> F32:
    """Return the last known value before each row (B, T, C).

    values is (B, T, C); first (B, C) is before row 0.
    """
    steps = values.shape[1]
    padded = np.concatenate([first[:, None, :], values[:, :-1]], axis=1)
    known = np.where(np.isnan(padded), 0, np.arange(steps)[None, :, None])
    np.maximum.accumulate(known, axis=1, out=known)
    return np.take_along_axis(padded, known, axis=1)
