"""Columnar batches of events, their scores and alerts; imports no other module of streamer.

Axes: N events of a batch, C channels, K entity keys of a stream, P = C + 1 parts of an explanation
(channels, rhythm).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]


class Lease(NamedTuple):
    """One assignment of a partition to this process.

    Records read under an older epoch no longer count.
    """

    topic: str
    partition: int
    epoch: int = 0


class Position(NamedTuple):
    """First offset of a lease that is still needed, and a note kept beside it in the log."""

    offset: int
    note: str = ""


class Fate(enum.IntEnum):
    """The outcome of a record.

    Conservation law: records in = the sum of all fates + records in flight.
    """

    SCORED = 0
    WARMING = 1  # accepted into the ring, with too little history to be judged
    DUPLICATE = 2  # same entity, time and values as the entity's previous event
    LATE = 3  # older than the entity's newest event by more than the allowed lateness
    MISSING = 4  # no channel has a value and the policy is `drop`
    DEAD_LETTERED = 5  # could not be decoded or has an absurd time
    EXPIRED = 6  # retention removed it before it was read
    REPLAYED = 8  # judged before a restart, read again without alerts to rebuild the memory
    RETURNED = 9  # read, but its partition moved to another member before it was judged


# Length of a count by fate. Snapshots keep these counts by position, so 7, a fate that is no more,
# stays empty.
FATES = max(Fate) + 1


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot become an event: its position, the reason and its original bytes."""

    offset: int
    reason: str  # a constant token, e.g. "bad_json", "missing_field", "bad_time"
    detail: str  # names the field and the value
    raw: bytes
    lease: Lease | None = None  # None for a source without partitions
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int | None = None  # time of the record in its log, not of the event


@dataclass(frozen=True, slots=True)
class Assigned:
    """A partition assigned to this reader.

    Records before `position` are only read to rebuild the memory.
    """

    lease: Lease
    position: int  # first offset whose judgement counts
    start: int  # first offset that will be read, <= position
    # snapshots of the detectors at `start`, one per entity key; empty if there are none
    memory: tuple[bytes, ...] = ()
    partitions: int = 1  # number of partitions of the topic


@dataclass(frozen=True, slots=True)
class Expired:
    """Records that retention removed before they were read: offsets first <= o < until."""

    lease: Lease
    first: int
    until: int

    @property
    def records(self) -> int:
        return self.until - self.first


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events of one source partition in log order, by columns.

    The batch owns the arrays: do not write to them.
    """

    stream: str
    topic: str
    partition: int
    keys: tuple[str, ...]  # entity names of this batch
    entity: I32  # (N, K) index into `keys`, one column per entity key of the stream
    time_s: F64  # (N,) event time, seconds since 1970
    values: F32  # (N, C), NaN = missing
    offset: I64  # (N,) position in the log
    epoch: int = 0  # of the partition's assignment to this process
    traces: Mapping[int, str] | None = None  # W3C traceparent by offset; None if no record has one

    @property
    def lease(self) -> Lease:
        return Lease(self.topic, self.partition, self.epoch)

    def __len__(self) -> int:
        return len(self.offset)

    def rows(self, index: slice | NDArray[Any]) -> EventBatch:
        """The same batch with only the given rows, in the given order."""
        return EventBatch(
            self.stream,
            self.topic,
            self.partition,
            self.keys,
            self.entity[index],
            self.time_s[index],
            self.values[index],
            self.offset[index],
            self.epoch,
            self.traces,
        )


@dataclass(frozen=True, slots=True)
class Poll:
    """The result of one poll of a source.

    Apply it in this order: revoked partitions, assigned partitions, gaps, records.
    """

    batches: tuple[EventBatch, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    revoked: tuple[Lease, ...] = ()
    assigned: tuple[Assigned, ...] = ()
    expired: tuple[Expired, ...] = ()

    @property
    def records(self) -> int:
        """Number of records taken from the log: accepted, rejected and expired."""
        return (
            sum(map(len, self.batches))
            + len(self.rejected)
            + sum(gap.records for gap in self.expired)
        )

    @property
    def empty(self) -> bool:
        return not (self.records or self.revoked or self.assigned)


@dataclass(frozen=True, slots=True)
class Scores:
    """The judgement of a batch, one row per event, in its order.

    Where fate is not SCORED, numbers are 0 or NaN.
    """

    fate: U8  # (N,) of Fate
    score: F32  # (N,) continuous, smoothed, >= 0, for ranking and plots
    alarm: F32  # (N,) decision scale: >= 1 exactly where an alarm fires
    parts: F32  # (N, P) additive parts of `score`: channels, then rhythm
    expected: F32  # (N, C) forecast in the channel's unit, NaN where none
    low: F32  # (N, C) expected band
    high: F32  # (N, C)
    model: ModelRef | None = None  # the model that judged all rows

    def shares(self) -> F32:
        """Parts as fractions of the score (N, P); rows sum to 1 where score > 0, else to 0."""
        total = self.score[:, None]
        return np.divide(self.parts, total, out=np.zeros_like(self.parts), where=total > 0)


@dataclass(frozen=True, slots=True)
class ModelRef:
    """The model that judged."""

    version: str
    backend: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ChannelPart:
    """One channel of an alert: observed against the expected band, and its share of the score."""

    name: str
    observed: float | None
    expected: float | None
    low: float | None
    high: float | None
    unit: str | None
    share: float


@dataclass(frozen=True, slots=True)
class RhythmPart:
    """The time gap before the event against what was expected, and its share of the score."""

    gap_s: float
    expected_gap_s: float
    low_s: float
    high_s: float
    share: float


@dataclass(frozen=True, slots=True)
class AttentionStep:
    """Attention weight of the event `offset` steps back."""

    offset: int
    weight: float


@dataclass(frozen=True, slots=True)
class WindowSlice:
    """The raw window that raised an alert, and its position in the log."""

    start: str
    end: str
    length: int
    topic: str
    partition: int
    first_offset: int
    last_offset: int
    values: Sequence[Sequence[float | None]]  # (T, C), null = missing


@dataclass(frozen=True, slots=True)
class Alert:
    """One message about an incident: opened, updated or resolved.

    Times are RFC 3339 of event time.
    """

    alert_id: str
    incident_key: str
    event: str  # "opened" | "updated" | "resolved"
    status: str  # "open" | "resolved"
    severity: str
    stream: str
    entity: str
    labels: dict[str, str]
    started_at: str
    detected_at: str
    resolved_at: str | None
    summary: str
    score: float  # on the alarm scale: 1.0 = the alarm line
    p_value: float
    threshold: float
    channels: list[ChannelPart]
    rhythm: RhythmPart | None
    attention: list[AttentionStep]
    reasons: list[str]
    window: WindowSlice | None
    model: ModelRef
    replayed: bool = False
    traceparent: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelEvent:
    """A change of the model that judges.

    Every replica sends it; the same change has the same id in all of them.
    """

    event_id: str
    event: str  # "promoted" | "rolledback"
    at: str  # RFC 3339, by the wall clock of the sender
    streams: list[str]
    model: ModelRef
    previous: ModelRef
    why: str
    summary: str


Message = Alert | ModelEvent
