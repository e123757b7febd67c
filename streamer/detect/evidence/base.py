"""The contract of an evidence, and the tail that several of them share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from streamer.detect.arrays import clip
from streamer.detect.lanes import Outlook
from streamer.event import F32, F64, I64

LOG10 = math.log(10.0)
TAIL_SHARE = 0.05  # the tail starts at the 95 % quantile
TAIL_E = -math.log10(TAIL_SHARE)
E_MAX = 30.0
# A tail forgets with this many events of memory, and trusts its prior like so many events.
TAIL_MEMORY, TAIL_PRIOR = 4000, 100


@dataclass(frozen=True, slots=True)
class Observation:
    """One judged event of each of N distinct entities, beside what was expected of it."""

    slots: I64  # (N,)
    judged: I64  # (N,) how many events of the entity were judged before this one
    values: F32  # (N, C) NaN = missing
    time_s: F64  # (N,)
    outlook: Outlook
    learn: F32  # (N,) 1 while the entity is quiet, less inside an open incident


class Evidence(Protocol):
    """A fold over an entity's log. State lives in arrays with one row per slot.

    `fold` judges first and learns after.
    """

    name: str

    def fold(self, seen: Observation) -> tuple[F32, F32]:
        """Evidence e (N,) >= 0, at most E_MAX, and its non-negative split (N, C + 1) over channels and rhythm.

        Rows sum to 1.
        """

    def reset(self, slots: I64) -> None: ...

    def state(self) -> Mapping[str, np.ndarray]:
        """Everything it remembers, by name, the slot as first axis. The arrays themselves, not copies."""


@dataclass(frozen=True, slots=True)
class Tail:
    """Streaming tail of a positive statistic: log of its 95 % quantile, and the Hill slope above it (Hill, 1975).

    `log_q` and `slope` are arrays of any one shape. Every step is continuous in its inputs, so that float rounding
    stays rounding.
    """

    log_q: F32
    slope: F32

    def evidence(self, stat: F32) -> F32:
        """-log10 of the share of past statistics that were as large; linear from 0 up to the 95 % quantile."""
        over = np.log(np.maximum(stat, 1e-12)) - self.log_q
        above = TAIL_E + over / (self.slope * LOG10)
        below = TAIL_E * np.exp(np.minimum(over, 0))
        return np.minimum(np.where(over > 0, above, below), E_MAX)

    def learn(self, stat: F32, seen: F32, weight: F32) -> Tail:
        """The tail after one more statistic; `seen` events so far, `weight` 0..1 says how much to trust it.

        A Robbins-Monro step for the quantile (Robbins & Monro, 1951), scaled by the density of an exponential log-tail.
        """
        rate = 1.0 / np.minimum(seen + TAIL_PRIOR, TAIL_MEMORY)
        over = clip(np.log(np.maximum(stat, 1e-12)) - self.log_q, -3, 3)
        inside = clip(over / (0.2 * self.slope) + 0.5, 0, 1)  # a soft step
        log_q = self.log_q + weight * rate * self.slope * (inside - TAIL_SHARE) / TAIL_SHARE
        slope = self.slope + weight * inside * np.minimum(rate / TAIL_SHARE, 1) * (np.maximum(over, 0) - self.slope)
        return Tail(log_q.astype(np.float32), np.maximum(slope, 0.05).astype(np.float32))


def halflife(events: float) -> np.float32:
    """Decay per event of an exponential mean with the given half-life."""
    return np.float32(0.5 ** (1.0 / events))


def total(evidence: F32, axis: int = 0) -> tuple[F64, F64]:
    """Soft maximum in the log domain.

    Log10(1 + sum of (10^e - 1)) and each evidence's share of that sum (0 where all are 0).
    """
    lifted = np.expm1(evidence.astype(np.float64) * LOG10)
    whole = lifted.sum(axis=axis)
    share = np.divide(
        lifted, np.expand_dims(whole, axis), out=np.zeros_like(lifted), where=np.expand_dims(whole, axis) > 0
    )
    return np.log1p(whole) / LOG10, share


def pool(e: F32) -> tuple[F64, F64]:
    """Mean over channels of 10^e - 1 in logs (N,), and its split over channels (N, C).

    Many channels do not make many alarms.
    """
    lifted = np.expm1(e.astype(np.float64) * LOG10)
    whole = lifted.sum(axis=1, keepdims=True)
    share = np.divide(lifted, whole, out=np.full_like(lifted, 1 / e.shape[1]), where=whole > 0)
    return np.log1p(whole[:, 0] / e.shape[1]) / LOG10, share
