"""Series through the production pipeline, as `streamer score` runs it, many entities in one pass.

Entities are judged independently of each other, so that one pass gives what each would get alone,
only sooner. Axes: T rows of an entity, C channels, P = C + 1 parts.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from streamer import artifact
from streamer.backends import baseline_scorer, open_scorer
from streamer.config.load import stream_from
from streamer.connect.memory import MemorySource
from streamer.detect.pipeline import Detector
from streamer.event import F32, F64, Alert, Bool, EventBatch, Fate, Scores
from streamer.offline import score
from streamer.settings import DetectSettings

CHUNK_ROWS = 20_000
# Entities share a pass only here, so that a storm of alerts is none.
NO_STORM = 2**30
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Subject:
    """The rows of one entity. The first `taught` only teach: they raise nothing."""

    name: str
    values: F32  # (T, C)
    time_s: F64 | None  # (T,) None: there is no clock, the row number counts
    taught: int = 0

    @property
    def shape(self) -> tuple[int, bool]:
        """What entities of one pass have in common: channels, and whether there is a clock."""
        return self.values.shape[1], self.time_s is not None


@dataclass(frozen=True, slots=True)
class Said:
    """One message about an entity: what happened, and at which row."""

    event: str  # "opened" | "updated" | "resolved"
    row: int
    score: float
    reasons: tuple[str, ...] = ()


@dataclass(slots=True)
class SubjectScores:
    """What the detector said about every row of an entity."""

    score: F32  # (T,)
    alarm: F32  # (T,)
    parts: F32  # (T, P)
    judged: Bool  # (T,) False while warming
    said: list[Said] = field(default_factory=list)

    @property
    def opened(self) -> list[int]:
        return [one.row for one in self.said if one.event == "opened"]


@dataclass(frozen=True, slots=True)
class Mode:
    """How the detector is run: on which backend, and whether the training part only teaches."""

    name: str
    backend: str = "auto"
    fitted: bool = False


MODES = {
    "zero_shot": Mode("zero_shot"),
    "fitted": Mode("fitted", fitted=True),
    "int8": Mode("int8", backend="litert-int8", fitted=True),
    "baseline": Mode("baseline", backend="baseline", fitted=True),
}


def judge(
    subjects: Sequence[Subject], backend: str = "auto", note: str = ""
) -> list[SubjectScores]:
    """The verdicts, in the order of the subjects. Those of one shape share a pass."""
    found: dict[int, SubjectScores] = {}
    shapes = sorted({one.shape for one in subjects})
    for shape in shapes:
        chosen = [i for i, one in enumerate(subjects) if one.shape == shape]
        verdicts = _one_pass([subjects[i] for i in chosen], backend, f"{note} {shape[0]} channels")
        found.update(zip(chosen, verdicts, strict=True))
    return [found[i] for i in range(len(subjects))]


def _one_pass(subjects: list[Subject], backend: str, note: str) -> list[SubjectScores]:
    settings = settings_for(subjects)
    detector = open_detector(settings, backend)
    channels = len(settings.channels)
    verdicts = [_blank(len(one.values), channels) for one in subjects]
    order = Order.of(subjects)
    source = MemorySource(order.batches(subjects), channels=settings.channels)
    numbers = {one.name: i for i, one in enumerate(subjects)}

    def take(batch: EventBatch, scores: Scores) -> None:
        order.spread(batch, scores, verdicts)

    def hear(alert: Alert) -> None:
        number = numbers[alert.entity]
        verdicts[number].said.append(_said(alert, subjects[number]))

    outputs = score.Outputs(take, hear, Progress(note, order.total))
    score.replay(source, detector, outputs, clock=time.perf_counter, fit_rows=order.taught)
    return verdicts


def settings_for(subjects: Sequence[Subject]) -> DetectSettings:
    """The default settings, as of `streamer score`, with room for the entities of the pass."""
    channels, clock = subjects[0].shape
    body = {
        "name": "quality",
        "source": {"kind": "file", "path": "quality"},
        "fields": {"time": "time" if clock else None},
    }
    settings = stream_from(body).detect_settings([f"c{i}" for i in range(channels)])
    return replace(settings, max_entities=len(subjects), rhythm=clock, storm_alerts=NO_STORM)


def open_detector(settings: DetectSettings, backend: str) -> Detector:
    """The production detector over the starter bundle."""
    if backend == "baseline":
        spec = artifact.ModelSpec()
        return Detector(settings, baseline_scorer(spec), spec)
    bundle = artifact.load(artifact.PRETRAINED)
    scorer = open_scorer(bundle, backend, threads=1)
    return Detector(settings, scorer, bundle.spec, bundle.calibration)


def _blank(rows: int, channels: int) -> SubjectScores:
    zero = np.zeros(rows, np.float32)
    parts = np.zeros((rows, channels + 1), np.float32)
    return SubjectScores(zero, zero.copy(), parts, np.zeros(rows, np.bool_))


def _said(alert: Alert, subject: Subject) -> Said:
    at_s = dt.datetime.fromisoformat(alert.detected_at).timestamp()
    clock = np.arange(len(subject.values)) if subject.time_s is None else subject.time_s
    # Alerts bear times in milliseconds.
    row = int(np.searchsorted(clock, at_s - 0.002))
    return Said(alert.event, min(row, len(clock) - 1), alert.score, tuple(alert.reasons))


@dataclass(frozen=True, slots=True)
class Order:
    """Rows of all entities turn by turn, those that only teach before all others."""

    entity: np.ndarray  # (N,)
    row: np.ndarray  # (N,)
    taught: int  # of the N rows

    @classmethod
    def of(cls, subjects: Sequence[Subject]) -> Order:
        entity = np.concatenate(
            [np.full(len(one.values), i, np.int32) for i, one in enumerate(subjects)]
        )
        row = np.concatenate([np.arange(len(one.values)) for one in subjects])
        late = row >= np.array([one.taught for one in subjects])[entity]
        turn = np.lexsort((entity, row, late))
        return cls(entity[turn], row[turn], int(np.count_nonzero(~late)))

    @property
    def total(self) -> int:
        return len(self.row)

    def batches(self, subjects: Sequence[Subject]) -> Iterator[EventBatch]:
        keys = tuple(one.name for one in subjects)
        starts = np.cumsum([0, *(len(one.values) for one in subjects)])[:-1]
        values = np.concatenate([one.values for one in subjects])
        clock = np.concatenate(
            [
                np.arange(len(one.values), dtype=np.float64) if one.time_s is None else one.time_s
                for one in subjects
            ]
        )
        for first in range(0, self.total, CHUNK_ROWS):
            offset = np.arange(first, min(first + CHUNK_ROWS, self.total))
            entity = self.entity[offset]
            at = starts[entity] + self.row[offset]
            yield EventBatch(
                "quality", "quality", 0, keys, entity[:, None], clock[at], values[at], offset
            )

    def spread(self, batch: EventBatch, scores: Scores, verdicts: Sequence[SubjectScores]) -> None:
        """Put the scores of a batch where they belong."""
        entity, row = self.entity[batch.offset], self.row[batch.offset]
        for number in np.unique(entity):
            mine = entity == number
            verdict, rows = verdicts[number], row[mine]
            verdict.score[rows] = scores.score[mine]
            verdict.alarm[rows] = scores.alarm[mine]
            verdict.parts[rows] = scores.parts[mine]
            verdict.judged[rows] = scores.fate[mine] == Fate.SCORED


class Progress:
    """Says on stderr how far a pass is, every few seconds."""

    def __init__(self, note: str, total: int, every_s: float = 5.0) -> None:
        self._note, self._total, self._every_s = note, total, every_s
        self._done, self._next = 0, time.monotonic() + every_s
        self._began = time.monotonic()

    def __call__(self, rows: int) -> None:
        self._done += rows
        now = time.monotonic()
        if now < self._next and self._done < self._total:
            return
        self._next = now + self._every_s
        pace = self._done / max(now - self._began, 1e-6)
        say(f"{self._note}: {self._done:,} of {self._total:,} rows, {pace:,.0f} rows/s")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def limited(items: Iterable[T], most: int | None) -> list[T]:
    """At most so many, spread evenly over all."""
    everything = list(items)
    if most is None or len(everything) <= most:
        return everything
    return [everything[i] for i in np.linspace(0, len(everything) - 1, most).astype(int)]
