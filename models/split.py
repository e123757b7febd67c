"""Split of recorded history in time: learnt rows, an embargo, held-out rows.

A row belongs to the held-out span if its time is at or after the cut, which is the same for all
entities. The last `embargo` rows of every entity before the cut belong to neither side, because
neighbours in time are alike. Axes: P pieces of consecutive rows (several may be of one entity), L
rows, C channels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.dataset import History, rows_needed
from models.finetune import history_of
from streamer.artifact import ModelSpec
from streamer.errors import InputError
from streamer.event import F32, F64, Bool

HELD_SHARE = 0.25
# Least held-out rows per entity for a judgement: a few anomalies with quiet rows between them.
LEAST_HELD_ROWS = 96


@dataclass(frozen=True, slots=True)
class LabelledSpan:
    """A confirmed anomaly, both ends included; `entity` None means every entity."""

    start_s: float
    end_s: float
    entity: str | None = None


@dataclass(frozen=True, slots=True)
class TrainingSeries:
    """All rows of one entity in time order: values (L, C), the rest (L,)."""

    entity: str
    values: F32
    time_s: F64
    excluded: Bool  # known or doubtful anomalies: not learnt, and an alarm there is not false
    label: Bool  # confirmed anomalies, a subset of `excluded`
    held: Bool  # at or after the cut
    rhythm: bool = True
    weight: F32 | None = None  # of each row in the loss; None means 1

    def __len__(self) -> int:
        return len(self.time_s)


@dataclass(frozen=True, slots=True)
class Split:
    """Learnt rows as rectangles, every entity as a whole series, and spans.

    Spans are seconds since 1970.
    """

    train: History
    series: tuple[TrainingSeries, ...]
    train_span_s: tuple[float, float]
    held_span_s: tuple[float, float]
    train_sha256: str
    held_sha256: str

    @property
    def rows(self) -> int:
        """Number of rows to learn from."""
        return int(self.train.time_s.size)

    @property
    def held_rows(self) -> int:
        return sum(int(s.held.sum()) for s in self.series)


def series_of(
    arrays: Mapping[str, Any], where: object, labels: Sequence[LabelledSpan] = ()
) -> tuple[TrainingSeries, ...]:
    """One series per entity from an npz's arrays (see models.finetune).

    `entity` (P,) names the owner of each piece.
    """
    history = history_of(arrays, where)
    names = [str(name) for name in np.asarray(arrays.get("entity", np.arange(len(history.values))))]
    if len(names) != len(history.values):
        raise InputError(
            f"{where}: entity names {len(names)} pieces, values has {len(history.values)}"
        )
    return tuple(_joined(history, names, name, labels) for name in dict.fromkeys(names))


def _joined(
    history: History, names: Sequence[str], name: str, labels: Sequence[LabelledSpan]
) -> TrainingSeries:
    own = [index for index, other in enumerate(names) if other == name]
    time_s = history.time_s[own].reshape(-1)
    order = np.argsort(time_s, kind="stable")
    time_s, values = time_s[order], history.values[own].reshape(len(time_s), -1)[order]
    label = np.zeros(len(time_s), bool)
    for window in labels:
        if window.entity in (None, name):
            label |= (time_s >= window.start_s) & (time_s <= window.end_s)
    excluded = history.anomaly[own].reshape(-1)[order] | label
    weight = None if history.weight is None else history.weight[own].reshape(-1)[order]
    rhythm, held = bool(history.rhythm[own[0]]), np.zeros(len(time_s), bool)
    return TrainingSeries(name, values, time_s, excluded, label, held, rhythm, weight)


def split(
    series: Sequence[TrainingSeries],
    spec: ModelSpec,
    *,
    share: float = HELD_SHARE,
    embargo: int | None = None,
) -> Split:
    """Cut in time so that about `share` of all rows is held out.

    `embargo` is in rows, the network's window by default. InputError if there are too few rows or
    no variation.
    """
    every = np.concatenate([s.time_s for s in series]) if series else np.zeros(0)
    needed = 2 * rows_needed(spec, spec.k_min) + LEAST_HELD_ROWS
    longest = max((len(s) for s in series), default=0)
    if longest < needed:
        raise InputError(
            f"training needs {needed} rows of an entity, the longest of {len(series)} has {longest}"
        )
    cut_s = float(np.quantile(every, 1 - share, method="higher"))
    marked = tuple(replace(s, held=s.time_s >= cut_s) for s in series)
    train = _rectangles(marked, spec, spec.window if embargo is None else embargo)
    _varies(train)
    held = [s for s in marked if int(s.held.sum()) >= LEAST_HELD_ROWS]
    if not held:
        most = max(int(s.held.sum()) for s in marked)
        raise InputError(
            f"the held-out span needs {LEAST_HELD_ROWS} rows of an entity, the most is {most}"
        )
    last_s = float(every.max())
    return Split(
        train,
        marked,
        (float(train.time_s.min()), float(train.time_s.max())),
        (cut_s, last_s),
        digest(train.values, train.time_s),
        digest(*(a for s in marked for a in (s.values[s.held], s.time_s[s.held]))),
    )


def _rectangles(series: Sequence[TrainingSeries], spec: ModelSpec, embargo: int) -> History:
    """The rows before cut and embargo as pieces of one length, the newest first.

    Short remainders are left out.
    """
    least = 2 * rows_needed(spec, spec.k_min)
    ends = [max(int((~s.held).sum()) - embargo, 0) for s in series]
    if max(ends) < least:
        raise InputError(
            f"training needs {least} rows of an entity before the held-out span and its embargo, "
            f"the longest of {len(series)} has {max(ends)}"
        )
    length = max(
        {end for end in ends if end >= least}, key=lambda n: (sum(end // n * n for end in ends), n)
    )
    pieces = [
        (s, slice(stop - length, stop))
        for s, end in zip(series, ends, strict=True)
        for stop in range(end, length - 1, -length)
    ]
    return History(
        np.stack([s.values[cut] for s, cut in pieces]),
        np.stack([s.time_s[cut] for s, cut in pieces]),
        np.stack([s.excluded[cut] for s, cut in pieces]),
        np.array([s.rhythm for s, _ in pieces]),
        weight=_weights(pieces),
    )


def _weights(pieces: Sequence[tuple[TrainingSeries, slice]]) -> F32 | None:
    """Weights of the pieces; series of one history either all have weights or none."""
    found = [s.weight[cut] for s, cut in pieces if s.weight is not None]
    return np.stack(found) if found else None


def _varies(train: History) -> None:
    """InputError unless some channel of some entity varies among the rows to learn."""
    learnt = np.where(train.anomaly[:, :, None], np.nan, train.values)
    known = ~np.isnan(learnt)
    high = np.where(known, learnt, -np.inf).max(axis=1)
    low = np.where(known, learnt, np.inf).min(axis=1)
    if not np.any(high > low):
        what = (
            "every channel is constant" if known.any() else "no row has a value that may be learnt"
        )
        raise InputError(
            f"there is nothing to learn: {what} in all {train.time_s.size:,} rows of training"
        )


def digest(*arrays: Any) -> str:
    """SHA-256 of arrays in order, shapes included."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(str(array.shape).encode())
        whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()
