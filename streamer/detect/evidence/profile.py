"""The profile of every entity: a deterministic, bounded fold of its log, and what it makes of the
network's outputs.

Evidences are combined in the log domain, so the parts of an explanation add up by construction: the
level of an event is log10(1 + sum of (10^e - 1)), and each evidence's and channel's share is its
part of that sum. The published score is the exponential mean of the level, part by part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamer.detect.evidence import Evidence, Observation, of_profile
from streamer.detect.evidence.base import halflife, total
from streamer.detect.state.arrays import stacked
from streamer.event import F32, I64
from streamer.settings import DetectSettings

SMOOTH = halflife(8)


@dataclass(frozen=True, slots=True)
class Judgement:
    """N events judged: the level of each (N,), its additive parts (N, P), and the smoothed parts
    (N, P).
    """

    level: F32
    parts: F32
    smooth: F32
    evidence: F32  # (E, N) in the order of Profile.names
    low: F32  # (N, C) band of 99.5 % of past errors
    high: F32


class Profile:
    """All evidences of a stream, folded together. They are those of its settings, whichever network
    judges.
    """

    def __init__(self, settings: DetectSettings, prior: Mapping[str, Any], *, rhythm: bool) -> None:
        """`rhythm`: whether the network says anything about gaps."""
        self.rhythm = rhythm
        self.evidences: list[Evidence] = of_profile(settings, prior)
        self.names = tuple(e.name for e in self.evidences)
        self.judged = np.zeros(settings.max_entities, np.int64)
        self._since = np.zeros(
            settings.max_entities, np.int64
        )  # of them, before what is normal now began
        self._smooth = np.zeros((settings.max_entities, len(settings.channels) + 1), np.float32)

    def fold(self, seen: Observation) -> Judgement:
        """Judge N events of distinct entities, then learn from them."""
        folded = [self._folded(evidence, seen) for evidence in self.evidences]
        low, high = self._band(seen)
        e = stacked([strength for strength, _ in folded])  # (E, N)
        level, share = total(e)  # (N,), (E, N)
        parts = (
            sum(share[k][:, None] * split for k, (_, split) in enumerate(folded)) * level[:, None]
        )
        parts = np.asarray(parts, np.float32)
        smooth = SMOOTH * self._smooth[seen.slots] + (1 - SMOOTH) * parts
        self._smooth[seen.slots] = smooth
        self.judged[seen.slots] += 1
        return Judgement(parts.sum(axis=1), parts, smooth.astype(np.float32), e, low, high)

    def _folded(self, evidence: Evidence, seen: Observation) -> tuple[F32, F32]:
        """Nothing is judged, and nothing learnt, of what the network says nothing about."""
        if self.rhythm or not evidence.needs_rhythm:
            return evidence.fold(seen)
        n = len(seen.slots)
        return np.zeros(n, np.float32), np.zeros((n, self._smooth.shape[1]), np.float32)

    def _band(self, seen: Observation) -> tuple[F32, F32]:
        """The band (N, C) of the first evidence that knows one."""
        found = (evidence.band(seen.slots, seen.outlook.forecast) for evidence in self.evidences)
        return next(band for band in found if band is not None)

    def adopt(self, prior: Mapping[str, Any], *, rhythm: bool) -> None:
        """Another network judges from now on: its population's prior is for new entities, what was
        learnt stays.
        """
        self.rhythm = rhythm
        for evidence in self.evidences:
            evidence.adopt(prior.get(evidence.name, {}))

    def age(self, slots: I64) -> I64:
        """How many events were judged (N,) since what is normal for each entity began."""
        return np.asarray(self.judged[slots] - self._since[slots])

    def renew(self, slots: I64) -> None:
        """From the next event on another state of affairs is normal: errors and rhythm are measured
        anew, from the population's prior. The values that were seen stay known.
        """
        self._since[slots] = self.judged[slots]
        self._smooth[slots] = 0
        for evidence in self.evidences:
            evidence.renew(slots)

    def reset(self, slots: I64) -> None:
        for evidence in self.evidences:
            evidence.reset(slots)
        self.judged[slots] = self._since[slots] = 0
        self._smooth[slots] = 0

    def state(self) -> dict[str, np.ndarray]:
        """Every array of the profile by name, the slot as first axis."""
        own: dict[str, np.ndarray] = {
            "judged": self.judged,
            "since": self._since,
            "smooth": self._smooth,
        }
        nested = {
            f"{e.name}.{name}": array for e in self.evidences for name, array in e.state().items()
        }
        return own | nested

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.state().values())
