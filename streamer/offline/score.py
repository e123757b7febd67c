"""Scoring of a finite source with the production pipeline, causally, row by row.

`streamer score` and `streamer backtest` use this loop with different settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamer.event import F32, F64, FATES, I64, U8, Alert, EventBatch, Fate, Poll, Rejected, Scores
from streamer.protocols import Clock, JudgedBatch, Source

POLL_S = 1.0
DAY_S = 86_400.0
# A plot keeps every row in memory: 2 million rows of 4 channels are about 150 MB.
PLOT_ROWS = 2_000_000
_COLUMNS = ("entity", "time_s", "values", "offset")
_SCORE_COLUMNS = ("fate", "score", "alarm", "parts", "expected", "low", "high")


class RowDetector(Protocol):
    """The part of a detector that the loop needs (see streamer.detect.pipeline.Detector)."""

    def process(self, batch: EventBatch) -> JudgedBatch: ...


@dataclass(frozen=True, slots=True)
class Joint:
    """The verdict of several detectors on one batch."""

    scores: Scores
    alerts: list[Alert]


class Panel:
    """Detectors of the same events by different entity keys.

    Each row keeps the verdict with the highest alarm.
    """

    def __init__(self, detectors: Sequence[RowDetector]) -> None:
        self._detectors = detectors

    def process(self, batch: EventBatch) -> Joint:
        verdicts = [judge.process(batch) for judge in self._detectors]
        alerts = [alert for verdict in verdicts for alert in verdict.alerts]
        return Joint(gravest([verdict.scores for verdict in verdicts]), alerts)


def gravest(views: Sequence[Scores]) -> Scores:
    """Choose, row by row, the view with the highest alarm, then score, then the first."""
    alarm, score = (
        np.stack([getattr(view, name) for view in views]) for name in ("alarm", "score")
    )
    tied = alarm == alarm.max(axis=0)
    best = np.argmax(np.where(tied, score, -1), axis=0)  # (N,)
    rows = np.arange(len(best))
    return Scores(
        *(np.stack([getattr(view, name) for view in views])[best, rows] for name in _SCORE_COLUMNS)
    )


@dataclass(slots=True)
class ReplayResult:
    """The result of scoring a source.

    `fates` counts every record read, by Fate; alarms are rows with alarm >= 1.
    """

    fates: I64 = field(default_factory=lambda: np.zeros(FATES, np.int64))
    reasons: dict[str, int] = field(default_factory=dict)  # counts of rejected records by reason
    first_rejected: Rejected | None = None
    alarms: int = 0
    opened: list[Alert] = field(default_factory=list)
    alerts: int = 0  # messages of all kinds: opened, updated, resolved
    first_s: float = np.inf  # event time of the earliest and latest row
    last_s: float = -np.inf
    judged_first_s: float = np.inf  # first row that could raise an alarm
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        return int(self.fates.sum())

    @property
    def days(self) -> float:
        """Days of event time in which an alarm was possible; 0 if no row was judged."""
        return (
            max(self.last_s - self.judged_first_s, 0.0) / DAY_S
            if np.isfinite(self.judged_first_s)
            else 0.0
        )

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Outputs:
    """Callbacks for rows, alerts and progress; each may be a no-op."""

    rows: Callable[[EventBatch, Scores], None] = lambda batch, scores: None
    alert: Callable[[Alert], None] = lambda alert: None
    progress: Callable[[int], None] = lambda rows: None


def replay(
    source: Source, judge: RowDetector, outputs: Outputs, *, clock: Clock, fit_rows: int = 0
) -> ReplayResult:
    """Score a source to its end.

    Rows before `fit_rows` only teach: they become `warming` and raise no alarm.
    """
    outcome, began = ReplayResult(), clock()
    while (poll := source.poll(POLL_S)) is not None:
        if poll.records:
            for batch, scores in _judged(
                poll, judge, outputs, outcome, fit_rows, len(source.channels)
            ):
                _count(outcome, batch, scores)
                outputs.rows(batch, scores)
            outputs.progress(poll.records)
    outcome.seconds = clock() - began
    return outcome


def _judged(
    poll: Poll,
    judge: RowDetector,
    outputs: Outputs,
    outcome: ReplayResult,
    fit_rows: int,
    channels: int,
) -> list[tuple[EventBatch, Scores]]:
    done = []
    for batch in poll.batches:
        scores, alerts = _taught_then_judged(batch, judge, fit_rows)
        done.append((batch, scores))
        for alert in alerts:
            _note(outcome, alert)
            outputs.alert(alert)
    _note_rejected(outcome, poll.rejected)
    return whole_rows(done, poll.rejected, channels)


def _taught_then_judged(
    batch: EventBatch, judge: RowDetector, fit_rows: int
) -> tuple[Scores, list[Alert]]:
    taught = int(np.searchsorted(batch.offset, fit_rows))
    if taught == 0:
        verdict = judge.process(batch)
        return verdict.scores, verdict.alerts
    lesson = silenced(judge.process(batch.rows(slice(0, taught))).scores)
    if taught == len(batch):
        return lesson, []
    rest = judge.process(batch.rows(slice(taught, None)))
    return joined([lesson, rest.scores]), rest.alerts


def silenced(scores: Scores) -> Scores:
    """The same rows as `warming`, without score and alarm; forecasts stay."""
    fate = np.where(scores.fate == Fate.SCORED, np.uint8(Fate.WARMING), scores.fate).astype(
        np.uint8
    )
    zero = np.zeros_like(scores.score)
    return Scores(
        fate, zero, zero, np.zeros_like(scores.parts), scores.expected, scores.low, scores.high
    )


def joined(pieces: Sequence[Scores]) -> Scores:
    """Concatenate scores of consecutive batches."""
    columns: list[Any] = [
        np.concatenate([getattr(piece, name) for piece in pieces]) for name in _SCORE_COLUMNS
    ]
    return Scores(*columns)


def chosen(scores: Scores, index: slice | NDArray[Any]) -> Scores:
    """The given rows in the given order."""
    return Scores(*(getattr(scores, name)[index] for name in _SCORE_COLUMNS))


def whole_rows(
    done: list[tuple[EventBatch, Scores]], rejected: Sequence[Rejected], channels: int
) -> list[tuple[EventBatch, Scores]]:
    """The rows of one poll in input order.

    Rejected records become rows without time, entity and values.
    """
    if not rejected:
        return done
    batch, scores = done[-1] if done else _no_rows(channels)
    gap, blank = _placeholders(batch, rejected)
    order = np.argsort(np.concatenate([batch.offset, gap.offset]), kind="stable")
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(batch, name), getattr(gap, name)])[order] for name in _COLUMNS
    }
    merged = replace(batch, keys=gap.keys, **columns)
    return [*done[:-1], (merged, chosen(joined([scores, blank]), order))]


def _no_rows(channels: int) -> tuple[EventBatch, Scores]:
    blank, none = np.zeros((0, channels), np.float32), np.zeros(0)
    batch = EventBatch(
        "", "", 0, (), np.zeros((0, 1), np.int32), none, blank, none.astype(np.int64)
    )
    return batch, _blank_scores(0, channels)


def _placeholders(like: EventBatch, rejected: Sequence[Rejected]) -> tuple[EventBatch, Scores]:
    n, (_, k), (_, channels) = len(rejected), like.entity.shape, like.values.shape
    entity = np.full((n, k), len(like.keys), np.int32)
    offset = np.array([record.offset for record in rejected], np.int64)
    values = np.full((n, channels), np.nan, np.float32)
    keys = (*like.keys, "")
    batch = EventBatch(
        like.stream, like.topic, like.partition, keys, entity, np.full(n, np.nan), values, offset
    )
    return batch, _blank_scores(n, channels)


def _blank_scores(n: int, channels: int) -> Scores:
    zero, nothing = np.zeros(n, np.float32), np.full((n, channels), np.nan, np.float32)
    fate = np.full(n, Fate.DEAD_LETTERED, np.uint8)
    return Scores(
        fate, zero, zero, np.zeros((n, channels + 1), np.float32), nothing, nothing, nothing
    )


def _note(outcome: ReplayResult, alert: Alert) -> None:
    outcome.alerts += 1
    if alert.event == "opened":
        outcome.opened.append(alert)


def _note_rejected(outcome: ReplayResult, rejected: Sequence[Rejected]) -> None:
    for record in rejected:
        outcome.reasons[record.reason] = outcome.reasons.get(record.reason, 0) + 1
    if rejected and outcome.first_rejected is None:
        outcome.first_rejected = rejected[0]


def _count(outcome: ReplayResult, batch: EventBatch, scores: Scores) -> None:
    outcome.fates += np.bincount(scores.fate, minlength=FATES).astype(np.int64)
    outcome.alarms += int(np.count_nonzero(scores.alarm >= 1))
    known = batch.time_s[np.isfinite(batch.time_s)]
    if known.size:
        outcome.first_s = min(outcome.first_s, float(known.min()))
        outcome.last_s = max(outcome.last_s, float(known.max()))
    judged = batch.time_s[scores.fate == Fate.SCORED]
    if judged.size:
        outcome.judged_first_s = min(outcome.judged_first_s, float(judged.min()))


@dataclass(frozen=True, slots=True)
class Track:
    """The rows of one entity, for a plot. Axes: N rows, C channels, P = C + 1 parts."""

    entity: str
    channels: tuple[str, ...]
    row: I64  # (N,) number of the input row
    time_s: F64  # (N,)
    values: F32  # (N, C)
    expected: F32
    low: F32
    high: F32
    score: F32  # (N,)
    alarm: F32  # (N,)
    parts: F32  # (N, P)
    fate: U8  # (N,)


class TrackRecorder:
    """Keeps judged rows in memory for a plot, at most `limit_rows`.

    `full` says that later rows were dropped.
    """

    def __init__(self, channels: tuple[str, ...], limit_rows: int = PLOT_ROWS) -> None:
        self.channels, self.limit_rows = channels, limit_rows
        self.rows, self.full = 0, False
        self._kept: list[tuple[EventBatch, Scores]] = []

    def take(self, batch: EventBatch, scores: Scores) -> None:
        room = self.limit_rows - self.rows
        self.full = self.full or len(batch) > room
        if room <= 0 or batch.values.shape[1] != len(self.channels):
            return
        keep = slice(0, room)
        self._kept.append((batch.rows(keep), chosen(scores, keep)))
        self.rows += len(self._kept[-1][0])

    def entities(self) -> dict[str, int]:
        """Number of alarms by entity."""
        alarms: dict[str, int] = {}
        for batch, scores in self._kept:
            fired = np.bincount(batch.entity[:, 0], scores.alarm >= 1, minlength=len(batch.keys))
            for index in np.unique(batch.entity[scores.fate != Fate.DEAD_LETTERED, 0]):
                name = batch.keys[index]
                alarms[name] = alarms.get(name, 0) + int(fired[index])
        return alarms

    def track(self, entity: str) -> Track:
        """All kept rows of one entity; ValueError if there is none."""
        pieces = [
            _of_entity(batch, scores, entity)
            for batch, scores in self._kept
            if entity in batch.keys
        ]
        if not pieces:
            raise ValueError(f"no rows of entity {entity!r} were kept")
        return Track(
            entity, self.channels, *(np.concatenate(column) for column in zip(*pieces, strict=True))
        )


def _of_entity(batch: EventBatch, scores: Scores, entity: str) -> tuple[np.ndarray, ...]:
    mine = (batch.entity[:, 0] == batch.keys.index(entity)) & (scores.fate != Fate.DEAD_LETTERED)
    columns = (
        batch.offset,
        batch.time_s,
        batch.values,
        scores.expected,
        scores.low,
        scores.high,
        scores.score,
        scores.alarm,
        scores.parts,
        scores.fate,
    )
    return tuple(column[mine] for column in columns)
