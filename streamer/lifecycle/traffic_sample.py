"""A sample of a stream's recent rows in a window of event time, and its incident counts.

The scoring thread adds batches, any thread may read. The window is cut into slabs of event time.
Each keeps a bounded number of rows, and every row of it has the same chance.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamer.event import F32, F64, I32, I64, EventBatch, Fate, Scores
from streamer.lifecycle.drift import DriftSample

SLABS = 24
MOST_BATCH_ROWS = 512  # rows sampled per batch at most, which bounds the cost of a batch
# a block of few rows takes 1 kB of objects, and holds the names of its whole batch
MOST_BLOCKS = 32


@dataclass(frozen=True, slots=True)
class TrafficWindow:
    """A window of traffic. `whole` if it covers the whole length of a window."""

    sample: DriftSample
    score: F32  # (N,) of the sample's rows
    incidents: I64  # (K,) rows at which an alarm fired, per slab
    rows: int  # judged in all
    whole: bool


@dataclass(slots=True)
class Slab:
    """One stretch of event time."""

    number: int
    share: float = 1.0  # of its rows that are kept
    kept: int = 0
    rows: int = 0
    incidents: int = 0
    blocks: list[SampleBlock] = field(default_factory=list)

    def add(self, block: SampleBlock, most: int) -> None:
        """Add rows of this stretch whose draw is below `share`."""
        self.blocks.append(block)
        if len(self.blocks) > MOST_BLOCKS:
            self.blocks = [joined(self.blocks)]
        self.kept += len(block.draw)
        while self.kept > most:
            self.share /= 2
            self.blocks = [
                one for one in (block.below(self.share) for block in self.blocks) if len(one.draw)
            ]
            self.kept = sum(len(one.draw) for one in self.blocks)


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Rows of one batch; rows with the smallest `draw` (N,) are kept when there are too many."""

    keys: tuple[str, ...]
    entity: I32
    time_s: F64
    values: F32
    score: F32
    draw: F64

    def below(self, share: float) -> SampleBlock:
        stay = self.draw < share
        if stay.all():
            return self
        return SampleBlock(
            self.keys,
            self.entity[stay],
            self.time_s[stay],
            self.values[stay],
            self.score[stay],
            self.draw[stay],
        )


# names of the arrays of a block, in the order of its fields
_COLUMNS = ("time_s", "values", "score", "draw")


class TrafficSample:
    """The newest window of one stream."""

    def __init__(self, window_s: float, rows: int, seed: int = 0) -> None:
        self._slab_s, self._most = window_s / SLABS, max(rows // SLABS, 1)
        self._rng = np.random.default_rng(seed)
        self._slabs: deque[Slab] = deque()
        self._lock = threading.Lock()

    def see(self, batch: EventBatch, scores: Sequence[Scores]) -> None:
        """Add a batch and its scores, one per entity key; the first key's scores are sampled."""
        judged = np.flatnonzero(scores[0].fate == Fate.SCORED)
        if not len(judged):
            return
        number = np.floor(batch.time_s[judged] / self._slab_s).astype(np.int64)
        alarm = np.maximum.reduce([one.alarm for one in scores])[judged] >= 1
        sampled = np.ones(len(judged), np.bool_)
        if len(judged) > MOST_BATCH_ROWS:
            sampled = self._rng.permutation(len(judged)) < MOST_BATCH_ROWS
        with self._lock:
            for one in sorted(set(number.tolist())):
                slab = self._slab(one)
                if slab is not None:
                    here = number == one
                    slab.rows += int(np.count_nonzero(here))
                    slab.incidents += int(np.count_nonzero(alarm & here))
                    self._keep(slab, batch, scores[0].score, judged[here & sampled])

    def take(self) -> TrafficWindow | None:
        """Return the current window; None if it is empty."""
        with self._lock:
            slabs = list(self._slabs)
            blocks = [block for slab in slabs for block in slab.blocks]
            incidents, rows = (
                np.array([slab.incidents for slab in slabs], np.int64),
                sum(slab.rows for slab in slabs),
            )
        if not blocks:
            return None
        span = slabs[-1].number - slabs[0].number + 1
        one = joined(blocks)
        sample = DriftSample(one.keys, one.entity, one.time_s, one.values)
        return TrafficWindow(sample, one.score, incidents, rows, span >= SLABS)

    def forget(self) -> None:
        """Delete all rows."""
        with self._lock:
            self._slabs.clear()

    def _keep(self, slab: Slab, batch: EventBatch, score: F32, rows: I64) -> None:
        draw = self._rng.random(len(rows))
        stay = draw < slab.share
        rows, draw = rows[stay], draw[stay]
        if len(rows):
            block = SampleBlock(
                batch.keys,
                batch.entity[rows, 0],
                batch.time_s[rows],
                batch.values[rows],
                score[rows],
                draw,
            )
            slab.add(block, self._most)

    def _slab(self, number: int) -> Slab | None:
        """Return the slab of that number, None if it is outside; a newer one drops old ones."""
        slabs = self._slabs
        if not slabs or number > slabs[-1].number:
            slabs.append(Slab(number))
            while slabs[0].number <= number - SLABS:
                slabs.popleft()
        return next((slab for slab in reversed(slabs) if slab.number == number), None)


def joined(blocks: Sequence[SampleBlock]) -> SampleBlock:
    """Return all rows as one block, with the names of these rows alone."""
    place: dict[str, int] = {}
    entity = []
    for block in blocks:
        own, inverse = np.unique(block.entity, return_inverse=True)
        numbers = [place.setdefault(block.keys[index], len(place)) for index in own.tolist()]
        entity.append(np.array(numbers, np.int32)[inverse])
    columns = [np.concatenate([getattr(block, name) for block in blocks]) for name in _COLUMNS]
    return SampleBlock(tuple(place), np.concatenate(entity), *columns)
