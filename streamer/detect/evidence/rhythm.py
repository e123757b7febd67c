"""Rhythm: how strange the time gaps are. One gap says little, a run of them says much.

The tails of the gap under the network's density are taken on both sides (too soon, too late); the
last gap and runs of 4 and 8 on either side are each judged by the entity's own tail, because
nominal probabilities are off by up to a factor of three.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from streamer.detect.evidence.base import LOG10, Evidence, Observation, Tail, medians
from streamer.detect.network import density
from streamer.detect.state.arena import Block
from streamer.detect.state.arrays import clip, stacked
from streamer.event import F32, I64
from streamer.settings import DetectSettings

RUNS = (1, 4, 8)
MEAN_TAIL = 1 / LOG10  # mean of -log10 of a uniform number
LONGEST = max(RUNS)
_LAST_OF_RUN, _ROOT_OF_RUN = np.array(RUNS) - 1, np.sqrt(np.array(RUNS, np.float32))
PRIOR = {
    "runs": [[0.62, 0.35], [0.85, 0.3], [0.85, 0.3]]
}  # [log_q, excess] of max(run statistic, 0) + 1, per run
# The entity's own tail may sharpen a nominal exceedance, but not beyond twice its exponent: a
# clockwork entity whose jitter is below the density's resolution has no tail of its own to speak
# of.
SHARPEN = 2.0


class Rhythm(Evidence):
    """See the module. Prior: {"runs": [[log_q, excess], ...]}, one pair per run length."""

    name = "rhythm"
    needs_rhythm = True

    def __init__(self, settings: DetectSettings, prior: Mapping[str, Any]) -> None:
        slots = settings.max_entities
        self.adopt(prior)
        self._tails = Block(slots, 3, len(RUNS))
        self._recent = Block(slots, 2, LONGEST)  # -log10 tails, too soon and too late, newest last
        # Its own: a network that says nothing of gaps may have judged before.
        self._judged = np.zeros(slots, np.int64)
        self._parts = len(settings.channels) + 1

    def fold(self, seen: Observation) -> tuple[F32, F32]:
        tails, recent = self._tails.gather(seen.slots), self._recent.gather(seen.slots)
        judged = self._judged[seen.slots]
        new = judged == 0
        if new.any():
            tails[:, new] = self._prior[:, None, :]
            recent[:, new] = MEAN_TAIL
        lower, upper = density.gap_tails(seen.outlook.gap, seen.outlook.log_gap)
        recent[:, :, :-1] = recent[:, :, 1:].copy()
        recent[0, :, -1] = -np.log10(clip(lower, 1e-12, 1))
        recent[1, :, -1] = -np.log10(clip(upper, 1e-12, 1))

        stat = _runs(recent)  # (N, runs)
        tail = Tail(*tails)
        e = np.minimum(tail.evidence(stat + 1), SHARPEN * stat)
        after = tail.learn(stat + 1, judged.astype(np.float32)[:, None], seen.learn[:, None])
        self._tails.scatter(seen.slots, stacked([after.log_q, after.excess, after.square]))
        self._recent.scatter(seen.slots, recent)
        self._judged[seen.slots] += 1
        parts = np.zeros((len(seen.slots), self._parts), np.float32)
        parts[:, -1] = 1
        # The runs overlap: the largest counts, which measured better than their sum, and their
        # number is not a penalty.
        return e.max(axis=1).astype(np.float32), parts

    def adopt(self, prior: Mapping[str, Any]) -> None:
        chosen = PRIOR | dict(prior)
        self._prior = np.array(
            [Tail.prior(*run) for run in chosen["runs"]], np.float32
        ).T  # (3, len(RUNS))

    def tails(self) -> dict[str, list[list[float]]]:
        tails = self._tails.array.reshape(len(self._tails.array), 3, len(RUNS))
        used = tails[tails[:, 1, 0] > 0]
        return {"runs": [medians(used[:, 0, k], used[:, 1, k]) for k in range(len(RUNS))]}

    def renew(self, slots: I64) -> None:
        self.reset(slots)

    def reset(self, slots: I64) -> None:
        self._tails.reset(slots)
        self._recent.reset(slots)
        self._judged[slots] = 0

    def state(self) -> Mapping[str, np.ndarray]:
        return {"tails": self._tails.array, "recent": self._recent.array, "judged": self._judged}


def _runs(recent: F32) -> F32:
    """Sum of the last k tails above their mean over sqrt(k), the larger of both sides, not below 0:
    (N, len(RUNS)).
    """
    sums = np.add.accumulate(recent[:, :, ::-1] - MEAN_TAIL, axis=2)[
        :, :, _LAST_OF_RUN
    ]  # (2, N, runs)
    return np.maximum(sums.max(axis=0) / _ROOT_OF_RUN, 0).astype(np.float32, copy=False)
