"""The fate of every record of a stream, and the positions that may be committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import structlog

from streamer.event import Assigned, EventBatch, Expired, Fate, Lease, ModelRef, Position, Scores
from streamer.protocols import Clock
from streamer.runtime.accounting import RecordAccounting, best_fate
from streamer.runtime.offsets import Needs, Tickets
from streamer.runtime.reader import Arrival
from streamer.runtime.stats import StreamStats, unsure

log = structlog.get_logger()

Commit = Callable[[Mapping[Lease, Position]], None]


def commit_nothing(positions: Mapping[Lease, Position]) -> None:
    """Do nothing; used for a stream whose positions are not committed."""


class Bookkeeping:
    """Counts of one stream, and a ticket per arrival.

    Written by the scoring thread; other threads may read.
    """

    def __init__(
        self,
        accounting: RecordAccounting,
        holds: Callable[[Lease], bool],
        commit: Commit = commit_nothing,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        """Take `holds` and `commit` from the source."""
        self.accounting, self.stats, self.tickets = accounting, StreamStats(), Tickets()
        self.holds, self._commit, self._clock = holds, commit, clock
        self._alerts_before = 0  # number of the newest alert when the arrival began

    def assign(self, assigned: Assigned) -> None:
        self.tickets.assign(assigned.lease, assigned.position)

    def expire(self, gap: Expired) -> None:
        """Count and log records that retention removed before they were read."""
        self.accounting.expire(gap)
        log.error(
            "records_expired",
            stream=self.accounting.stream,
            topic=gap.lease.topic,
            partition=gap.lease.partition,
            first_offset=gap.first,
            until_offset=gap.until,
            records=gap.records,
        )

    def judged(self, batch: EventBatch, scores: Sequence[Scores], ref: ModelRef) -> None:
        """Count a live batch by the scores (N,) of each entity key."""
        fate, stats = best_fate([one.fate for one in scores]), self.stats
        self.accounting.settle(fate)
        scored = fate == Fate.SCORED
        stats.scored[ref.backend, ref.version] += int(np.count_nonzero(scored))
        stats.unsure += unsure(scores[0])
        stats.alarm.observe_all(np.maximum.reduce([one.alarm for one in scores])[scored])
        stats.span(batch.time_s)

    def begin(self, posted: Needs) -> None:
        """Note the newest alert before an arrival is judged."""
        self._alerts_before = posted.alerts

    def end(self, arrival: Arrival, needs: Needs) -> None:
        """Open the ticket of a judged arrival; it closes once `needs` are met."""
        alerts = needs.alerts - self._alerts_before
        self.tickets.open(arrival.poll, needs=needs, alerts=alerts, received_at=arrival.at)

    def settle(self, acknowledged: Needs, note: Callable[[Lease], str]) -> None:
        """Close the tickets whose needs are met, and commit their positions.

        Each committed position carries the note of its lease.
        """
        closed = self.tickets.settle(acknowledged)
        earned = self.tickets.earned(closed, self.holds)
        if earned:
            self._commit({lease: Position(at, note(lease)) for lease, at in earned.items()})
        for ticket in closed:
            if ticket.alerts:
                self.stats.delivery_s.observe(self._clock() - ticket.received_at)
