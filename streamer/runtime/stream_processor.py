"""The judging end of one stream: out of the mailbox, through the detectors, into outbox, score file
and ledger.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import structlog

from streamer.event import (
    U8,
    Alert,
    Assigned,
    EventBatch,
    Expired,
    Fate,
    Lease,
    Message,
    ModelRef,
    Poll,
    Position,
    Rejected,
    Scores,
)
from streamer.failpoints import failpoint
from streamer.feedback.label_consumer import LabelFeed
from streamer.feedback.labels import note
from streamer.protocols import Clock, JudgedBatch, Letter
from streamer.runtime.accounting import RecordAccounting, best_fate
from streamer.runtime.coalesce import is_plain, joined
from streamer.runtime.mailbox import Mailbox, Positions
from streamer.runtime.offsets import Needs, Tickets
from streamer.runtime.outbox import Outbox
from streamer.runtime.partitions import LiveDetector, Partition, Partitions
from streamer.runtime.reader import Arrival
from streamer.runtime.restore import Restores
from streamer.runtime.score_writer import ScoreWriter
from streamer.runtime.service_alerts import expired_alert
from streamer.runtime.snapshot_writer import SnapshotWriter
from streamer.runtime.stats import StreamStats, unsure
from streamer.timefmt import rfc3339

log = structlog.get_logger()


# Labels of entities that are not here are told again after so long: they may have come.
APPLY_LABELS_EVERY_S = 30.0


def pieces(batch: EventBatch, rows: int) -> Iterator[EventBatch]:
    """The batch in parts of at most `rows` events, in order."""
    if len(batch) <= rows:
        yield batch
        return
    yield from (batch.rows(slice(start, start + rows)) for start in range(0, len(batch), rows))


def held_always(lease: Lease) -> bool:
    """Of a source without partitions."""
    return True


class Audience(Protocol):
    """Who follows what is judged, on the scorer's thread."""

    def judged(
        self,
        partition: Partition,
        batch: EventBatch,
        verdicts: Sequence[JudgedBatch],
        *,
        live: bool,
        took_s: float,
    ) -> None: ...

    def ticked(self, partition: Partition, now_s: float, alerts: Sequence[Alert]) -> None: ...


