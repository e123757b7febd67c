"""Quality of a scored series against labels: caught windows, false alarms, ranking.

Never point-adjusted: one hit inside a labelled window does not turn its other rows into hits. Axes:
N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamer.event import F64, Bool

DAY_S = 86_400.0
Window = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Quality:
    """Alarms against labelled windows, and the ranking against labelled rows.

    None where the divisor is 0.
    """

    rows: int
    windows: int
    caught: int
    alarms: int
    false_alarms: int
    days: float  # time outside the windows, for the rate of false alarms
    median_delay_s: float | None  # from the start of a caught window to its first alarm
    average_precision: float | None  # of the continuous score, row by row
    base_rate: float  # fraction of labelled rows, the average precision of a random score

    @property
    def recall(self) -> float | None:
        return self.caught / self.windows if self.windows else None

    @property
    def precision(self) -> float | None:
        """Fraction of alarms inside a labelled window."""
        return (self.alarms - self.false_alarms) / self.alarms if self.alarms else None

    @property
    def false_alarms_per_day(self) -> float | None:
        return self.false_alarms / self.days if self.days > 0 else None


def judge(time_s: F64, score: F64, fired: Bool, windows: Sequence[Window]) -> Quality:
    """Rate a series by its labelled windows, both ends included.

    All arrays are (N,), times ascending or nearly so.
    """
    inside = rows_inside(time_s, windows)
    labelled = inside >= 0
    firsts = [_first_alarm(time_s, fired & (inside == k)) for k in range(len(windows))]
    delays = [
        first - start
        for first, (start, _) in zip(firsts, windows, strict=True)
        if first is not None
    ]
    return Quality(
        rows=len(time_s),
        windows=len(windows),
        caught=len(delays),
        alarms=int(np.count_nonzero(fired)),
        false_alarms=int(np.count_nonzero(fired & ~labelled)),
        days=_seconds_outside(time_s, windows) / DAY_S,
        median_delay_s=float(np.median(delays)) if delays else None,
        average_precision=average_precision(labelled, score),
        base_rate=float(labelled.mean()) if len(labelled) else 0.0,
    )


def rows_inside(time_s: F64, windows: Sequence[Window]) -> np.ndarray:
    """Index (N,) of the window that each row lies in, -1 outside; the first of overlapping ones."""
    inside = np.full(len(time_s), -1)
    for k in range(len(windows) - 1, -1, -1):
        start, end = windows[k]
        inside[(time_s >= start) & (time_s <= end)] = k
    return inside


def windows_of(time_s: F64, label: Bool) -> list[Window]:
    """Runs of labelled rows as windows on the time axis."""
    edge = np.flatnonzero(np.diff(np.concatenate([[0], label.astype(np.int8), [0]])))
    return [
        (float(time_s[a]), float(time_s[b - 1])) for a, b in zip(edge[::2], edge[1::2], strict=True)
    ]


def average_precision(label: Bool, score: F64) -> float | None:
    """Sum of precision x gain in recall over all thresholds; None without positives.

    Equal scores share a threshold.
    """
    positives = int(np.count_nonzero(label))
    if positives == 0:
        return None
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(label[order])
    # last row of each run of equal scores
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    precision, recall = hits[last] / (last + 1), hits[last] / positives
    return float(np.sum(precision * np.diff(recall, prepend=0.0)))


def _first_alarm(time_s: F64, fired: Bool) -> float | None:
    return float(time_s[fired].min()) if fired.any() else None


def _seconds_outside(time_s: F64, windows: Sequence[Window]) -> float:
    if len(time_s) == 0:
        return 0.0
    first, last = float(time_s.min()), float(time_s.max())
    covered, end = 0.0, first
    for start, stop in sorted(windows):
        covered += max(min(stop, last) - max(start, end), 0.0)
        end = max(end, stop)
    return last - first - covered
