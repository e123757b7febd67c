"""The judging end of one stream: out of the mailbox, through the detectors, into outbox, score file and ledger."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import structlog

from streamer.errors import StreamerError
from streamer.event import I64, Alert, EventBatch, Fate, ModelRef, Rejected, Scores
from streamer.protocols import Clock, ScoreSink
from streamer.service.axis import EventClock
from streamer.service.backoff import Backoff
from streamer.service.delivery import Outbox
from streamer.service.ledger import Ledger, best_fate
from streamer.service.mailbox import Mailbox, Positions
from streamer.service.offsets import Tickets, positions
from streamer.service.reader import Arrival
from streamer.service.scoring import Verdict
from streamer.service.tally import Tally

log = structlog.get_logger()


class Judge(Protocol):
    """What the service needs of a detector (streamer.detect.pipeline.Detector)."""

    fates: I64
    ref: ModelRef

    def process(self, batch: EventBatch) -> Verdict: ...

    def tick(self, now_s: float) -> list[Alert]: ...

    @property
    def memory_bytes(self) -> int: ...

    @property
    def entities_active(self) -> int: ...

    @property
    def evicted(self) -> dict[str, int]: ...

    @property
    def out_of_order(self) -> int: ...

    @property
    def open_incidents(self) -> int: ...


def pieces(batch: EventBatch, rows: int) -> Iterator[EventBatch]:
    """The batch in parts of at most `rows` events, in order."""
    if len(batch) <= rows:
        yield batch
        return
    yield from (batch.rows(slice(start, start + rows)) for start in range(0, len(batch), rows))


class ScoreWriter:
    """A score sink and what it could not take yet: kept and retried, so that no row is lost."""

    def __init__(self, sink: ScoreSink | None, backoff: Backoff | None = None) -> None:
        self.trouble: str | None = None
        self.failures = 0
        self._sink = sink
        self._backoff = backoff or Backoff()
        self._waiting: deque[tuple[EventBatch, Scores, int]] = deque()

    def put(self, batch: EventBatch, scores: Scores, key: int) -> None:
        if self._sink is not None:
            self._waiting.append((batch, scores, key))

    def pump(self) -> bool:
        """Write what waits; True if nothing waits any more."""
        while self._waiting and self._sink is not None:
            if not self._backoff.due or not self._written(self._sink):
                return False
            self._waiting.popleft()
        return True

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()

    def _written(self, sink: ScoreSink) -> bool:
        try:
            sink.write(*self._waiting[0])
        except StreamerError as exc:
            self._backoff.fail()
            self.trouble, self.failures = str(exc), self.failures + 1
            log.warning("scores_unwritten", problem=self.trouble)
            return False
        self.trouble = None
        self._backoff.succeed()
        return True


@dataclass(slots=True)
class Line:
    """One stream as the scorer thread sees it. Owned by that thread; others only read numbers."""

    ledger: Ledger
    mailbox: Mailbox[Arrival]
    judges: Sequence[Judge]  # one per entity key
    outbox: Outbox
    earned: Positions
    scores: ScoreWriter
    event_clock: EventClock
    batch_rows: int = 4096
    promised_per_day: float = 0.0
    clock: Clock = time.monotonic
    tickets: Tickets = field(default_factory=Tickets)
    tally: Tally = field(default_factory=Tally)
    _arrival: Arrival | None = None  # being judged
    _pieces: deque[EventBatch] = field(default_factory=deque)  # what is left of it
    _posted: int = 0  # alerts posted before it

    @property
    def stream(self) -> str:
        return self.ledger.stream

    @property
    def settled(self) -> bool:
        """Everything that will ever come is judged, written and acknowledged."""
        return self.mailbox.done and not self.tickets and self._arrival is None

    @property
    def unjudged(self) -> int:
        """Records that wait for their judgement, counted one by one."""
        return sum(arrival.poll.records for arrival in self.mailbox.items()) + sum(map(len, self._pieces))

    def work(self) -> bool:
        """Judge at most `batch_rows` events. False if there were none, or if scores still wait to be written."""
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
        arrival = self._arrival = self.mailbox.take()
        if arrival is not None:
            self._posted = self.outbox.posted
            self._pieces.extend(piece for batch in arrival.poll.batches for piece in pieces(batch, self.batch_rows))
            self._reject(arrival.poll.rejected)
        return arrival

    def _end(self, arrival: Arrival) -> None:
        self._silences()
        posted, self._arrival = self.outbox.posted, None
        self.tickets.open(arrival.poll, needs=posted, alerts=posted - self._posted, received_at=arrival.at)

    def settle(self) -> None:
        """Close the tickets whose alerts are acknowledged and whose scores are written; earn their positions."""
        if not self.tickets or not self.scores.pump():
            return
        closed = self.tickets.settle(self.outbox.acknowledged)
        self.earned.put(positions(closed))
        for ticket in closed:
            if ticket.alerts:
                self.tally.delivery_s.observe(self.clock() - ticket.received_at)

    def tick(self, *, flowing: bool) -> None:
        """Let event time run on with the wall clock; `flowing` says that the source is well and nothing is unread."""
        self.event_clock.run_on(self.clock(), flowing=flowing and self._arrival is None and not len(self.mailbox))
        if self.event_clock.pace > 0:
            self._silences()

    def _reject(self, rejected: Sequence[Rejected]) -> None:
        if not rejected:
            return
        self.ledger.reject(rejected)
        one = rejected[0]
        log.warning(
            "records_rejected", stream=self.stream, count=len(rejected),
            reason=one.reason, offset=one.offset, detail=one.detail,
        )  # fmt: skip

    def _judge(self, batch: EventBatch) -> None:
        if not len(batch):
            return
        started = self.clock()
        verdicts = [judge.process(batch) for judge in self.judges]
        self.tally.score_s.observe(self.clock() - started)
        self._book(batch, [verdict.scores for verdict in verdicts])
        for verdict in verdicts:
            self._post(verdict.alerts)

    def _book(self, batch: EventBatch, scores: Sequence[Scores]) -> None:
        for key, one in enumerate(scores):
            self.scores.put(batch, one, key)
        fate = best_fate([one.fate for one in scores])
        self.ledger.settle(fate)
        scored = int(np.count_nonzero(fate == Fate.SCORED))
        ref = self.judges[0].ref
        self.tally.scored[ref.backend, ref.version] += scored
        self.tally.batch_events.observe(len(batch))
        alarm = np.maximum.reduce([one.alarm for one in scores])
        self.tally.alarm.observe_all(alarm[fate == Fate.SCORED])
        self.tally.span(batch.time_s)
        self.event_clock.heard(batch.time_s)

    def _silences(self) -> None:
        now_s = self.event_clock.now_s
        if now_s is not None:
            for judge in self.judges:
                self._post(judge.tick(now_s))

    def _post(self, alerts: Sequence[Alert]) -> None:
        if alerts:
            self.tally.raised(alerts)
            self.outbox.post(alerts)
