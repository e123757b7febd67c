"""Shared parts of the simulated worlds: injected faults and the World protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from streamer.event import Bool, EventBatch

START_S = 1_704_067_200.0  # 2024-01-01, a Monday
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Ground truth: a fault of one entity over start_s <= event time < end_s.

    Offsets are those of its first and last event so far, -1 while there is none. `key` is the
    entity key of the stream that the entity belongs to. Faults of the rhythm have no channel: all
    values are normal.
    """

    kind: str
    entity: str
    start_s: float
    end_s: float
    channel: str | None = None
    key: int = 0
    detail: str = ""
    first_offset: int = -1
    last_offset: int = -1

    def seen(self, offsets: np.ndarray) -> Fault:
        """The same fault after events at these offsets (in order)."""
        if not len(offsets):
            return self
        first = int(offsets[0]) if self.first_offset < 0 else self.first_offset
        return replace(self, first_offset=first, last_offset=int(offsets[-1]))

    def covers(self, batch: EventBatch) -> Bool:
        """Mark the events (N,) of the batch that are its entity's within its time."""
        if self.entity not in batch.keys:
            return np.zeros(len(batch), dtype=bool)
        mine: Bool = batch.entity[:, self.key] == batch.keys.index(self.entity)
        mine &= (batch.time_s >= self.start_s) & (batch.time_s < self.end_s)
        return mine


class World(Protocol):
    """An endless stream of events with known faults.

    The same arguments give the same events, for any split into batches.
    """

    channels: tuple[str, ...]
    units: tuple[str, ...]
    keys: tuple[str, ...]  # names of the entity keys

    @property
    def faults(self) -> Sequence[Fault]:
        """All faults that began so far, in order of appearance."""

    def advance(self) -> EventBatch:
        """Return the next stretch of time: events in order of time, possibly none.

        Offsets continue.
        """
