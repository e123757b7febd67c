"""What a training learns from: the streams' past, what must not be learnt of it, and what it looked like.

A Kafka stream is read from its log, without its group; a file again from its beginning; of everything else the daemon
hands over the rows that it has recorded. All of it is bounded by retrain.history and retrain.max_rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from streamer.artifact import ModelSpec
from streamer.config import Config, FileSource, KafkaSource, Retrain, Stream, SyntheticSource
from streamer.connect import open_history, open_source
from streamer.connect.lines import is_pipe
from streamer.errors import InputError
from streamer.event import Bool
from streamer.journal import LabelKind, Period, periods
from streamer.service.history import Rows, Series, read_batches, rows_of, series_of
from streamer.service.learning.drift import LEAST_ROWS, Sample, profile_of

if TYPE_CHECKING:
    from streamer.journal import Journal
    from streamer.protocols import Source

Recorded = Mapping[str, Sequence[Series]]  # by stream
Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Past:
    """The rows of all streams, and for each piece of them (P,) whether its clock carries anything."""

    rows: Rows
    rhythm: Bool
    names: tuple[str, ...]  # (P,) of the pieces' owners, each entity its own
    labels: list[dict[str, Any]]  # confirmed anomalies, as models.retrain reads them
    profiles: dict[str, Any]  # by stream, as drift reads them
    span: tuple[float, float]

    @property
    def count(self) -> int:
        return int(self.rows.time_s.size)


def past_of(
    config: Config, retrain: Retrain, *, now_s: float, journal: Journal | None, recorded: Recorded, stop: Stop
) -> dict[str, list[Series]]:
    """The series of every stream that has a past. InputError if none has."""
    share = retrain.max_rows // len(config.streams)
    found: dict[str, list[Series]] = {}
    for stream in config.streams:
        series = _series(config, stream, retrain, now_s, recorded, share, stop)
        if series:
            found[stream.name] = series
    if not found:
        kinds = ", ".join(f"{stream.name} ({stream.source.kind})" for stream in config.streams)
        raise InputError(f"no stream has rows to learn from: {kinds}; let the daemon retrain, it records them")
    return found


def counted(past: Mapping[str, Sequence[Series]]) -> int:
    return sum(len(one) for series in past.values() for one in series)


def gathered(config: Config, past: Mapping[str, Sequence[Series]], spec: ModelSpec, journal: Journal | None) -> Past:
    """Everything in the form a training takes. InputError where there is too little, or nothing ever changes."""
    every = [one for series in past.values() for one in series]
    refuse_constant(every)
    rows = rows_of(every, needed=rows_needed(spec))
    known = {name: _periods(journal, name, series) for name, series in past.items()}
    for piece, (stream, entity) in enumerate(rows.owner):
        mask_out(rows.mask[piece], rows.time_s[piece], entity, known[stream])
    several = len(past) > 1
    rhythm = {stream.name: stream.rhythm for stream in config.streams}
    return Past(
        rows, np.array([rhythm[stream] for stream, _ in rows.owner], bool),
        tuple(_name(*owner, several=several) for owner in rows.owner),
        [label for name, some in known.items() for label in _labels(name, some, several=several)],
        profiles(past, known, float(config.drift.window), config.drift.rows),
        (float(rows.time_s.min()), float(rows.time_s.max())),
    )  # fmt: skip


def rows_needed(spec: ModelSpec) -> int:
    """Of an entity: one whole window to learn from, and one to prove it on."""
    return 2 * (spec.scale_window + spec.stride)


def refuse_constant(series: Sequence[Series]) -> None:
    """InputError if no channel of any entity ever changes: a model of it would find everything strange."""
    for one in series:
        if any(np.ptp(column[~np.isnan(column)]) > 0 for column in one.values.T if not np.isnan(column).all()):
            return
    raise InputError(f"every channel of all {len(series)} entities is constant or missing: there is nothing to learn")


def mask_out(mask: Bool, time_s: np.ndarray, entity: str, known: Sequence[Period]) -> None:
    """Mark the rows (L,) of an entity that lie in periods which must not be learnt."""
    for period in known:
        if not period.learnt and period.entity in {"", entity}:
            mask |= (time_s >= period.start_s) & (time_s <= period.end_s)


def profiles(
    past: Mapping[str, Sequence[Series]], known: Mapping[str, Sequence[Period]], window_s: float, rows: int
) -> dict[str, Any]:
    """What each stream looked like, where its past is as long as what it will be held against."""
    found: dict[str, Any] = {}
    for name, series in past.items():
        sample = sample_of(series, known[name], rows)
        if len(sample) >= LEAST_ROWS and np.ptp(sample.time_s) >= window_s:
            found[name] = profile_of(sample).as_json()
    return found


def sample_of(series: Sequence[Series], known: Sequence[Period], rows: int) -> Sample:
    """At most `rows` rows of the past, each with the same chance, without those that must not be learnt."""
    masks = [np.zeros(len(one), bool) for one in series]
    for one, mask in zip(series, masks, strict=True):
        mask_out(mask, one.time_s, one.entity, known)
    learnt = ~np.concatenate(masks)
    entity = np.repeat(np.arange(len(series), dtype=np.int32), [len(one) for one in series])
    time_s, values = np.concatenate([s.time_s for s in series]), np.concatenate([s.values for s in series])
    index = np.flatnonzero(learnt)
    if len(index) > rows:
        index = np.sort(np.random.default_rng(0).choice(index, rows, replace=False))
    return Sample(tuple(one.entity for one in series), entity[index], time_s[index], values[index])


def _series(
    config: Config, stream: Stream, retrain: Retrain, now_s: float, recorded: Recorded, most: int, stop: Stop
) -> list[Series]:
    if stream.name in recorded:
        series = list(recorded[stream.name])
    else:
        source = _opened(config, stream, now_s - float(retrain.history), most)
        if source is None:
            return []
        with closing(source):
            series = series_of(read_batches(source, most=most, stop=stop))
    return _recent(series, float(retrain.history)) if stream.has_clock else series


def _opened(config: Config, stream: Stream, since_s: float, most: int) -> Source | None:
    source = stream.source
    if isinstance(source, KafkaSource):
        return open_history(stream, config, since_s=since_s, most=most)
    ends = (isinstance(source, FileSource) and not is_pipe(source.path)) or (
        isinstance(source, SyntheticSource) and source.events is not None
    )
    flat_out = {"source": source.model_copy(update={"pace": None})}
    return open_source(stream.model_copy(update=flat_out), config=config) if ends else None


def _recent(series: Sequence[Series], history_s: float) -> list[Series]:
    """Rows not older than so much before the newest one of all."""
    newest_s = max((float(one.time_s[-1]) for one in series), default=0.0)
    return [one for one in (each.since(newest_s - history_s) for each in series) if len(one)]


def _periods(journal: Journal | None, stream: str, series: Sequence[Series]) -> list[Period]:
    if journal is None:
        return []
    first_s, last_s = min(float(s.time_s[0]) for s in series), max(float(s.time_s[-1]) for s in series)
    return periods(journal, stream, first_s, last_s)


def _labels(stream: str, known: Sequence[Period], *, several: bool) -> list[dict[str, Any]]:
    confirmed = [period for period in known if period.kind == LabelKind.CONFIRMED]
    return [
        {"start_s": p.start_s, "end_s": p.end_s, "entity": _name(stream, p.entity, several=several) or None}
        for p in confirmed
    ]  # fmt: skip


def _name(stream: str, entity: str, *, several: bool) -> str:
    """Of an entity among all streams."""
    return f"{stream}:{entity}" if several and entity else entity
