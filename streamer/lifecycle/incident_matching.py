"""Compares two models on one log: matching incidents, and the correlation of scores."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from streamer.event import F32, Alert

CHAMPION, CHALLENGER = 0, 1
KEPT = 1000  # incidents that are kept for the comparison with labels


@dataclass(slots=True)
class OpenedIncident:
    """One incident that a side opened.

    `paired` if the other side had one of the entity at the same time.
    """

    side: int
    stream: str
    entity: str
    opened_at: str
    paired: bool = False

    @property
    def outcome(self) -> str:
        return "same" if self.paired else ("lost", "extra")[self.side]


@dataclass(slots=True)
class Pairs:
    """Incidents of champion and challenger, matched by entity if they overlap in time."""

    same: int = 0
    opened: list[int] = field(default_factory=lambda: [0, 0])
    incidents: deque[OpenedIncident] = field(default_factory=lambda: deque(maxlen=KEPT))
    _open: tuple[dict[str, OpenedIncident], dict[str, OpenedIncident]] = field(
        default_factory=lambda: ({}, {})
    )

    @property
    def extra(self) -> int:
        """Number of incidents that only the challenger opened."""
        return self.opened[CHALLENGER] - self.same

    @property
    def lost(self) -> int:
        """Number of incidents that only the champion opened."""
        return self.opened[CHAMPION] - self.same

    @property
    def disagreement(self) -> float:
        """The share of all incidents that only one side opened; 0 without any."""
        return (self.extra + self.lost) / max(self.extra + self.lost + self.same, 1)

    def hear(self, champion: Iterable[Alert], challenger: Iterable[Alert]) -> None:
        """Add the alerts of both sides about the same stretch of a log."""
        told = [(CHAMPION, alert) for alert in champion] + [
            (CHALLENGER, alert) for alert in challenger
        ]
        # At equal times openings are first, so that incidents that touch overlap.
        for side, alert in sorted(
            told, key=lambda one: (one[1].detected_at, one[1].event != "opened")
        ):
            self._hear(side, alert)

    def _hear(self, side: int, alert: Alert) -> None:
        if alert.event == "resolved":
            self._open[side].pop(alert.incident_key, None)
        elif alert.event == "opened":
            mine, other = (
                OpenedIncident(side, alert.stream, alert.entity, alert.detected_at),
                self._open[1 - side],
            )
            theirs = other.get(alert.incident_key)
            if theirs is not None and not theirs.paired:
                mine.paired = theirs.paired = True
                self.same += 1
            self.opened[side] += 1
            self._open[side][alert.incident_key] = mine
            self.incidents.append(mine)

    def by_label(self, label_of: Callable[[OpenedIncident], str | None]) -> dict[str, Counter[str]]:
        """Return counts of outcomes of the kept incidents by their label; a pair counts once."""
        found: dict[str, Counter[str]] = {}
        for incident in list(self.incidents):
            label = None if incident.paired and incident.side == CHALLENGER else label_of(incident)
            if label is not None:
                found.setdefault(label, Counter())[incident.outcome] += 1
        return found


@dataclass(slots=True)
class Agreement:
    """Pearson's correlation of two scores, as running sums of log1p.

    The logarithm keeps a few huge scores from dominating.
    """

    n: int = 0
    sums: tuple[float, float] = (0.0, 0.0)
    squares: tuple[float, float] = (0.0, 0.0)
    product: float = 0.0

    def add(self, a: F32, b: F32) -> None:
        """Add two scores (N,) >= 0 of the same events."""
        x, y = (np.log1p(np.nan_to_num(s, nan=0.0, posinf=1e9).astype(np.float64)) for s in (a, b))
        self.n += len(x)
        self.sums = self.sums[0] + float(x.sum()), self.sums[1] + float(y.sum())
        self.squares = self.squares[0] + float(x @ x), self.squares[1] + float(y @ y)
        self.product += float(x @ y)

    @property
    def correlation(self) -> float:
        """The correlation; 0 if one of them never changes, or nothing was compared."""
        if not self.n:
            return 0.0
        varies = [
            square / self.n - (whole / self.n) ** 2
            for square, whole in zip(self.squares, self.sums, strict=True)
        ]
        if min(varies) <= 1e-12:
            return 0.0
        covariance = self.product / self.n - self.sums[0] * self.sums[1] / self.n**2
        return covariance / math.sqrt(varies[0] * varies[1])
