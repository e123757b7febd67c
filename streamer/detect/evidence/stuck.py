"""Stuck: a channel that repeats one value exactly, for longer than its past makes credible.

A two-state chain per channel: how often a value repeats the one before it, and how often a repetition goes on. A run
of k repetitions has the probability first * again^(k - 1); its evidence is minus the log of that. Sensors that hold or
round their values repeat often and are believed; a live sensor that freezes is not. A run teaches only when it ends,
and a channel that never moved is constant, not stuck.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streamer.detect.arena import Block
from streamer.detect.evidence.base import E_MAX, Observation, pool
from streamer.detect.settings import DetectSettings
from streamer.event import F32, I64, Bool

MEMORY = 4000
# Beta priors: a repetition is expected once in 20 values, and to go on every second time.
FIRST_PRIOR, AGAIN_PRIOR, PRIOR_EVENTS = 0.05, 0.5, 8.0
LIVELY = 64.0  # moves that make a channel one that moves
LAST, RUN, FIRST, AGAIN, MOVES, STAYS = range(6)


class Stuck:
    """See the module."""

    name = "stuck"

    def __init__(self, slots: int, channels: int, settings: DetectSettings) -> None:
        self._block = Block(slots, 6, channels)
        watch = settings.watch
        self._weight = np.array([not watch or name in watch for name in settings.channels], np.float32)

    def fold(self, seen: Observation) -> tuple[F32, F32]:
        c = self._block.gather(seen.slots)  # (6, N, C)
        new = seen.judged == 0
        c[:, new] = 0
        c[FIRST, new], c[AGAIN, new] = FIRST_PRIOR, AGAIN_PRIOR
        known = ~np.isnan(seen.values)
        same = known & (seen.values == c[LAST]) & ~new[:, None]
        before = c[RUN].copy()
        c[RUN] = np.where(known, np.where(same, before + 1, 0), before)
        run = -np.log10(c[FIRST]) - np.log10(c[AGAIN]) * (c[RUN] - 1)
        lively = np.minimum(c[MOVES] / LIVELY, 1) * self._weight
        e = np.where(known & (c[RUN] > 0), np.minimum(run * lively, E_MAX), 0).astype(np.float32)
        self._learn(c, before, known, same, seen.learn[:, None])
        c[LAST] = np.where(known, seen.values, c[LAST])
        self._block.scatter(seen.slots, c)
        strength, split = pool(e)
        parts = np.concatenate([split, np.zeros((len(split), 1))], axis=1)
        return strength.astype(np.float32), parts.astype(np.float32)

    @staticmethod
    def _learn(c: F32, run: F32, known: Bool, same: Bool, learn: F32) -> None:
        """A value after a moving one teaches `first`.

        The end of a run of k teaches `again` k - 1 times yes, once no.
        """
        moving, ended = known & (run == 0), known & (run > 0) & ~same
        c[FIRST] += np.where(moving, learn / np.minimum(c[MOVES] + PRIOR_EVENTS, MEMORY), 0) * (same - c[FIRST])
        length = np.where(ended, learn * run, 0)
        held = np.minimum(c[STAYS] + PRIOR_EVENTS, MEMORY)
        c[AGAIN] += length / (held + length) * ((run - 1) / np.maximum(run, 1) - c[AGAIN])
        c[MOVES] += moving
        c[STAYS] += length

    def reset(self, slots: I64) -> None:
        self._block.reset(slots)

    def state(self) -> Mapping[str, np.ndarray]:
        return {"chain": self._block.array}
