"""The drift of one stream: its references, the newest indexes, and what has drifted.

Values are compared with the profile that training stored in the bundle (`training.profiles`), by
stream. Without one, as in the starter bundle, they are compared with the first whole window under
the model. Scores and the incident rate are always compared with that window, because training does
not know them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import structlog

from streamer.lifecycle.drift import DriftSample, TrafficProfile, drift_of, profile_of, rate_drift
from streamer.lifecycle.traffic_sample import TrafficSample, TrafficWindow

log = structlog.get_logger()

HOLD = 2  # comparisons in a row that must agree
MOST_TOLD = 3  # signals named in a cause


@dataclass(frozen=True, slots=True)
class Reference:
    """What live traffic is compared with."""

    readings: TrafficProfile
    scores: TrafficProfile
    incidents: np.ndarray
    rows: int


class Monitor:
    """Owned by one thread; any thread may read `signals`, `drifted` and `cause`."""

    def __init__(
        self, stream: str, channels: Sequence[str], traffic: TrafficSample, threshold: float
    ) -> None:
        self.stream, self.signals = stream, dict[str, float]()
        self.drifted: Mapping[str, float] = {}
        self.traffic = traffic
        self._names = (*(f"input:{name}" for name in channels), "score", "alert_rate")
        self._threshold, self._held = threshold, dict[str, int]()
        self._trained: TrafficProfile | None = None
        self._reference: Reference | None = None
        self._version: str | None = None

    @property
    def cause(self) -> str | None:
        """What has drifted, largest first, in words; None if nothing has."""
        worst = sorted(self.drifted.items(), key=lambda item: -item[1])[:MOST_TOLD]
        return ", ".join(f"{name} {value:.2f}" for name, value in worst) or None

    def model(self, version: str, training: Mapping[str, Any]) -> None:
        """Set the model that judges, and its manifest's `training`.

        A new version starts a new comparison.
        """
        if version == self._version:
            return
        self._version = version
        raw = training.get("profiles", {}).get(self.stream, {})
        self._trained = TrafficProfile.of_json(raw, len(self._names) - 2)
        self._reference, self._held = None, {}
        self.signals, self.drifted = {}, {}
        self.traffic.forget()

    def look(self) -> None:
        """Compare the newest traffic, once it fills a whole window."""
        view = self.traffic.take()
        if view is None or not view.whole:
            return
        if self._reference is None:
            self._reference = self._referred(view)
            if self._trained is None:
                self.traffic.forget()
                return
        self._judge(self._indexes(self._reference, view))

    def _referred(self, view: TrafficWindow) -> Reference:
        readings = self._trained or profile_of(view.sample)
        log.info(
            "drift_reference", stream=self.stream, rows=view.rows, trained=self._trained is not None
        )
        return Reference(readings, profile_of(scores_of(view)), view.incidents, view.rows)

    def _indexes(self, reference: Reference, view: TrafficWindow) -> dict[str, float]:
        readings = drift_of(reference.readings, view.sample)
        scores = drift_of(reference.scores, scores_of(view))
        rate = rate_drift(reference.incidents, reference.rows, view.incidents, view.rows)
        return dict(zip(self._names, [*readings.tolist(), float(scores[0]), rate], strict=True))

    def _judge(self, indexes: dict[str, float]) -> None:
        self._held = {
            name: self._held.get(name, 0) + 1 for name, v in indexes.items() if v >= self._threshold
        }
        before, self.signals = self.drifted, indexes
        self.drifted = {name: indexes[name] for name, count in self._held.items() if count >= HOLD}
        if self.drifted.keys() - before.keys():
            log.warning("drift", stream=self.stream, signals=self.cause, threshold=self._threshold)


def scores_of(view: TrafficWindow) -> DriftSample:
    """Return the scores as the values of one channel of one entity."""
    return replace(
        view.sample,
        names=("",),
        entity=np.zeros(len(view.sample), np.int32),
        values=view.score[:, None],
    )
