"""What flowed through a stream lately, thinly: a sample of rows of a window of event time, and its
incidents.

The scorer's thread adds a batch at a time, any thread takes. The window is cut into slabs of event
time; each keeps a bounded number of rows, every row with the same chance.
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
MOST_BATCH_ROWS = 512  # looked at of one batch: the price of a batch is bounded
MOST_BLOCKS = 32  # a block of few rows is 1 kB of objects, and holds the names of its whole batch


@dataclass(frozen=True, slots=True)
class TrafficWindow:
    """A window of traffic. `whole`: it reaches back as far as a window may."""

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
        """`block` holds rows of this stretch whose draw is below the share."""
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
    """Rows of one batch; `draw` (N,) decides which of them stay when there are too many."""

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


_COLUMNS = ("time_s", "values", "score", "draw")  # of a block, as its fields come


class TrafficSample:
    """The newest window of one stream."""

    def __init__(self, window_s: float, rows: int, seed: int = 0) -> None:
        self._slab_s, self._most = window_s / SLABS, max(rows // SLABS, 1)
        self._rng = np.random.default_rng(seed)
        self._slabs: deque[Slab] = deque()
        self._lock = threading.Lock()

    def see(self, batch: EventBatch, scores: Sequence[Scores]) -> None:
        """Add a batch and the judgements of it, one per entity key; those of the first key are
        sampled.
        """
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
        """The window as it is now; None where there is nothing yet."""
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
        """Begin anew."""
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
        """The slab of that number, if it is within the window; a newer one pushes old ones out."""
        slabs = self._slabs
        if not slabs or number > slabs[-1].number:
            slabs.append(Slab(number))
            while slabs[0].number <= number - SLABS:
                slabs.popleft()
        return next((slab for slab in reversed(slabs) if slab.number == number), None)


def joined(blocks: Sequence[SampleBlock]) -> SampleBlock:
    """All rows as one block, with the names of these rows alone."""
    place: dict[str, int] = {}
    entity = []
    for block in blocks:
        own, inverse = np.unique(block.entity, return_inverse=True)
        numbers = [place.setdefault(block.keys[index], len(place)) for index in own.tolist()]
        entity.append(np.array(numbers, np.int32)[inverse])
    columns = [np.concatenate([getattr(block, name) for block in blocks]) for name in _COLUMNS]
    return SampleBlock(tuple(place), np.concatenate(entity), *columns)
