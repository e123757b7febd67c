"""Start of newly assigned partitions, and recovery of those whose offset left the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from streamer.connect.kafka.consumer.offset_lookup import Lookup, OffsetRange, Unanswered
from streamer.connect.kafka.consumer.rebalance_listener import HeldPartitions, NewPartition
from streamer.connect.kafka.diagnosis.background import SourceProblem
from streamer.event import Assigned, Expired, Lease
from streamer.failpoints import failpoint
from streamer.protocols import Clock, FoundPosition, Restorer

log = structlog.get_logger()

RETRY_S = 2.0  # between two rounds of requests after a missing answer


class PartitionInit:
    """Initialises partitions on the reader's thread, after each of the client's polls.

    Its results are collected in `assigned` and `expired`.
    """

    def __init__(
        self,
        held: HeldPartitions,
        lookup: Lookup,
        restore: Restorer,
        admitted: Callable[[Lease], None],
        clock: Clock = time.monotonic,
    ) -> None:
        """Create it; `admitted` is called with every lease just before it is announced."""
        self.assigned: list[Assigned] = []
        self.expired: list[Expired] = []
        self.truncations = 0
        self.held_back = False  # whether initialised partitions stay paused
        self._held = held
        self._lookup = lookup
        self._restore = restore
        self._admitted = admitted
        self._clock = clock
        self._unanswered: Unanswered | None = None  # the question without an answer
        self._retry_s = clock()
        # first offset to judge, per lease; records below it are judged already
        self._origins: dict[Lease, int] = {}

    @property
    def problem(self) -> SourceProblem | None:
        cause = self._unanswered
        return (
            None
            if cause is None
            else SourceProblem("a new partition waits", f"no answer about {cause}", cause)
        )

    def turn(self) -> None:
        """Ask about all waiting partitions.

        One without an answer is asked about later; the others proceed.
        """
        waiting = [*self._held.outside, *self._held.fresh]
        if not waiting:
            self._unanswered = None
        if not waiting or (self._unanswered is not None and self._clock() < self._retry_s):
            return
        self._unanswered = None
        self._lookup.begin()
        bounds = self._lookup.bounds(waiting)
        for tp in waiting:
            try:
                self._one(tp, bounds.get(tp))
            except Unanswered as exc:
                self._unanswered = exc
                self._retry_s = self._clock() + RETRY_S
                self._held.later(tp)

    def set_outside(self, offsets: Mapping[Any, int]) -> None:
        """Record next offsets that the brokers report as out of range."""
        for tp, offset in offsets.items():
            self._held.set_outside(tp, offset)

    def set_truncated(self, divergent: Mapping[Any, Any]) -> None:
        """Handle logs that were cut before our position.

        The value is where the logs diverge, None if unknown.
        """
        for tp, place in divergent.items():
            self._truncated(tp, 0 if place is None else place.offset)

    def forget(self, lease: Lease) -> None:
        self._origins.pop(lease, None)

    def _one(self, tp: Any, bounds: OffsetRange | None) -> None:
        if bounds is None:
            raise Unanswered(f"the log of {tp.topic} {tp.partition}")
        if tp in self._held.outside:
            self._mend(tp, bounds)
        else:
            self._begin(tp, self._held.fresh[tp], bounds)

    def _begin(self, tp: Any, fresh: NewPartition, bounds: OffsetRange) -> None:
        """Announce a partition with its restored memory, and what retention removed of it."""
        origin = self._lookup.origin(tp, bounds, fresh.restart)
        of_topic = self._lookup.partitions(tp)
        note = origin.committed.note if origin.committed else ""
        restored = self._restore(
            FoundPosition(
                tp.topic, tp.partition, origin.first, note, bounds.low, bounds.high, of_topic
            )
        )
        failpoint("before_admit")
        start = min(max(restored.start, bounds.low), origin.first)
        self._admitted(fresh.lease)
        self._held.admit(tp, origin.committed)
        self._origins[fresh.lease] = origin.first
        self._held.go_on(tp, start, paused=self.held_back)
        self.assigned.append(Assigned(fresh.lease, origin.first, start, restored.memory, of_topic))
        self._expire(fresh.lease, origin.position, bounds.low)

    def _mend(self, tp: Any, bounds: OffsetRange) -> None:
        """Recover a partition whose next offset is out of range.

        If retention overtook the reader, the gap is reported. If the log is shorter than what was
        read, it is another log.
        """
        offset = self._held.outside[tp]
        lease = self._held.leases.of(tp.topic, tp.partition)
        if offset > bounds.high or lease is None:
            self._truncated(tp, bounds.low)
            return
        del self._held.outside[tp]
        self._held.go_on(tp, max(offset, bounds.low), paused=self.held_back)
        self._expire(lease, max(offset, self._origins[lease]), bounds.low)

    def _expire(self, lease: Lease, first: int, until: int) -> None:
        if first < until:
            self.expired.append(Expired(lease, first, until))

    def _truncated(self, tp: Any, restart: int) -> None:
        """Start a new lease at `restart`.

        Reading some records again repeats alerts under the same ids. Continuing at the end would
        lose the new log's records before it.
        """
        if self._held.renew(tp, restart):
            self.truncations += 1
            log.error("log_truncated", topic=tp.topic, partition=tp.partition, restart=restart)
