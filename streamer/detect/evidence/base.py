"""The contract of an evidence, and the tail that several of them share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from streamer.detect.network.lanes import Outlook
from streamer.detect.state.arrays import clip
from streamer.event import F32, F64, I64, ChannelPart
from streamer.settings import DetectSettings

LOG10 = math.log(10.0)
TAIL_SHARE = 0.05  # the tail starts at the 95 % quantile
TAIL_E = -math.log10(TAIL_SHARE)
E_MAX = 30.0
# A tail forgets with this many events of memory, and trusts its prior like so many events.
TAIL_MEMORY, TAIL_PRIOR = 4000, 100
SHAPE_MIN, SHAPE_MAX = 0.02, 0.6
EXCESS_CAP, EXCESS_MIN = 6.0, 0.02


@dataclass(frozen=True, slots=True)
class Observation:
    """One judged event of each of N distinct entities, beside what was expected of it."""

    slots: I64  # (N,)
    judged: I64  # (N,) how many events of the entity were judged before this one
    # (N,) how many of them since what is normal for it began: less, if somebody declared a new
    # normal
    age: I64
    values: F32  # (N, C) NaN = missing
    time_s: F64  # (N,)
    outlook: Outlook
    learn: F32  # (N,) 1 while the entity is quiet, less inside an open incident


class Evidence(ABC):
    """A fold over an entity's log. State lives in arrays with one row per slot.

    `fold` judges first and learns after. Only `fold`, `reset` and `state` must be written; what
    follows them has an answer that suits an evidence without prior, rhythm or words of its own.
    """

    name: ClassVar[str]
    needs_rhythm: ClassVar[bool] = False  # left out where the network says nothing about gaps

    @abstractmethod
    def __init__(self, settings: DetectSettings, prior: Mapping[str, Any]) -> None:
        """Allocate room for `settings.max_entities` slots. `prior`: the bundle's, for this name."""

    @abstractmethod
    def fold(self, seen: Observation) -> tuple[F32, F32]:
        """Evidence e (N,) >= 0, at most E_MAX, and its non-negative split (N, C + 1) over channels
        and rhythm.

        Rows sum to 1.
        """

    @abstractmethod
    def reset(self, slots: I64) -> None:
        """Forget the entities in these slots."""

    @abstractmethod
    def state(self) -> Mapping[str, np.ndarray]:
        """Everything it remembers, by name, the slot as first axis. The arrays themselves, not
        copies.
        """

    @classmethod
    def wanted(cls, settings: DetectSettings) -> bool:
        """Whether a stream of these settings has this evidence."""
        return settings.rhythm or not cls.needs_rhythm

    def adopt(self, prior: Mapping[str, Any]) -> None:  # noqa: B027 - the default has no prior
        """Start entities that are judged for the first time from now on with this prior."""

    def renew(self, slots: I64) -> None:  # noqa: B027 - the default keeps what it learnt
        """Measure anew what is normal: somebody declared a new normal for these slots."""

    def tails(self) -> Mapping[str, Any]:
        """Medians of what was learnt, in the form of a prior; empty where there is no prior."""
        return {}

    def band(self, slots: I64, forecast: F32) -> tuple[F32, F32] | None:
        """Where 99.5 % of past errors lay around a forecast (N, C): (low, high); None: unknown."""
        return None

    def phrase(self, part: ChannelPart) -> str:
        """What an alert says of the leading channel, as in `is stuck at {value}`; empty: the usual.

        `{value}` stands for the observed value with its unit, `{band}` for `expected LOW to HIGH`.
        """
        return ""


def inside(part: ChannelPart) -> bool:
    """Whether the observed value lies within its band, as far as all three are known."""
    if part.low is None or part.high is None or part.observed is None:
        return False
    return part.low <= part.observed <= part.high


