"""The processor of one stream: from the mailbox through the detectors to its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from streamer.event import Assigned, EventBatch, Expired, Fate, Lease, ModelRef, Poll, Rejected
from streamer.failpoints import failpoint
from streamer.runtime.accounting import RecordAccounting
from streamer.runtime.bookkeeping import Bookkeeping
from streamer.runtime.inlet import Inlet
from streamer.runtime.judging import Judging, StreamObserver
from streamer.runtime.label_delivery import LabelDelivery
from streamer.runtime.partitions import LiveDetector, Partition, Partitions
from streamer.runtime.reader import Arrival
from streamer.runtime.restore import Restores
from streamer.runtime.service_alerts import expired_alert
from streamer.runtime.snapshot_schedule import SnapshotSchedule
from streamer.runtime.stats import StreamStats
from streamer.runtime.stream_outlets import StreamOutlets


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """Facts about a stream that are known before it runs."""

    promised_per_day: float = 0.0  # incidents that its alert budget allows
    group: str = ""  # of the source; "" if it has none
    restores: Restores | None = None  # how its partitions were restored


@dataclass(frozen=True, slots=True)
class StreamProcessor:
    """One stream on the scoring thread, which owns it; other threads only read numbers.

    `build_stream` builds it (streamer.runtime.stream_builder).
    """

    inlet: Inlet
    judging: Judging
    outlets: StreamOutlets
    books: Bookkeeping
    snapshots: SnapshotSchedule
    labels: LabelDelivery
    facts: StreamFacts
    model_ref: Callable[[], ModelRef]  # returns the model in use

    @property
    def stream(self) -> str:
        return self.books.accounting.stream

    @property
    def accounting(self) -> RecordAccounting:
        return self.books.accounting

    @property
    def stats(self) -> StreamStats:
        return self.books.stats

    @property
    def partitions(self) -> Partitions:
        return self.judging.partitions

    @property
    def detectors(self) -> list[LiveDetector]:
        return self.judging.partitions.detectors

    @property
    def settled(self) -> bool:
        """Whether the source has ended and everything is judged, written and acknowledged."""
        return self.inlet.done and not self.books.tickets

    @property
    def balanced(self) -> bool:
        """Whether the counts agree with the records that wait."""
        return self.accounting.balanced(self.inlet.unjudged)

    def observe(self, observer: StreamObserver) -> None:
        """Notify `observer` from now on of everything that is judged."""
        self.judging.observe(observer)

    def work(self) -> bool:
        """Judge at most one batch. False if there was none, or if scores wait to be written."""
        if not self.outlets.scores.pump():
            return False
        arrival = self.inlet.arrival or self._begin()
        if arrival is None:
            return False
        batch = self.inlet.next_batch()
        if batch is not None:
            self._judge(batch)
        if self.inlet.end():
            self._end(arrival)
        return True

    def anchor_ahead(self) -> None:
        """Do rebuilds in advance that the next events would otherwise wait for."""
        self.judging.anchor_ahead()

    def settle(self) -> None:
        """Close the tickets whose alerts are acknowledged, and commit their positions.

        Nothing is closed while scores wait to be written.
        """
        if self.books.tickets and self.outlets.scores.pump():
            self.books.settle(self.outlets.acknowledged, self._note)

    def tick(self, *, flowing: bool) -> None:
        """Run timers, labels and snapshots.

        `flowing` says that the source works and everything it delivered is in the mailbox.
        """
        self.judging.run_on(flowing=flowing and self.inlet.quiet)
        self.labels.deliver(self.partitions, self.outlets.post)
        self.snapshots.keep(self.partitions)

    def keep_last(self) -> None:
        """Copy every partition that has advanced since its last copy, at the end of the stream."""
        self.snapshots.keep(self.partitions, every_s=0.0)

    def _begin(self) -> Arrival | None:
        arrival = self.inlet.begin()
        if arrival is not None:
            self.books.begin(self.outlets.posted)
            self._move(arrival.poll)
            self._reject(arrival.poll.rejected)
        return arrival

    def _end(self, arrival: Arrival) -> None:
        self.judging.run_timers()
        self.books.end(arrival, self.outlets.posted)
        failpoint("after_post")

    def _note(self, lease: Lease) -> str:
        return self.snapshots.note(lease, self.model_ref().version)

    def _move(self, poll: Poll) -> None:
        """Apply the assignments, revocations and gaps of a poll."""
        for lease in poll.revoked:
            self.partitions.revoke(lease)
            self.books.tickets.revoke(lease)
        for assigned in poll.assigned:
            self._assign(assigned)
        for gap in poll.expired:
            self._expire(gap)

    def _assign(self, assigned: Assigned) -> None:
        if self.books.holds(assigned.lease):
            partition = self.partitions.assign(assigned)
            self.books.assign(assigned)
            self.snapshots.resumed(assigned, partition.ref.version)

    def _expire(self, gap: Expired) -> None:
        self.books.expire(gap)
        now_s, ref = self.outlets.wall(), self.model_ref()
        self.outlets.post([expired_alert(gap, self.stream, self.facts.group, ref, now_s)])

    def _reject(self, rejected: Sequence[Rejected]) -> None:
        if not rejected:
            return
        ours = [one for one in rejected if one.lease is None or self.books.holds(one.lease)]
        new = [
            one
            for one in ours
            if one.lease is None or one.offset >= self.partitions.of(one.lease).position
        ]
        self.accounting.book(Fate.RETURNED, len(rejected) - len(ours))
        self.accounting.book(Fate.REPLAYED, len(ours) - len(new))
        if new:
            self.accounting.reject(new)
            self.outlets.bury(new)

    def _judge(self, batch: EventBatch) -> None:
        if not len(batch):
            return
        if not self.books.holds(batch.lease):
            self.accounting.book(Fate.RETURNED, len(batch))
            return
        partition = self.partitions.of(batch.lease)
        again = int(np.searchsorted(batch.offset, partition.position))
        if again:
            self._replay(partition, batch.rows(slice(0, again)))
        if again < len(batch):
            self._process(partition, batch.rows(slice(again, None)))
        partition.after = int(batch.offset[-1]) + 1

    def _replay(self, partition: Partition, batch: EventBatch) -> None:
        """Rebuild memory with events that were judged before a restart; no alert is posted."""
        self.judging.process(partition, batch, live=False)
        self.accounting.book(Fate.REPLAYED, len(batch))

    def _process(self, partition: Partition, batch: EventBatch) -> None:
        verdicts = self.judging.process(partition, batch, live=True)
        scores = [verdict.scores for verdict in verdicts]
        self.outlets.write(batch, scores)
        self.books.judged(batch, scores, partition.ref)
