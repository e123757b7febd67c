"""Surprise: the forecast error of every channel in units of that channel's own past error.

Not the network's sigma: measured on many channels, the error in the channel's own past units
detects far better. Two views are combined. *Sustained*: per channel the squared error is smoothed
and rooted; the mean over channels and the largest channel's smoothed tail are multiplied, and the
product is judged by the entity's own tail. *Sudden*: the tail of the newest error of each channel
by itself, averaged over channels so that many channels do not make many alarms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from streamer.detect.evidence.base import (
    LOG10,
    TAIL_E,
    Evidence,
    Observation,
    Tail,
    halflife,
    medians,
    over_channels,
    pool,
    total,
)
from streamer.detect.state.arena import Block
from streamer.detect.state.arrays import clip, stacked
from streamer.event import F32, F64, I64, Bool
from streamer.settings import DetectSettings

FAST, SLOW = halflife(5), halflife(10)
UNIT_MEMORY, UNIT_PRIOR = 4000, 8
ERROR_CAP = 60.0
LEARN_CAP = 4.0  # an error teaches the unit as if it were at most so many units
QUIET, LOUD = 1.5, 3.0  # mean surprise at which learning starts to fade and has faded
FADED = 0.02
PRIOR = {"channel": [0.75, 0.3], "product": [1.2, 0.6]}
# Real series break out of their own tails more often than a fit says. On 29 public series 0.75 to
# 0.85 scored some 3 points better near the alarm line than 1, and the same at the best line: within
# the noise of one run.
CAUTION = 0.8
FLAG_WEIGHT = 0.03  # two-valued channels flip without meaning
# Rows of the block: unit and spread of the error, location, smoothed squares, tail, and the values
# of a possible flag.
UNIT, SPREAD, CENTRE, SQUARE, TAIL_SQUARE, FIRST, SECOND, KINDS = range(8)
TAIL = slice(8, 11)
ROWS = 11


class Surprise(Evidence):
    """See the module. Prior.

    {"channel": [log_q, excess], "product": [log_q, excess]}, the tails of a channel's error and of
    the product.
    """

    name = "surprise"

    def __init__(self, settings: DetectSettings, prior: Mapping[str, Any]) -> None:
        slots, channels = settings.max_entities, len(settings.channels)
        self.adopt(prior)
        self._channels = Block(slots, ROWS, channels)
        self._entity = Block(slots, 4, 1)  # tail of the product, last mean surprise
        self._direction = settings.direction
        self._weight = np.array(settings.watched, np.float32)

    def adopt(self, prior: Mapping[str, Any]) -> None:
        chosen = PRIOR | dict(prior)
        self._channel_prior = np.array(Tail.prior(*chosen["channel"]), np.float32)[:, None, None]
        self._product_prior = np.array(Tail.prior(*chosen["product"]), np.float32)[:, None]

    def fold(self, seen: Observation) -> tuple[F32, F32]:
        c = self._channels.gather(seen.slots)  # (ROWS, N, C)
        entity = self._entity.gather(seen.slots)[:, :, 0]  # (4, N)
        known = ~np.isnan(seen.values)
        values = np.where(known, seen.values, seen.outlook.forecast)
        error = values - seen.outlook.forecast
        self._begin(c, entity, seen, values)
        learn = self._quiet(entity[3]) * seen.learn

        unit = self.unit(c[UNIT], c[SPREAD], c[CENTRE])
        a = np.minimum(self._directed(error) / unit, ERROR_CAP)
        tail = Tail(*c[TAIL])
        t = tail.evidence(a)
        c[SQUARE] = np.where(known, FAST * c[SQUARE] + (1 - FAST) * a * a, c[SQUARE])
        c[TAIL_SQUARE] = np.where(known, SLOW * c[TAIL_SQUARE] + (1 - SLOW) * t * t, c[TAIL_SQUARE])

        weight = np.where(known, self._weight * np.where(c[KINDS] == 2, FLAG_WEIGHT, 1), 0).astype(
            np.float32
        )
        mean, largest = self._combine(c, weight)
        stat = (mean + 1e-3) * (largest + 1e-3)
        whole = Tail(*entity[:3])
        sustained = whole.evidence(stat) * (weight.max(axis=1) > 0)
        sudden, sudden_split = pool(t * weight)
        e, share = total(CAUTION * stacked([sustained, sudden]))

        judged = seen.age.astype(np.float32)
        self._learn_channels(
            c,
            error,
            unit,
            values,
            tail.learn(a, judged[:, None], learn[:, None]),
            judged,
            learn,
            known,
        )
        after = whole.learn(stat, judged, learn)
        self._channels.scatter(seen.slots, c)
        self._entity.scatter(
            seen.slots, stacked([after.log_q, after.excess, after.square, mean])[:, :, None]
        )
        split = share[0][:, None] * _split(c[SQUARE] * weight) + share[1][:, None] * sudden_split
        return e.astype(np.float32), over_channels(_split(split))

    def band(self, slots: I64, forecast: F32) -> tuple[F32, F32]:
        c = self._channels.gather(slots)
        log_q, excess, _ = c[TAIL]
        half = (
            self.unit(c[UNIT], c[SPREAD], c[CENTRE])
            * np.exp(np.minimum(log_q, 3))
            * (1 + excess * LOG10)
        )
        return forecast - half, forecast + half

    @staticmethod
    def unit(error: F32, spread: F32, centre: F32) -> F32:
        """The unit of a channel's error.

        Its past mean error, floored by its spread and, for a constant, by its size.
        """
        floor = np.maximum(0.05 * 1.25 * spread, 1e-4 * np.abs(centre))
        return np.maximum(1.25 * error, np.maximum(floor, 1e-9))

    def _directed(self, error: F32) -> F32:
        if self._direction == "above":
            return np.maximum(error, 0)
        return np.maximum(-error, 0) if self._direction == "below" else np.abs(error)

    @staticmethod
    def _quiet(mean_before: F32) -> F32:
        return clip((LOUD - mean_before) / (LOUD - QUIET), FADED, 1)

    def _begin(self, c: F32, entity: F32, seen: Observation, values: F32) -> None:
        """Give entities that are judged for the first time the population's prior."""
        new = seen.age == 0
        if not new.any():
            return
        c[:, new] = 0
        # A step's robust scale overstates a good forecast's mean error; 0.8 is exact for pure noise
        # around its mean.
        c[UNIT, new] = 0.8 * seen.outlook.step[new] / 1.25
        c[SPREAD, new] = seen.outlook.step[new]
        c[CENTRE, new] = c[FIRST, new] = c[SECOND, new] = values[new]
        c[KINDS, new] = 1
        c[SQUARE, new], c[TAIL_SQUARE, new] = 0.8, 0.5 * TAIL_E
        c[TAIL, new] = self._channel_prior
        entity[:3, new], entity[3, new] = self._product_prior, 1

    @staticmethod
    def _combine(c: F32, weight: F32) -> tuple[F32, F32]:
        root = np.sqrt(c[SQUARE]) * weight
        return root.sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-6), (
            np.sqrt(c[TAIL_SQUARE]) * weight
        ).max(axis=1)

    @staticmethod
    def _learn_channels(
        c: F32, error: F32, unit: F32, values: F32, tail: Tail, judged: F32, learn: F32, known: Bool
    ) -> None:
        rate = (learn / np.minimum(judged + UNIT_PRIOR, UNIT_MEMORY))[:, None] * known
        c[UNIT] += rate * (np.minimum(np.abs(error), LEARN_CAP * unit) - c[UNIT])
        c[SPREAD] += rate * (np.abs(values - c[CENTRE]) - c[SPREAD])
        c[CENTRE] += rate * (values - c[CENTRE])
        c[TAIL] = np.where(known, stacked([tail.log_q, tail.excess, tail.square]), c[TAIL])
        Surprise._count_kinds(c, values)

    @staticmethod
    def _count_kinds(c: F32, values: F32) -> None:
        """1: constant so far, 2: a flag with two values, 3: more."""
        other = (values != c[FIRST]) & (values != c[SECOND])
        c[SECOND] = np.where(other & (c[KINDS] == 1), values, c[SECOND])
        c[KINDS] = np.where(other, np.minimum(c[KINDS] + 1, 3), c[KINDS])

    def tails(self) -> dict[str, list[float]]:
        c = self._channels.array.reshape(len(self._channels.array), ROWS, -1)
        used = c[:, KINDS, :] > 0
        log_q, excess, _ = (c[:, row, :][used] for row in range(TAIL.start, TAIL.stop))
        whole = self._entity.array[used.any(axis=1)]
        return {"channel": medians(log_q, excess), "product": medians(whole[:, 0], whole[:, 1])}

    def reset(self, slots: I64) -> None:
        self._channels.reset(slots)
        self._entity.reset(slots)

    def state(self) -> Mapping[str, np.ndarray]:
        return {"channels": self._channels.array, "entity": self._entity.array}


def _split(part: F32 | F64) -> F32 | F64:
    """Rows of non-negative parts (N, C) as fractions; an empty row is split evenly."""
    whole = part.sum(axis=1, keepdims=True)
    return np.divide(part, whole, out=np.full_like(part, 1 / part.shape[1]), where=whole > 0)