@dataclass(slots=True)
class StreamProcessor:
    """One stream as the scorer thread sees it. Owned by that thread; others only read numbers."""

    accounting: RecordAccounting
    mailbox: Mailbox[Arrival]
    partitions: Partitions
    outbox: Outbox[Message]
    earned: Positions
    scores: ScoreWriter
    ref: ModelRef  # of the model that judges
    letters: Outbox[Letter] = field(default_factory=Outbox)
    batch_rows: int = 4096
    promised_per_day: float = 0.0
    holds: Callable[[Lease], bool] = held_always
    group: str = ""
    snapshot_writer: SnapshotWriter | None = None
    keep_every_s: float = 60.0
    restores: Restores | None = None
    audience: Audience | None = None
    label_feed: LabelFeed | None = None
    witness: Callable[[EventBatch, Sequence[JudgedBatch]], None] | None = (
        None  # of what is judged aloud
    )
    clock: Clock = time.monotonic
    wall: Clock = time.time
    tickets: Tickets = field(default_factory=Tickets)
    stats: StreamStats = field(default_factory=StreamStats)
    _arrival: Arrival | None = None  # being judged
    _pieces: deque[EventBatch] = field(default_factory=deque)  # what is left of it
    _posted: int = 0  # alerts posted before it
    _labels_heard: int = 0  # number of the newest label that the judges were told of
    _apply_labels_at: float = float("-inf")  # when they are told again

    @property
    def stream(self) -> str:
        return self.accounting.stream

    @property
    def detectors(self) -> list[LiveDetector]:
        return self.partitions.detectors

    @property
    def settled(self) -> bool:
        """Everything that will ever come is judged, written and acknowledged."""
        return self.mailbox.done and not self.tickets and self._arrival is None

    @property
    def unjudged(self) -> int:
        """Records that wait for their judgement, counted one by one."""
        return sum(arrival.poll.records for arrival in self.mailbox.items()) + sum(
            map(len, self._pieces)
        )

    def work(self) -> bool:
        """Judge at most `batch_rows` events. False if there were none, or if scores still wait to
        be written.
        """
        if not self.scores.pump():
            return False
        arrival = self._arrival or self._begin()
        if arrival is None:
            return False
        if self._pieces:
            self._judge(self._pieces.popleft())
        if not self._pieces:
            self._end(arrival)
        return True

    def _begin(self) -> Arrival | None:
        arrival = self._arrival = self._taken()
        if arrival is not None:
            self._posted = self.outbox.posted
            self._pieces.extend(
                piece for batch in arrival.poll.batches for piece in pieces(batch, self.batch_rows)
            )
            self._move(arrival.poll)
            self._reject(arrival.poll.rejected)
        return arrival

    def _taken(self) -> Arrival | None:
        """What waits longest, and with it what waits behind it, as far as one batch holds it."""
        first = self.mailbox.take()
        if first is None or not is_plain(first.poll):
            return first
        polls, rows = [first.poll], first.poll.records
        while (behind := self.mailbox.peek()) is not None and is_plain(behind.poll):
            rows += behind.poll.records
            if rows > self.batch_rows:
                break
            self.mailbox.take()
            polls.append(behind.poll)
        return first if len(polls) == 1 else Arrival(joined(polls), first.at)

    def _end(self, arrival: Arrival) -> None:
        self._silences()
        posted, self._arrival = self.outbox.posted, None
        needs = Needs(posted, self.letters.posted)
        self.tickets.open(
            arrival.poll, needs=needs, alerts=posted - self._posted, received_at=arrival.at
        )
        failpoint("after_post")

    def anchor_ahead(self) -> None:
        """Do what the next events would wait for."""
        for judge in self.detectors:
            judge.anchor_ahead()

    def settle(self) -> None:
        """Close the tickets whose alerts are acknowledged and whose scores are written; earn their
        positions.
        """
        if not self.tickets or not self.scores.pump():
            return
        closed = self.tickets.settle(Needs(self.outbox.acknowledged, self.letters.acknowledged))
        earned = self.tickets.earned(closed, self.holds)
        self.earned.put({lease: Position(at, self._note(lease)) for lease, at in earned.items()})
        for ticket in closed:
            if ticket.alerts:
                self.stats.delivery_s.observe(self.clock() - ticket.received_at)

    def _note(self, lease: Lease) -> str:
        return (
            ""
            if self.snapshot_writer is None
            else self.snapshot_writer.note(lease, self.ref.version)
        )

    def tick(self, *, flowing: bool) -> None:
        """Let event time run on with the wall clock; `flowing` says that the source is well and
        nothing is unread.
        """
        quiet = flowing and self._arrival is None and not len(self.mailbox)
        for partition in self.partitions:
            partition.clock.run_on(self.clock(), flowing=quiet)
            if partition.clock.pace > 0:
                self._silence(partition)
        self._apply_labels()
        self.keep(self.keep_every_s)

    def _apply_labels(self) -> None:
        """Tell the judges what people said. Each hears a label once; again, for entities that came
        meanwhile.
        """
        if self.label_feed is None or (
            self.label_feed.number == self._labels_heard and self.clock() < self._apply_labels_at
        ):
            return
        self._labels_heard, self._apply_labels_at = (
            self.label_feed.number,
            self.clock() + APPLY_LABELS_EVERY_S,
        )
        labels = self.label_feed.of(self.stream)
        for partition in self.partitions:
            if partition.after >= partition.position:
                self._post(
                    [
                        alert
                        for judge in partition.detectors
                        for alert in judge.apply_labels(labels, note)
                    ]
                )

    def keep(self, every_s: float) -> None:
        """Take a snapshot of each partition whose last one is older than `every_s` and that has
        moved on since.
        """
        if self.snapshot_writer is None:
            return
        for partition in self.partitions:
            fresh = self.clock() - partition.kept_at < every_s
            if not fresh and partition.after > max(partition.kept, partition.position):
                self._offer(self.snapshot_writer, partition)

    def _offer(self, snapshot_writer: SnapshotWriter, partition: Partition) -> None:
        parts, posted = [judge.freeze() for judge in partition.detectors], self.outbox.posted
        version = partition.detectors[0].ref.version
        snapshot_writer.offer(
            partition.lease,
            partition.after,
            version,
            parts,
            lambda: self.outbox.acknowledged >= posted,
        )
        partition.kept, partition.kept_at = partition.after, self.clock()

    def _move(self, poll: Poll) -> None:
        for lease in poll.revoked:
            self.partitions.revoke(lease)
            self.tickets.revoke(lease)
        for assigned in poll.assigned:
            self._assign(assigned)
        for gap in poll.expired:
            self._expire(gap)

    def _assign(self, assigned: Assigned) -> None:
        if self.holds(assigned.lease):
            partition = self.partitions.assign(assigned)
            self.tickets.assign(assigned.lease, assigned.position)
            if self.snapshot_writer is not None and assigned.memory:
                self.snapshot_writer.resumed(
                    assigned.lease, assigned.start, partition.detectors[0].ref.version
                )

    def _expire(self, gap: Expired) -> None:
        """Retention overtook us: the records have a fate, and somebody is told."""
        self.accounting.expire(gap)
        log.error(
            "records_expired",
            stream=self.stream,
            topic=gap.lease.topic,
            partition=gap.lease.partition,
            first_offset=gap.first,
            until_offset=gap.until,
            records=gap.records,
        )
        self._post([expired_alert(gap, self.stream, self.group, self.ref, self.wall())])

    def _reject(self, rejected: Sequence[Rejected]) -> None:
        if not rejected:
            return
        ours = [one for one in rejected if one.lease is None or self.holds(one.lease)]
        new = [
            one
            for one in ours
            if one.lease is None or one.offset >= self.partitions.of(one.lease).position
        ]
        self.accounting.book(Fate.RETURNED, len(rejected) - len(ours))
        self.accounting.book(Fate.REPLAYED, len(ours) - len(new))
        self._bury(new)

    def _bury(self, rejected: Sequence[Rejected]) -> None:
        if not rejected:
            return
        self.accounting.reject(rejected)
        self.letters.post([Letter(self.stream, one, rfc3339(self.wall())) for one in rejected])
        one = rejected[0]
        log.warning(
            "records_rejected",
            stream=self.stream,
            count=len(rejected),
            reason=one.reason,
            offset=one.offset,
            detail=one.detail,
        )

    def _judge(self, batch: EventBatch) -> None:
        if not len(batch):
            return
        if not self.holds(batch.lease):
            self.accounting.book(Fate.RETURNED, len(batch))
            return
        partition = self.partitions.of(batch.lease)
        again = int(np.searchsorted(batch.offset, partition.position))
        for part, live in (
            (batch.rows(slice(0, again)), False),
            (batch.rows(slice(again, None)), True),
        ):
            if len(part):
                self._process(partition, part, live=live)
        partition.after = int(batch.offset[-1]) + 1

    def _process(self, partition: Partition, batch: EventBatch, *, live: bool) -> None:
        started = self.clock()
        verdicts = [judge.process(batch) for judge in partition.detectors]
        took_s = self.clock() - started
        self.stats.judged(len(batch), took_s)
        partition.clock.heard(batch.time_s)
        failpoint("after_score")
        if live:  # before anything else: somebody waits for what was just found
            for verdict in verdicts:
                self._post(verdict.alerts)
        if self.audience is not None:
            self.audience.judged(partition, batch, verdicts, live=live, took_s=took_s)
        if not live:
            self.accounting.book(Fate.REPLAYED, len(batch))
            failpoint("during_replay")
            self._tick(partition)
            return
        if self.witness is not None:
            self.witness(batch, verdicts)
        self._book(batch, [verdict.scores for verdict in verdicts], partition.detectors[0].ref)

    def _book(self, batch: EventBatch, scores: Sequence[Scores], ref: ModelRef) -> None:
        for key, one in enumerate(scores):
            self.scores.put(batch, one, key)
        fate = best_fate([one.fate for one in scores])
        self.accounting.settle(fate)
        self._count(batch, fate, scores, ref)

    def _count(self, batch: EventBatch, fate: U8, scores: Sequence[Scores], ref: ModelRef) -> None:
        scored = fate == Fate.SCORED
        self.stats.scored[ref.backend, ref.version] += int(np.count_nonzero(scored))
        self.stats.unsure += unsure(scores[0])
        self.stats.alarm.observe_all(np.maximum.reduce([one.alarm for one in scores])[scored])
        self.stats.span(batch.time_s)

    def _silences(self) -> None:
        for partition in self.partitions:
            self._silence(partition)

    def _silence(self, partition: Partition) -> None:
        """Timers of a partition; while its memory is being rebuilt they are wound, and nobody is
        told.
        """
        alerts = self._tick(partition)
        if partition.after >= partition.position:
            self._post(alerts)

    def _tick(self, partition: Partition) -> list[Alert]:
        now_s = partition.clock.now_s
        if now_s is None:
            return []
        alerts = [alert for judge in partition.detectors for alert in judge.tick(now_s)]
        if self.audience is not None:
            self.audience.ticked(partition, now_s, alerts)
        return alerts

    def _post(self, alerts: Sequence[Alert]) -> None:
        if alerts:
            self.stats.raised(alerts)
            self.outbox.post(alerts)
            self.outbox.hand_over()
