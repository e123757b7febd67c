"""Stuck: a channel that repeats one value exactly, for longer than its past makes credible.

A two-state chain per channel: how often a value repeats the one before it, and how often a
repetition goes on. A run of k repetitions has the probability first * again^(k - 1); its evidence
is minus the log of that. Sensors that hold or round their values repeat often and are believed; a
live sensor that freezes is not. A run teaches only when it ends, a channel that hardly ever moved
is constant, not stuck, and a run counts only once it is twice as long as any before. A freeze is
news for some time: what stays frozen fades, or it would drown every other evidence for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from streamer.detect.evidence.base import Evidence, Observation, over_channels, pool
from streamer.detect.state.arena import Block
from streamer.detect.state.arrays import clip
from streamer.event import F32, I64, Bool, ChannelPart
from streamer.settings import DetectSettings

MEMORY = 4000
# Beta priors: a repetition is expected once in 20 values, and to go on every second time.
FIRST_PRIOR, AGAIN_PRIOR, PRIOR_EVENTS = 0.05, 0.5, 8.0
STILL, LIVELY = (
    16.0,
    64.0,
)  # moves below which a channel is constant, and from which it is one that moves
MOST = 8.0
FADE = 256.0  # length of a run at which it is half as strange
LAST, RUN, FIRST, AGAIN, MOVES, STAYS, LONGEST = range(7)


class Stuck(Evidence):
    """See the module."""

    name = "stuck"

    def __init__(self, settings: DetectSettings, prior: Mapping[str, Any]) -> None:
        slots, channels = settings.max_entities, len(settings.channels)
        self._block = Block(slots, 7, channels)
        self._weight = np.array(settings.watched, np.float32)

    @classmethod
    def wanted(cls, settings: DetectSettings) -> bool:
        return settings.profile == "full"

    def fold(self, seen: Observation) -> tuple[F32, F32]:
        c = self._block.gather(seen.slots)  # (7, N, C)
        new = seen.age == 0
        if new.any():
            c[:, new] = 0
            c[FIRST, new], c[AGAIN, new] = FIRST_PRIOR, AGAIN_PRIOR
        known = ~np.isnan(seen.values)
        same = known & (seen.values == c[LAST]) & ~new[:, None]
        before = c[RUN].copy()
        c[RUN] = np.where(known, np.where(same, before + 1, 0), before)
        # Mostly nothing stands still.
        e = (
            np.where(known, _strangeness(c), 0) * self._weight
            if same.any()
            else np.zeros_like(seen.values)
        )
        self._learn(c, before, known & ~same & ~new[:, None], seen.learn[:, None])
        c[LAST] = np.where(known, seen.values, c[LAST])
        self._block.scatter(seen.slots, c)
        strength, split = pool(e)
        return strength.astype(np.float32), over_channels(split)

    @staticmethod
    def _learn(c: F32, run: F32, moved: Bool, learn: F32) -> None:
        """A move teaches `first` whether a run of repetitions lies behind it.

        And `again`, if there is one of k: k - 1 times yes, once no. What never moved has taught
        nothing.
        """
        rate = learn / np.minimum(c[MOVES] + PRIOR_EVENTS, MEMORY)
        c[FIRST] += np.where(moved, rate, 0) * ((run > 0) - c[FIRST])
        length = np.where(moved, learn * run, 0)
        held = np.minimum(c[STAYS] + PRIOR_EVENTS, MEMORY)
        c[AGAIN] += length / (held + length) * ((run - 1) / np.maximum(run, 1) - c[AGAIN])
        c[MOVES] += moved
        c[STAYS] += length
        c[LONGEST] = np.where(moved, np.maximum(c[LONGEST], run), c[LONGEST])

    def reset(self, slots: I64) -> None:
        self._block.reset(slots)

    def state(self) -> Mapping[str, np.ndarray]:
        return {"chain": self._block.array}

    def phrase(self, part: ChannelPart) -> str:
        return "is stuck at {value}"


def _strangeness(c: F32) -> F32:
    """Evidence (N, C) of the runs that go on in a block (7, N, C)."""
    run, again = c[RUN], np.maximum(c[AGAIN], c[FIRST])
    chain = -np.log10(c[FIRST]) - np.log10(again) * (run - 1)
    lively = clip((c[MOVES] - STILL) / (LIVELY - STILL), 0, 1)
    longer = clip(run - 2 * c[LONGEST], 0, 1)
    return np.minimum(chain, MOST) * lively * longer * (run > 0) / (1 + (run / FADE) ** 2)