@dataclass(frozen=True, slots=True)
class Tail:
    """Streaming tail of a positive statistic: its 95 % quantile q, as a log, and two moments of the
    excess x / q - 1.

    The tail above q is a generalised Pareto law fitted by moments (Pickands, 1975; Hosking &
    Wallis, 1987), of a shape between an exponential tail and SHAPE_MAX: light tails are trusted far
    out, heavy ones are not. All arrays are of any one shape. Every step is continuous in its
    inputs, so that float rounding stays rounding.
    """

    log_q: F32
    excess: F32  # mean of x / q - 1 above q
    square: F32  # mean of its square

    def evidence(self, stat: F32) -> F32:
        """-log10 of the share of past statistics that were as large; linear from 0 up to the 95 %
        quantile.
        """
        ratio = np.minimum(stat * np.exp(-self.log_q), 1e9)
        variation = (
            self.square / (self.excess * self.excess) - 1
        )  # squared coefficient of variation
        shape = clip(0.5 - 0.5 / np.maximum(variation, 1e-3), SHAPE_MIN, SHAPE_MAX)
        beyond = np.maximum(ratio - 1, 0) / (self.excess * (1 - shape))
        above = np.log1p(shape * beyond) / (shape * LOG10)
        return np.minimum(TAIL_E * np.minimum(ratio, 1) + above, E_MAX)

    def learn(self, stat: F32, seen: F32, weight: F32) -> Tail:
        """The tail after one more statistic; `seen` events so far, `weight` 0..1 says how much to
        trust it.

        A Robbins-Monro step for the quantile (Robbins & Monro, 1951), scaled by the density of an
        exponential tail. An excess teaches as if it were at most EXCESS_CAP means, so that one
        fault does not make a tail heavy.
        """
        rate = weight / np.minimum(seen + TAIL_PRIOR, TAIL_MEMORY)
        over = np.minimum(stat * np.exp(-self.log_q) - 1, EXCESS_CAP * self.excess)
        inside = clip(over / (0.4 * self.excess) + 0.5, 0, 1)  # a soft step
        log_q = self.log_q + rate * self.excess * (inside - TAIL_SHARE) / TAIL_SHARE
        step = inside * np.minimum(rate / TAIL_SHARE, 1)
        over = np.maximum(over, 0)
        excess = np.maximum(self.excess + step * (over - self.excess), EXCESS_MIN)
        square = np.maximum(self.square + step * (over * over - self.square), excess * excess)
        return Tail(*(a.astype(np.float32, copy=False) for a in (log_q, excess, square)))

    @staticmethod
    def prior(log_q: float, excess: float) -> tuple[float, float, float]:
        """(log_q, excess, square) of a population's tail with the given mean excess, of
        shape 0.1.
        """
        return log_q, excess, excess * excess * (1 + 1 / (1 - 2 * 0.1))


def medians(*samples: F32) -> list[float]:
    """The median of each, to four digits."""
    return [round(float(np.median(sample)), 4) for sample in samples]


def halflife(events: float) -> np.float32:
    """Decay per event of an exponential mean with the given half-life."""
    return np.float32(0.5 ** (1.0 / events))


def total(evidence: F32 | F64) -> tuple[F64, F64]:
    """Soft maximum (N,) of evidences (E, N) in the log domain.

    Log10(1 + sum of (10^e - 1)) and each evidence's share (E, N) of that sum (0 where all are 0).
    """
    lifted = np.expm1(evidence.astype(np.float64) * LOG10)
    whole = lifted.sum(axis=0)
    return np.log1p(whole) / LOG10, np.divide(
        lifted, whole, out=np.zeros_like(lifted), where=whole > 0
    )


def over_channels(split: F32 | F64) -> F32:
    """A split (N, C) over channels as one over channels and rhythm (N, C + 1), of which the rhythm
    has nothing.
    """
    parts = np.zeros((len(split), split.shape[1] + 1), np.float32)
    parts[:, :-1] = split
    return parts


def pool(e: F32) -> tuple[F64, F64]:
    """Mean over channels of 10^e - 1 in logs (N,), and its split over channels (N, C).

    Many channels do not make many alarms.
    """
    if e.shape[1] == 1:
        return e[:, 0].astype(np.float64), np.ones(e.shape)
    lifted = np.expm1(e.astype(np.float64) * LOG10)
    whole = lifted.sum(axis=1, keepdims=True)
    share = np.divide(lifted, whole, out=np.full_like(lifted, 1 / e.shape[1]), where=whole > 0)
    return np.log1p(whole[:, 0] / e.shape[1]) / LOG10, share
