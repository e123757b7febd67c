"""Recording of the show: judged events, and alerts with their delivery times."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamer.event import F64, I64, Alert, EventBatch, Message, Scores
from streamer.protocols import Clock

TAIL = 48  # events of an entity that a view may draw


@dataclass(frozen=True, slots=True)
class Heard:
    """An alert and the second of the show in which it was delivered."""

    alert: Alert
    at_s: float


class Ear:
    """A Sink that keeps alerts in order of delivery.

    The scorer's thread appends, any thread may read.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.heard: list[Heard] = []
        self._clock = clock

    def send(self, message: Message) -> None:
        if isinstance(message, Alert):
            self.heard.append(Heard(message, self._clock()))

    def flush(self, timeout_s: float) -> int:
        """Return 0: `send` delivers."""
        return 0

    def close(self) -> None:
        """Do nothing: the alerts are needed after the sinks are closed."""


@dataclass(slots=True)
class RecentEvents:
    """The last events of one entity, newest last."""

    values: deque[list[float]] = field(default_factory=lambda: deque(maxlen=TAIL))  # each (C,)
    scores: deque[float] = field(default_factory=lambda: deque(maxlen=TAIL))


class Notebook:
    """A ScoreSink of one stream: judged events, and recent events per entity of key 0.

    Written by the scorer's thread. Other threads may read at any time and see a prefix.
    """

    def __init__(self) -> None:
        self.batches: list[EventBatch] = []
        self.tails: dict[str, RecentEvents] = {}
        self.events = 0
        self.oldest_s, self.newest_s = float("inf"), float("-inf")  # event time
        self._first: list[int] = []  # first offset of each batch

    def write(self, batch: EventBatch, scores: Scores, key: int) -> None:
        if key or not len(batch):
            return
        self.batches.append(batch)
        self._first.append(int(batch.offset[0]))
        self.events += len(batch)
        self.oldest_s = min(self.oldest_s, float(batch.time_s[0]))
        self.newest_s = float(batch.time_s[-1])
        self._remember(batch, scores)

    def _remember(self, batch: EventBatch, scores: Scores) -> None:
        rows = zip(
            batch.entity[:, 0].tolist(), batch.values.tolist(), scores.score.tolist(), strict=True
        )
        for entity, values, score in rows:
            tail = self.tails.setdefault(batch.keys[entity], RecentEvents())
            tail.values.append(values)
            tail.scores.append(score)

    def close(self) -> None:
        """Do nothing: the recording is needed later."""

    def entities_at(self, offset: int) -> tuple[str, ...]:
        """Names of the entities (one per key) of the event at an offset; () if not judged."""
        at = bisect_right(self._first, offset) - 1
        batch = self.batches[at] if at >= 0 else None
        row = -1 if batch is None else int(np.searchsorted(batch.offset, offset))
        if batch is None or row >= len(batch) or batch.offset[row] != offset:
            return ()
        return tuple(batch.keys[index] for index in batch.entity[row].tolist())

    def offsets_of(self, entity: str, key: int, from_s: float, until_s: float) -> I64:
        """Offsets of an entity's events within a span of event time, in order."""
        found = [_offsets(batch, entity, key, from_s, until_s) for batch in list(self.batches)]
        return np.concatenate([np.zeros(0, np.int64), *found])

    def history(self, names: Sequence[str], before_s: float) -> tuple[np.ndarray, F64]:
        """The last events of some entities of key 0 before a time, equally many.

        Values (E, T, C), times (E, T).
        """
        past = [batch for batch in list(self.batches) if batch.time_s[0] < before_s]
        columns = [_of_entity(past, name, before_s) for name in names]
        length = min(len(time_s) for _, time_s in columns)
        kept = slice(-length, None) if length else slice(0, 0)
        return np.stack([v[kept] for v, _ in columns]), np.stack([t[kept] for _, t in columns])


def _offsets(batch: EventBatch, entity: str, key: int, from_s: float, until_s: float) -> I64:
    if entity not in batch.keys or batch.time_s[-1] < from_s or batch.time_s[0] > until_s:
        return np.zeros(0, np.int64)
    mine = batch.entity[:, key] == batch.keys.index(entity)
    return batch.offset[mine & (batch.time_s >= from_s) & (batch.time_s <= until_s)]


def _of_entity(batches: Sequence[EventBatch], name: str, before_s: float) -> tuple[np.ndarray, F64]:
    masks = [(b.entity[:, 0] == b.keys.index(name)) & (b.time_s < before_s) for b in batches]
    values = [b.values[mine] for b, mine in zip(batches, masks, strict=True)]
    times = [b.time_s[mine] for b, mine in zip(batches, masks, strict=True)]
    return np.concatenate(values), np.concatenate(times)
