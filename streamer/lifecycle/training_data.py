"""The training data of a retrain job: rows of the streams, weights, labels and profiles.

A Kafka stream is read from its log without its group, a file again from its beginning. For other
sources the daemon passes the rows it recorded. All are bounded by retrain.history and
retrain.max_rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from streamer.artifact import ModelSpec
from streamer.config import Config, Retrain, Stream
from streamer.connect import open_history, open_source
from streamer.connect.files.lines import is_pipe
from streamer.errors import InputError
from streamer.event import F32, F64, Bool
from streamer.journal import FORGOTTEN, LabelKind, Period, periods
from streamer.lifecycle.drift import LEAST_ROWS, DriftSample, profile_of
from streamer.offline.series import Rows, Series, read_batches, rows_of, series_of

if TYPE_CHECKING:
    from streamer.journal import Journal
    from streamer.protocols import Source

log = structlog.get_logger()

Recorded = Mapping[str, Sequence[Series]]  # by stream
Stop = Callable[[], bool]
# A row that a person labelled normal counts twice in the loss: it had an alert, so rows like it are
# rare.
SAID_NORMAL = 2.0


@dataclass(frozen=True, slots=True)
class Past:
    """The rows of all streams in pieces (P,), with weights and labels.

    `rhythm` says per piece whether its times carry information.
    """

    rows: Rows
    weight: F32  # (P, L) of each row in the loss; 0 excludes it from training
    rhythm: Bool
    names: tuple[str, ...]  # (P,) names of the pieces' entities
    labels: list[dict[str, Any]]  # confirmed anomalies, in the form of models.retrain
    profiles: dict[str, Any]  # by stream, in the form of drift
    span: tuple[float, float]

    @property
    def count(self) -> int:
        return int(self.rows.time_s.size)


def past_of(
    config: Config,
    retrain: Retrain,
    *,
    now_s: float,
    journal: Journal | None,
    recorded: Recorded,
    stop: Stop,
) -> dict[str, list[Series]]:
    """Return the series of every stream that has history; InputError if none has."""
    share = retrain.max_rows // len(config.streams)
    found: dict[str, list[Series]] = {}
    for stream in config.streams:
        series = _series(config, stream, retrain, now_s, recorded, share, stop)
        if series:
            found[stream.name] = series
    if not found:
        kinds = ", ".join(f"{stream.name} ({stream.source.kind})" for stream in config.streams)
        raise InputError(
            f"no stream has rows to learn from: {kinds}; let the daemon retrain, it records them"
        )
    return found


def counted(past: Mapping[str, Sequence[Series]]) -> int:
    return sum(len(one) for series in past.values() for one in series)


def gathered(
    config: Config, past: Mapping[str, Sequence[Series]], spec: ModelSpec, journal: Journal | None
) -> Past:
    """Return everything in the form that training takes.

    InputError if there are too few rows, or if no channel ever changes.
    """
    every = [one for series in past.values() for one in series]
    refuse_constant(every)
    rows = rows_of(every, needed=rows_needed(spec))
    known = {name: _periods(journal, name, series) for name, series in past.items()}
    weight = np.stack(
        [
            weights(rows.time_s[piece], entity, known[stream])
            for piece, (stream, entity) in enumerate(rows.owner)
        ]
    )
    rows.mask[:] = weight == 0
    several = len(past) > 1
    rhythm = {stream.name: stream.rhythm for stream in config.streams}
    return Past(
        rows,
        weight,
        np.array([rhythm[stream] for stream, _ in rows.owner], bool),
        tuple(_name(*owner, several=several) for owner in rows.owner),
        [label for name, some in known.items() for label in _labels(name, some, several=several)],
        profiles(past, known, float(config.drift.window), config.drift.rows),
        (float(rows.time_s.min()), float(rows.time_s.max())),
    )


def rows_needed(spec: ModelSpec) -> int:
    """Return the rows an entity needs: one whole window to train on, and one for validation."""
    return 2 * (spec.scale_window + spec.stride)


def refuse_constant(series: Sequence[Series]) -> None:
    """Raise InputError if no channel of any entity ever changes.

    A model of constant data would score every change as strange.
    """
    for one in series:
        if any(
            np.ptp(column[~np.isnan(column)]) > 0
            for column in one.values.T
            if not np.isnan(column).all()
        ):
            return
    raise InputError(
        f"every channel of all {len(series)} entities is constant or missing: there is nothing to "
        f"learn"
    )


def weights(time_s: F64, entity: str, known: Sequence[Period]) -> F32:
    """Return the weight of each row (L,) of an entity in training.

    0 excludes the row, SAID_NORMAL is for rows labelled normal, all others have 1. The last label
    of a row counts, and an incident only where there is no label.
    """
    found = np.ones(len(time_s), np.float32)
    for period in sorted(known, key=lambda one: one.rank):
        if period.holds(entity):
            found[(time_s >= period.start_s) & (time_s <= period.end_s)] = (
                SAID_NORMAL if period.learnt else 0
            )
    return found


def profiles(
    past: Mapping[str, Sequence[Series]],
    known: Mapping[str, Sequence[Period]],
    window_s: float,
    rows: int,
) -> dict[str, Any]:
    """Return the profile of each stream whose history is as long as a drift window."""
    found: dict[str, Any] = {}
    for name, series in past.items():
        sample = sample_of(series, known[name], rows)
        if len(sample) >= LEAST_ROWS and np.ptp(sample.time_s) >= window_s:
            found[name] = profile_of(sample).as_json()
    return found


def sample_of(series: Sequence[Series], known: Sequence[Period], rows: int) -> DriftSample:
    """Return at most `rows` rows, each with the same chance, without excluded rows."""
    learnt = np.concatenate([weights(one.time_s, one.entity, known) > 0 for one in series])
    entity = np.repeat(np.arange(len(series), dtype=np.int32), [len(one) for one in series])
    time_s, values = (
        np.concatenate([s.time_s for s in series]),
        np.concatenate([s.values for s in series]),
    )
    index = np.flatnonzero(learnt)
    if len(index) > rows:
        index = np.sort(np.random.default_rng(0).choice(index, rows, replace=False))
    return DriftSample(
        tuple(one.entity for one in series), entity[index], time_s[index], values[index]
    )


def _series(
    config: Config,
    stream: Stream,
    retrain: Retrain,
    now_s: float,
    recorded: Recorded,
    most: int,
    stop: Stop,
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
    if source.has_history:
        return open_history(stream, config, since_s=since_s, most=most)
    once = source.local_file is not None and is_pipe(source.local_file)
    if once or not source.ends:
        return None
    return open_source(stream.model_copy(update={"source": source.flat_out()}), config=config)


def _recent(series: Sequence[Series], history_s: float) -> list[Series]:
    """Return the rows not older than `history_s` before the newest of all."""
    newest_s = max((float(one.time_s[-1]) for one in series), default=0.0)
    return [one for one in (each.since(newest_s - history_s) for each in series) if len(one)]


def _periods(journal: Journal | None, stream: str, series: Sequence[Series]) -> list[Period]:
    if journal is None:
        return []
    first_s, last_s = (
        min(float(s.time_s[0]) for s in series),
        max(float(s.time_s[-1]) for s in series),
    )
    found = periods(journal, stream, first_s, last_s)
    for lost in (one for one in found if one.kind == FORGOTTEN):
        log.warning(
            "journal_too_small", stream=stream, not_learnt_s=min(lost.end_s, last_s) - first_s
        )
    return found


def _labels(stream: str, known: Sequence[Period], *, several: bool) -> list[dict[str, Any]]:
    return [
        {
            "start_s": start_s,
            "end_s": end_s,
            "entity": _name(stream, one.entity, several=several) or None,
        }
        for one in known
        if one.kind == LabelKind.CONFIRMED
        for start_s, end_s in standing(one, known)
    ]


def standing(word: Period, known: Sequence[Period]) -> list[tuple[float, float]]:
    """Return the parts of a label's period, ends included, without a later label."""
    left = [(word.start_s, word.end_s)]
    for later in (one for one in known if one.rank > word.rank and one.holds(word.entity)):
        before, behind = (
            math.nextafter(later.start_s, -math.inf),
            math.nextafter(later.end_s, math.inf),
        )
        cut = [
            ((start_s, min(end_s, before)), (max(start_s, behind), end_s))
            for start_s, end_s in left
        ]
        left = [
            (start_s, end_s)
            for pair in cut
            for start_s, end_s in pair
            if start_s <= end_s and start_s < math.inf
        ]
    return left


def _name(stream: str, entity: str, *, several: bool) -> str:
    """Return the name of an entity among all streams."""
    return f"{stream}:{entity}" if several and entity else entity
