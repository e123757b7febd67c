"""Columnar batches of events, their scores and alerts; imports no other module of streamer.

The docstrings of what is sent to others name every field as `name: text`; the JSON schema and
docs/alerts.md are made from them.

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

    @classmethod
    def warming(cls, rows: int, channels: int, model: ModelRef | None) -> Scores:
        """Those of a batch of which nothing is judged yet."""
        expected, low, high = (np.full((rows, channels), np.nan, np.float32) for _ in range(3))
        score, alarm = (np.zeros(rows, np.float32) for _ in range(2))
        parts = np.zeros((rows, channels + 1), np.float32)
        fate = np.full(rows, Fate.WARMING, np.uint8)
        return cls(fate, score, alarm, parts, expected, low, high, model)

    def shares(self) -> F32:
        """Parts as fractions of the score (N, P); rows sum to 1 where score > 0, else to 0."""
        total = self.score[:, None]
        return np.divide(self.parts, total, out=np.zeros_like(self.parts), where=total > 0)


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model judged.

    version: Version of the model, as the registry or the bundle names it.
    backend: What ran the network: litert, keras, numpy or baseline.
    sha256: Hash of the bundle, which identifies the model beyond doubt.
    """

    version: str
    backend: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ChannelPart:
    """One channel of an alert: observed against the expected band, and its share of the score.

    name: Name of the channel.
    observed: Value of the event; null where it is missing.
    expected: Value that the network expected; null where it has no forecast.
    low: Lower end of the band of ordinary values; null where there is none.
    high: Upper end of the band of ordinary values; null where there is none.
    unit: Unit of the channel from `fields.units`; null where none is set.
    share: Fraction of the score that the channel contributes; with the rhythm they add up to 1.
    """

    name: str
    observed: float | None
    expected: float | None
    low: float | None
    high: float | None
    unit: str | None
    share: float


@dataclass(frozen=True, slots=True)
class RhythmPart:
    """The time gap before the event against what was expected, and its share of the score.

    gap_s: Seconds since the entity's previous event.
    expected_gap_s: Gap in seconds that was most to be expected.
    low_s: Lower end of the band of ordinary gaps, in seconds.
    high_s: Upper end of the band of ordinary gaps, in seconds.
    share: Fraction of the score that the rhythm contributes.
    """

    gap_s: float
    expected_gap_s: float
    low_s: float
    high_s: float
    share: float


@dataclass(frozen=True, slots=True)
class AttentionStep:
    """How much the fused context listened to the event `offset` steps back.

    offset: Number of events back from the newest one.
    weight: Weight of that event in the network's attention, 0 to 1.
    """

    offset: int
    weight: float


@dataclass(frozen=True, slots=True)
class WindowSlice:
    """The raw window an alert was raised on, with its place in the log.

    start: Time of the first event of the window.
    end: Time of the last event of the window.
    length: Number of events in the window.
    topic: Topic or file that the events come from.
    partition: Partition of the topic; 0 for other sources.
    first_offset: Position of the first event in its log.
    last_offset: Position of the last event in its log.
    values: Values by event and channel, in the order of `channels`; null is a missing value.
    """

    start: str
    end: str
    length: int
    topic: str
    partition: int
    first_offset: int
    last_offset: int
    values: Sequence[Sequence[float | None]]  # (T, C)


@dataclass(frozen=True, slots=True)
class Alert:
    """One message about an incident: opened, updated or resolved. Times are RFC 3339 of event
    time.

    alert_id: Identifies the incident: the same in all of its messages, and after a replay.
    incident_key: Stream and entity; two incidents of one entity share it.
    event: What happened to the incident: opened, updated or resolved.
    status: State of the incident after this message: open or resolved.
    severity: How grave it is: warning, or critical from `alerts.severity.critical` on.
    stream: Name of the stream.
    entity: Name of the entity; `*` of an alert about the whole stream.
    labels: Texts of the configuration, `labels` of the stream.
    started_at: Time of the event that opened the incident.
    detected_at: Time of the event that this message is about.
    resolved_at: Time at which the incident was resolved; null while it is open.
    summary: The alert as one sentence for people.
    score: Score on the alarm scale, on which 1.0 is the alarm line.
    p_value: How rare such an event is by the entity's own past, as a probability.
    threshold: The alarm line on the scale of `score`; always 1.0.
    channels: Each channel, observed and expected; empty in a message that no event caused.
    rhythm: The gap before the event; null where the rhythm is not judged.
    attention: Past events that the network looked at most, the heaviest first.
    reasons: Why it was raised or resolved, as constant words.
    window: The past that the alert was raised on; null in a message that no event caused.
    model: The model that judged.
    replayed: Whether the event was read again, to rebuild what was known.
    traceparent: W3C trace context of the record, where it has one.
    extra: More facts about alerts of a special kind, such as `held_back` of a storm.
    """

    alert_id: str
    incident_key: str
    event: str
    status: str
    severity: str
    stream: str
    entity: str
    labels: dict[str, str]
    started_at: str
    detected_at: str
    resolved_at: str | None
    summary: str
    score: float
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
    """Another network judges from now on. Every replica tells it; the same move has the same id in
    all of them.

    event_id: Identifies the move; every replica tells it under the same id.
    event: What happened: promoted or rolledback.
    at: Time of the move, by the clock of who tells it.
    streams: Names of the streams that the model judges.
    model: The model that judges from now on.
    previous: The model that judged before.
    why: The reason in words, as the audit trail has it.
    summary: The event as one sentence for people.
    """

    event_id: str
    event: str
    at: str
    streams: list[str]
    model: ModelRef
    previous: ModelRef
    why: str
    summary: str


Message = Alert | ModelEvent
