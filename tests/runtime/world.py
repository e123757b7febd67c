"""A small world for service tests: a judge that calls every high value an incident, and the parts
around it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from streamer.app.service import Service
from streamer.artifact import ModelSpec
from streamer.backoff import Backoff
from streamer.connect.memory import Item, MemoryScores, MemorySink, MemorySource
from streamer.detect.alerts.feedback import Earlier, Effect, ignore
from streamer.event import (
    FATES,
    I64,
    Alert,
    EventBatch,
    Fate,
    Lease,
    Message,
    ModelRef,
    Rejected,
    Scores,
)
from streamer.feedback.feedback import FeedbackService, forgetful
from streamer.journal import Label
from streamer.protocols import Network, ScoreSink, Sink, Source
from streamer.runtime.accounting import RecordAccounting
from streamer.runtime.mailbox import Mailbox
from streamer.runtime.model import ModelState
from streamer.runtime.outbox import Outbox, Outlet
from streamer.runtime.partitions import Partitions
from streamer.runtime.reader import Arrival
from streamer.runtime.recent_alerts import RecentAlerts
from streamer.runtime.score_writer import ScoreWriter
from streamer.runtime.scoring_loop import ScoringLoop
from streamer.runtime.snapshot_writer import SnapshotWriter
from streamer.runtime.stream_builder import StreamLimits, StreamOutput, build_stream
from streamer.runtime.stream_processor import StreamFacts

LIMIT = 10.0
REF = ModelRef("test-1", "numpy", "ab" * 32)


class Hands:
    """A clock that moves when told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True)
class Verdict:
    scores: Scores
    alerts: list[Alert]


@dataclass(frozen=True, slots=True)
class Seen:
    """The memory of a HighJudge."""

    offsets: tuple[int, ...]

    def encode(self) -> bytes:
        return json.dumps(self.offsets).encode()


@dataclass
class HighJudge:
    """Every value above LIMIT opens an incident; a missing one has the fate MISSING. Remembers its
    ticks.
    """

    ref: ModelRef = REF
    fates: I64 = field(default_factory=lambda: np.zeros(FATES, np.int64))
    evicted: dict[str, int] = field(default_factory=lambda: {"lru": 0, "idle": 0})
    ticks: list[float] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    memory_bytes: int = 4096
    entities_active: int = 1
    out_of_order: int = 0
    open_incidents: int = 0
    now_s: float | None = None
    ahead: int = 0
    timers: list[Alert] = field(default_factory=list)  # raised by the next tick
    next: ModelRef | None = None
    behind: int = 0
    given: list[list[int]] = field(default_factory=list)  # numbers of labels, by call
    fresh: list[str] = field(default_factory=list)  # entities that the next `take_fresh` names

    def process(self, batch: EventBatch) -> Verdict:
        value = batch.values[:, 0]
        fate = np.where(np.isnan(value), Fate.MISSING, Fate.SCORED).astype(np.uint8)
        self.fates += np.bincount(fate, minlength=FATES)
        self.seen += batch.offset.tolist()
        alerts = [alert_at(int(offset)) for offset in batch.offset[value > LIMIT]]
        return Verdict(scores_of(fate, np.nan_to_num(value / LIMIT).astype(np.float32)), alerts)

    def tick(self, now_s: float) -> list[Alert]:
        self.ticks.append(now_s)
        self.now_s = now_s
        raised, self.timers = self.timers, []
        return raised

    def anchor_ahead(self) -> None:
        self.ahead += 1

    def apply_labels(
        self,
        labels: Sequence[Label],
        note: Callable[[Effect], None] = ignore,
        earlier: Earlier | None = None,
    ) -> list[Alert]:
        """Remember what it was given; each label changes nothing."""
        self.given.append([label.number for label in labels])
        for label in labels:
            note(Effect(label, (1.0, 1.0), (1.0, 1.0), renewed=False, ended=""))
        return []

    def take_fresh(self, among: Collection[str]) -> list[str]:
        fresh, self.fresh = [name for name in self.fresh if name in among], []
        return fresh

    def load(self, blob: bytes) -> None:
        self.seen += json.loads(blob)

    def freeze(self) -> Seen:
        return Seen(tuple(self.seen))

    @property
    def coming(self) -> ModelRef | None:
        return self.next

    def prepare(
        self, scorer: Network, spec: ModelSpec, prior: Mapping[str, Any] | None = None
    ) -> None:
        self.next, self.behind = scorer.ref, self.entities_active

    def rebuild(self, most: int) -> int:
        self.behind -= min(most, self.behind)
        return self.behind

    def abandon(self) -> None:
        self.next = None

    def take_over(self) -> None:
        self.ref, self.next = self.next or self.ref, None

    def twin(self, wanted: Callable[[str], bool]) -> HighJudge:
        return replace(self, fates=self.fates.copy(), seen=list(self.seen), ticks=[], timers=[])


