"""The books of one stream: in = sum of the fates + in flight, always."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamer.event import FATES, I64, U8, Expired, Fate, Rejected


def crowded(in_flight: int, *, events_per_s: float, backlog_s: float) -> bool:
    """Whether judging what is in flight takes longer than `backlog_s`. With an unknown speed,
    anything does.
    """
    return in_flight > events_per_s * backlog_s


def best_fate(fates: Sequence[U8]) -> U8:
    """One fate per record (N,) from one per entity key: the most fortunate, because a record judged
    once is judged.
    """
    return np.minimum.reduce(list(fates))


@dataclass(slots=True)
class RecordAccounting:
    """Counts of records. `received` is written by the reader only, everything else by the scorer
    only.
    """

    stream: str
    received: int = 0
    fates: I64 = field(default_factory=lambda: np.zeros(FATES, np.int64))
    rejected: Counter[str] = field(default_factory=Counter)  # by reason
    expired: Counter[tuple[str, int]] = field(default_factory=Counter)  # by topic and partition

    def settle(self, fate: U8) -> None:
        """Book the fates (N,) of judged records."""
        self.fates += np.bincount(fate, minlength=FATES)

    def reject(self, rejected: Sequence[Rejected]) -> None:
        """Book records that could not become events."""
        self.fates[Fate.DEAD_LETTERED] += len(rejected)
        self.rejected.update(one.reason for one in rejected)

    def book(self, fate: Fate, records: int) -> None:
        """Book records that share a fate without a judgement."""
        self.fates[fate] += records

    def expire(self, gap: Expired) -> None:
        """Book records that retention removed, also per partition."""
        self.book(Fate.EXPIRED, gap.records)
        self.expired[gap.lease.topic, gap.lease.partition] += gap.records

    @property
    def settled(self) -> int:
        return int(self.fates.sum())

    @property
    def in_flight(self) -> int:
        """Received and not settled. Reads the settled side first: a reading from another thread is
        never negative.
        """
        settled = self.settled
        return self.received - settled

    def balanced(self, in_flight: int) -> bool:
        """Whether the books agree with a count of the records that are really still in flight."""
        return self.received == self.settled + in_flight

    def summary(self) -> dict[str, int]:
        """{"in": .., "scored": .., ..., "in_flight": ..}"""
        fates = self.fates.tolist()
        by_name = {fate.name.lower(): fates[fate] for fate in Fate}
        return {"in": self.received} | by_name | {"in_flight": self.received - sum(fates)}
