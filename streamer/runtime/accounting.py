"""Record accounting of one stream: records received = records with a fate + records in flight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamer.event import FATES, I64, U8, Expired, Fate, Rejected


def crowded(in_flight: int, *, events_per_s: float, backlog_s: float) -> bool:
    """Return whether judging the records in flight takes longer than `backlog_s`.

    While the speed is 0 (unknown), any record in flight is too many.
    """
    return in_flight > events_per_s * backlog_s


def best_fate(fates: Sequence[U8]) -> U8:
    """Return one fate per record (N,) from one array of fates per entity key.

    The smallest code wins, so a record that was scored under one key counts as scored.
    """
    return np.minimum.reduce(list(fates))


@dataclass(slots=True)
class RecordAccounting:
    """Counts of records by fate.

    The reader alone writes `received`, the scorer alone writes everything else.
    """

    stream: str
    received: int = 0
    fates: I64 = field(default_factory=lambda: np.zeros(FATES, np.int64))
    rejected: Counter[str] = field(default_factory=Counter)  # by reason
    expired: Counter[tuple[str, int]] = field(default_factory=Counter)  # by topic and partition

    def settle(self, fate: U8) -> None:
        """Count the fates (N,) of judged records."""
        self.fates += np.bincount(fate, minlength=FATES)

    def reject(self, rejected: Sequence[Rejected]) -> None:
        """Count records that could not be decoded into events."""
        self.fates[Fate.DEAD_LETTERED] += len(rejected)
        self.rejected.update(one.reason for one in rejected)

    def book(self, fate: Fate, records: int) -> None:
        """Count records that share a fate and were not judged."""
        self.fates[fate] += records

    def expire(self, gap: Expired) -> None:
        """Count records that retention removed, also per partition."""
        self.book(Fate.EXPIRED, gap.records)
        self.expired[gap.lease.topic, gap.lease.partition] += gap.records

    @property
    def settled(self) -> int:
        return int(self.fates.sum())

    @property
    def in_flight(self) -> int:
        """Records received that have no fate yet.

        It reads the settled count first, so that another thread never gets a negative number.
        """
        settled = self.settled
        return self.received - settled

    def balanced(self, in_flight: int) -> bool:
        """Return whether the counts agree with `in_flight`, a count of the records that wait."""
        return self.received == self.settled + in_flight

    def summary(self) -> dict[str, int]:
        """Return the counts as {"in": .., "scored": .., ..., "in_flight": ..}."""
        fates = self.fates.tolist()
        by_name = {fate.name.lower(): fates[fate] for fate in Fate}
        return {"in": self.received} | by_name | {"in_flight": self.received - sum(fates)}