def scores_of(fate: np.ndarray, alarm: np.ndarray) -> Scores:
    blank = np.full((len(fate), 1), np.nan, np.float32)
    return Scores(fate, alarm, alarm, np.stack([alarm, 0 * alarm], axis=1), blank, blank, blank)


def batch_of(
    values: Sequence[float],
    first_offset: int = 0,
    *,
    partition: int = 0,
    time_s: float = 0.0,
    epoch: int = 0,
) -> EventBatch:
    n = len(values)
    offset = np.arange(first_offset, first_offset + n, dtype=np.int64)
    times = time_s + offset.astype(np.float64)
    column = np.array(values, np.float32).reshape(n, 1)
    return EventBatch(
        "s", "t", partition, ("pump",), np.zeros((n, 1), np.int32), times, column, offset, epoch
    )


def rejected(offset: int, reason: str = "bad_json", lease: Lease | None = None) -> Rejected:
    return Rejected(offset, reason, "line is not JSON", b"{", lease)


def alert_at(offset: int) -> Alert:
    return Alert(
        f"id-{offset}",
        "s:pump",
        "opened",
        "open",
        "warning",
        "s",
        "pump",
        {},
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        None,
        "pump is high",
        1.5,
        0.001,
        1.0,
        [],
        None,
        [],
        [],
        None,
        REF,
    )


@dataclass
class World:
    """One stream with everything around it, on a clock that stands still."""

    source: Source
    sink: MemorySink = field(default_factory=MemorySink)
    feedback: FeedbackService = field(default_factory=forgetful)
    capacity: int = 4
    limit: int = 100
    pace: float = 0.0
    batch_rows: int = 4096
    keys: int = 1
    partitions: Partitions | None = None  # None: the source has none
    snapshots: SnapshotWriter | None = None
    score_sink: ScoreSink | None = None  # None: `scores`
    clock: Hands = field(default_factory=Hands)
    model: ModelState = field(default_factory=lambda: ModelState(REF))
    retry_s: float = 1.0

    def __post_init__(self) -> None:
        bell = threading.Event()
        self.mailbox: Mailbox[Arrival] = Mailbox(self.capacity, bell)
        self.scores = MemoryScores()
        self.detectors = [HighJudge() for _ in range(self.keys)]
        partitions = self.partitions
        if partitions is None:
            partitions = Partitions.whole(self.detectors, self.pace)
        self.outlet = Outlet("memory", self.sink, self.backoff(), self.clock)
        self.recent = RecentAlerts()
        self.outbox = Outbox([self.outlet], self.limit, self.recent.add)
        self.reader, self.processor = build_stream(
            "s",
            self.source,
            partitions,
            StreamOutput(
                self.outbox, scores=ScoreWriter(self.score_sink or self.scores, self.backoff())
            ),
            self.mailbox,
            model_ref=lambda: self.model.ref,
            facts=StreamFacts(promised_per_day=5.0),
            limits=StreamLimits(self.batch_rows, backoff=self.backoff()),
            snapshots=self.snapshots,
            label_feed=self.feedback.label_feed,
            clock=self.clock,
        )
        self.scoring_loop = ScoringLoop([self.processor], self.outbox, bell=bell, clock=self.clock)

    @property
    def accounting(self) -> RecordAccounting:
        return self.processor.accounting

    def backoff(self) -> Backoff:
        return Backoff(self.retry_s, 8 * self.retry_s, self.clock)

    @property
    def service(self) -> Service:
        return Service(
            (self.reader,),
            (self.processor,),
            self.scoring_loop,
            self.outbox,
            self.model,
            self.recent,
            feedback=self.feedback,
        )

    @property
    def committed(self) -> dict[Lease, int]:
        assert isinstance(self.source, MemorySource)
        return {lease: position.offset for lease, position in self.source.positions.items()}

    def read(self, polls: int) -> None:
        for _ in range(polls):
            self.reader.step(0.0)

    def score(self, steps: int = 1) -> None:
        for _ in range(steps):
            self.scoring_loop.step()
            self.clock.now += 0.02


def world(items: Iterable[Item], *, endless: bool = True, **settings: object) -> World:
    return World(MemorySource(items, endless=endless), **settings)  # type: ignore[arg-type]


def two_sinks(first: Sink, second: Sink, clock: Hands) -> Outbox[Message]:
    return Outbox([Outlet("first", first, clock=clock), Outlet("second", second, clock=clock)])
