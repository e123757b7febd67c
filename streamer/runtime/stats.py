"""Statistics of a stream for the metrics: written per batch by one thread, read by any."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamer.event import F32, F64, Alert, Fate, Scores

DURATIONS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCHES = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0)
SIZES = 16  # classes of batch size: 0 events, 1, 2 to 3, 4 to 7 ...
ALARMS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.5, 2.0, 3.0, 5.0)
DAY_S = 86_400.0


class Histogram:
    """Counts per bucket (inclusive upper bounds, the last is +Inf), and the sum of all values."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_all(self, values: F32) -> None:
        """Add all values (N,) at once; none may be NaN."""
        added = np.bincount(np.searchsorted(self.bounds, values), minlength=len(self.counts))
        self.counts = [before + int(more) for before, more in zip(self.counts, added, strict=True)]
        self.total += float(values.sum())

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (upper bound, cumulative count) pairs as Prometheus expects."""
        sums = np.cumsum(self.counts).tolist()
        return [
            *zip(map(str, self.bounds), map(float, sums), strict=False),
            ("+Inf", float(sums[-1])),
        ]


def merged(histograms: Sequence[Histogram]) -> Histogram:
    """Return the sum of at least one histogram with the same bounds."""
    whole = Histogram(histograms[0].bounds)
    whole.counts = [sum(column) for column in zip(*(one.counts for one in histograms), strict=True)]
    whole.total = sum(one.total for one in histograms)
    return whole


def unsure(scores: Scores) -> int:
    """Return the number of scored events without any finite forecast."""
    return int(
        np.count_nonzero((scores.fate == Fate.SCORED) & np.isnan(scores.expected).all(axis=1))
    )


@dataclass(slots=True)
class StreamStats:
    """Statistics of one stream's scorer, besides its record accounting."""

    scored: Counter[tuple[str, str]] = field(default_factory=Counter)  # (backend, model version)
    alerts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (severity, event)
    score_s: Histogram = field(default_factory=lambda: Histogram(DURATIONS_S))
    delivery_s: Histogram = field(default_factory=lambda: Histogram(DURATIONS_S))
    batch_events: Histogram = field(default_factory=lambda: Histogram(BATCHES))
    alarm: Histogram = field(default_factory=lambda: Histogram(ALARMS))
    # batches, events and seconds by class of size
    paces: F64 = field(default_factory=lambda: np.zeros((3, SIZES)))
    score_failures: int = 0
    unsure: int = 0  # events judged without a finite forecast
    first_s: float = float("inf")  # event time
    last_s: float = float("-inf")

    def judged(self, events: int, took_s: float) -> None:
        """Record a batch of `events` that took `took_s`."""
        self.score_s.observe(took_s)
        self.batch_events.observe(events)
        self.paces[:, min(events.bit_length(), SIZES - 1)] += 1, events, took_s

    def span(self, time_s: F64) -> None:
        known = time_s[np.isfinite(time_s)]
        if known.size:
            self.first_s = min(self.first_s, float(known.min()))
            self.last_s = max(self.last_s, float(known.max()))

    def raised(self, alerts: Sequence[Alert]) -> None:
        self.alerts.update((alert.severity, alert.event) for alert in alerts)

    @property
    def events_per_s(self) -> float:
        """Events judged per second of judging; 0 before the first batch."""
        return self.batch_events.total / self.score_s.total if self.score_s.total > 0 else 0.0

    @property
    def observed_per_day(self) -> float:
        """Incidents opened per day of event time; 0 before any time has passed."""
        opened = sum(count for (_, event), count in self.alerts.items() if event == "opened")
        days = (self.last_s - self.first_s) / DAY_S
        return opened / days if days > 0 else 0.0
