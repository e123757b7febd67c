"""Builds the reader and the processor of a stream, with the mailbox between them.

The daemon, the demo and the tests use it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from streamer.backoff import Backoff
from streamer.event import Message, ModelRef
from streamer.feedback.label_feed import LabelFeed
from streamer.protocols import Clock, Letter, Source
from streamer.runtime.accounting import RecordAccounting, crowded
from streamer.runtime.bookkeeping import Bookkeeping, commit_nothing
from streamer.runtime.inlet import BATCH_ROWS, Inlet
from streamer.runtime.judging import Judging
from streamer.runtime.label_delivery import LabelDelivery
from streamer.runtime.mailbox import Mailbox
from streamer.runtime.outbox import Outbox
from streamer.runtime.partitions import Partitions
from streamer.runtime.reader import FEW, Arrival, Reader
from streamer.runtime.score_writer import ScoreWriter
from streamer.runtime.snapshot_schedule import EVERY_S, SnapshotSchedule
from streamer.runtime.snapshot_writer import SnapshotWriter
from streamer.runtime.stats import StreamStats
from streamer.runtime.stream_outlets import StreamOutlets
from streamer.runtime.stream_processor import StreamFacts, StreamProcessor


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Limits of reading, judging and snapshots."""

    batch_rows: int = BATCH_ROWS
    poll_rows: int = FEW  # the most that a poll returns
    backlog_s: float = math.inf  # reading pauses when judging what is in flight would take longer
    snapshots_every_s: float = EVERY_S
    backoff: Backoff | None = None  # of a failing source


NO_FACTS, USUAL_LIMITS = StreamFacts(), StreamLimits()


@dataclass(frozen=True, slots=True)
class StreamOutput:
    """The outputs of a stream."""

    outbox: Outbox[Message]
    letters: Outbox[Letter] = field(default_factory=Outbox)
    scores: ScoreWriter = field(default_factory=lambda: ScoreWriter(None))


def build_stream(
    name: str,
    source: Source,
    partitions: Partitions,
    output: StreamOutput,
    mailbox: Mailbox[Arrival],
    *,
    model_ref: Callable[[], ModelRef],
    facts: StreamFacts = NO_FACTS,
    limits: StreamLimits = USUAL_LIMITS,
    snapshots: SnapshotWriter | None = None,
    label_feed: LabelFeed | None = None,
    commits: bool = True,
    clock: Clock = time.monotonic,
) -> tuple[Reader, StreamProcessor]:
    """Return the reader of a source and the processor of its events.

    With `commits` false, the source gets no positions to commit.
    """
    accounting, commit = RecordAccounting(name), source.commit if commits else commit_nothing
    books = Bookkeeping(accounting, source.holds, commit, clock=clock)
    outlets = StreamOutlets(name, books.stats, output.outbox, output.letters, output.scores)
    processor = StreamProcessor(
        Inlet(mailbox, limits.batch_rows),
        Judging(partitions, outlets, books.stats, clock=clock),
        outlets,
        books,
        SnapshotSchedule(snapshots, output.outbox, every_s=limits.snapshots_every_s, clock=clock),
        LabelDelivery(label_feed, name, clock=clock),
        facts,
        model_ref,
    )
    reader = Reader(
        accounting,
        source,
        mailbox,
        crowded=_crowded(accounting, books.stats, limits.backlog_s),
        poll_rows=limits.poll_rows,
        backoff=limits.backoff,
        clock=clock,
    )
    return reader, processor


def _crowded(
    accounting: RecordAccounting, stats: StreamStats, backlog_s: float
) -> Callable[[], bool]:
    """Return a function that says whether judging what is in flight takes too long."""

    def answer() -> bool:
        in_flight = accounting.in_flight
        return crowded(in_flight, events_per_s=stats.events_per_s, backlog_s=backlog_s)

    return (lambda: False) if math.isinf(backlog_s) else answer
