"""VUS-PR of a continuous score: the area under precision and recall, averaged over soft borders of
the labels (Paparrizos et al., "Volume Under the Surface", VLDB 2022), in numpy alone.

Axes: N rows, K labelled segments.
"""

from __future__ import annotations

import numpy as np

from streamer.event import F32, F64, I64, Bool

THRESHOLDS = 250
LONGEST_WINDOW = 300


def vus_pr(label: np.ndarray, score: np.ndarray, window: int) -> float:
    """(N,) 0/1 and (N,) finite scores to 0..1; NaN without labels. As the benchmark's own code."""
    marked, score = np.asarray(label) > 0, np.asarray(score, np.float64)
    if not marked.any():
        return float("nan")
    thresholds = -np.sort(-score)[np.linspace(0, len(score) - 1, THRESHOLDS).astype(int)]
    # The first threshold that a row reaches.
    rank = np.searchsorted(-thresholds, -score, side="left").astype(np.int64)
    predicted = np.cumsum(np.bincount(rank, minlength=THRESHOLDS))
    inside = np.cumsum(np.bincount(rank[marked], minlength=THRESHOLDS))
    segments = segments_of(marked)
    area = 0.0
    for width in range(window + 1):
        soft = np.cumsum(_border(rank, marked, segments, width))
        found, groups = _first_met(rank, segments, width // 2)
        reached = (inside + soft) / ((2 * inside[-1] + soft) / 2)
        recall = np.minimum(reached, 1.0) * np.cumsum(found) / groups
        area += float(np.sum(np.diff(recall, prepend=0.0) * (inside + soft) / predicted))
    return area / (window + 1)


def segments_of(marked: Bool) -> I64:
    """First and last row of every run of labelled rows, (K, 2)."""
    edge = np.diff(np.concatenate([[0], marked.astype(np.int8), [0]]))
    return np.stack([np.flatnonzero(edge == 1), np.flatnonzero(edge == -1) - 1], axis=1)


def _border(rank: I64, marked: Bool, segments: I64, width: int) -> F64:
    """Weight of the rows beside the segments, by the threshold that they reach."""
    half, n = width // 2, len(rank)
    if half == 0:
        return np.zeros(THRESHOLDS)
    away = np.arange(1, half + 1)
    rows = np.concatenate([segments[:, 1:] + away, segments[:, :1] - away]).ravel()
    there = (rows >= 0) & (rows < n)
    soft = np.tile(np.sqrt(1 - away / width), 2 * len(segments))
    weight = np.bincount(rows[there], soft[there], minlength=n)
    beside = np.flatnonzero((weight > 0) & ~marked)
    soft = np.minimum(weight[beside], 1.0)
    return np.bincount(rank[beside], soft, minlength=THRESHOLDS).astype(np.float64)


def _first_met(rank: I64, segments: I64, half: int) -> tuple[I64, int]:
    """By threshold, how many anomalies are met first there, and how many there are: segments whose
    borders touch count as one.
    """
    apart = segments[1:, 0] - half > segments[:-1, 1] + half
    first = segments[np.concatenate([[True], apart]), 0] - half
    last = segments[np.concatenate([apart, [True]]), 1] + half
    met = [int(rank[max(a, 0) : b + 1].min()) for a, b in zip(first, last, strict=True)]
    return np.bincount(met, minlength=THRESHOLDS), len(met)


def period(x: F32) -> int:
    """The benchmark's window: the highest peak of the autocorrelation of 20,000 rows at lags
    3..300, else 125.
    """
    y = np.asarray(x, np.float64)[:20_000]
    y = y - y.mean()
    if not y.any():
        return 125
    size = 1 << (2 * len(y) - 1).bit_length()
    power = np.abs(np.fft.rfft(y, size)) ** 2
    corr = np.fft.irfft(power, size)[: min(401, len(y))][3:] / (y @ y)
    peaks = np.flatnonzero((corr[1:-1] > corr[:-2]) & (corr[1:-1] > corr[2:])) + 1
    if not peaks.size:
        return 125
    best = int(peaks[np.argmax(corr[peaks])])
    return best + 3 if 3 <= best <= LONGEST_WINDOW else 125
