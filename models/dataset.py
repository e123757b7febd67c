"""Training windows with the features and the shape of serving: anchor, replay, judge.

A window of a grown entity: S events are measured, the last W of them are replayed from zero, and
the next `stride` events are judged. A young one (k = k_min, 2 k_min, ... W): k events are measured
and replayed, and those up to the next anchor are judged. Axes: E entities, L rows of raw history, T
steps of a window, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.artifact import ModelSpec
from streamer.detect.network import features
from streamer.detect.network.features import DAY_S, Anchor
from streamer.detect.network.lanes import forward
from streamer.errors import InputError
from streamer.event import F32, F64, Bool

WEEK_DAYS = 7
# A calendar effect is learnt only if it was seen twice. When ten hours were learnt with their own
# calendar, the gap's validation loss rose from -1.08 to 0.3 within eight epochs, because the
# following hours of day were unseen.
TWO_DAYS_S, TWO_WEEKS_S = 2 * DAY_S, 14 * DAY_S
# With at least this many entities (or pieces of them), some of them validate, and all rows of the
# others are learnt, the newest too. In a regime of ten hours the forecast error then fell to 0.71
# and 0.43 of the starter's, instead of 0.78 and 0.52.
MANY_PIECES = 8


@dataclass(frozen=True, slots=True)
class History:
    """Raw rows of E entities: values, times, and what must not be learnt.

    Values (E, L, C) with NaN = missing, time_s (E, L) ascending.
    """

    values: F32
    time_s: F64
    anomaly: Bool  # (E, L) known anomalies: input, but never a target
    rhythm: Bool  # (E,) False if times carry no information
    label: F32 | None = None  # (E, L) 1 = anomaly, 0 = normal, NaN = unknown, for a supervised head
    weight: F32 | None = None  # (E, L) of each target in the loss; None means 1

    def span(self, start: int, stop: int) -> History:
        """Rows start..stop of every entity."""
        return self._at((slice(None), slice(start, stop)), self.rhythm)

    def of(self, entities: Any) -> History:
        """All rows of the chosen entities."""
        return self._at(entities, self.rhythm[entities])

    def pieces(self, entity: Any, row: Any) -> History:
        """Rows (P, T) of entities (P, 1)."""
        return self._at((entity, row), self.rhythm[entity[:, 0]])

    def _at(self, index: Any, rhythm: Bool) -> History:
        label, weight = (
            None if part is None else part[index] for part in (self.label, self.weight)
        )
        return History(
            self.values[index], self.time_s[index], self.anomaly[index], rhythm, label, weight
        )


@dataclass(frozen=True, slots=True)
class Windows:
    """Inputs, targets and weights of one kind of window, as the network needs them."""

    x: F32  # (E, T, C, F1)
    r: F32  # (E, T, F2)
    step: F32  # (E, T, C)
    log_gap: F32  # (E, T)
    hour: NDArray[np.int32]  # (E, T)
    value_weight: F32  # (E, T, C)
    gap_weight: F32  # (E, T)
    hour_weight: F32  # (E, T)
    label: F32  # (E, T)
    label_weight: F32  # (E, T)

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Any) -> dict[str, Any]:
        """The chosen windows as a dict by field name."""
        return {f.name: getattr(self, f.name)[index] for f in fields(self)}

    def batches(self, rows: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Yield shuffled full batches of about `rows` channel rows."""
        size = max(1, min(len(self), rows // self.x.shape[2]))
        order = rng.permutation(len(self))
        for start in range(0, len(self) - size + 1, size):
            yield self.batch(order[start : start + size])


def young_lengths(spec: ModelSpec) -> list[int]:
    """The anchors of a new entity: k_min, doubling up to W."""
    lengths = [spec.k_min]
    while lengths[-1] < spec.window:
        lengths.append(min(2 * lengths[-1], spec.window))
    return lengths


def rows_needed(spec: ModelSpec, young: int | None = None) -> int:
    """L: number of raw rows of one window."""
    if young is None:
        return spec.scale_window + spec.stride
    return young + (spec.stride if young >= spec.window else young)


def windows(history: History, spec: ModelSpec, young: int | None = None) -> Windows:
    """One window per entity from its first rows_needed() rows.

    `young` is the number of events at the anchor, None for a grown entity.
    """
    length = rows_needed(spec, young)
    values, time_s = history.values[:, :length], history.time_s[:, :length]
    measured = spec.scale_window if young is None else young
    first = measured - min(spec.window, measured)
    exists = np.ones((len(values), measured), bool)
    anchor = features.anchor_of(values[:, :measured], exists, time_s[:, :measured])
    wide = Anchor(*(a[:, None] for a in (anchor.loc, anchor.scale, anchor.step, anchor.gap_s)))

    x, step = features.value_features(values, features.carry_forward(values, anchor.loc), wide)
    gaps = np.diff(time_s, axis=1, prepend=np.nan)
    log_gap = features.log_gap(forward(gaps), wide.gap_s)
    before = np.concatenate([np.zeros((len(values), 1), np.float32), log_gap[:, :-1]], axis=1)
    r = features.rhythm_features(log_gap, before, time_s) * history.rhythm[:, None, None].astype(
        np.float32
    )

    judged = np.broadcast_to(np.arange(length) >= measured, time_s.shape)
    learn = (judged & ~history.anomaly[:, :length]).astype(np.float32)
    if history.weight is not None:
        learn *= history.weight[:, :length]
    clock = learn * history.rhythm[:, None].astype(np.float32)
    label, label_weight = _labels(history, judged, length)
    cut = slice(first, None)
    return Windows(
        x=x[:, cut],
        r=r[:, cut],
        step=step[:, cut].astype(np.float32),
        log_gap=log_gap[:, cut],
        hour=features.hour_of_day(time_s)[:, cut].astype(np.int32),
        value_weight=(learn[:, :, None] * ~np.isnan(values))[:, cut].astype(np.float32),
        gap_weight=clock[:, cut],
        hour_weight=clock[:, cut],
        label=label[:, cut],
        label_weight=label_weight[:, cut],
    )


def _labels(history: History, judged: Bool, length: int) -> tuple[F32, F32]:
    if history.label is None:
        return np.zeros(judged.shape, np.float32), np.zeros(judged.shape, np.float32)
    known = judged & ~np.isnan(history.label[:, :length])
    return np.where(known, history.label[:, :length], 0).astype(np.float32), known.astype(
        np.float32
    )


def cut(
    history: History, length: int, stride: int, limit: int, rng: np.random.Generator
) -> History:
    """Pieces of `length` consecutive rows, every `stride` rows; at most `limit` at random."""
    entities, rows = history.time_s.shape
    if rows < length:
        raise InputError(f"history has {rows} rows, a window takes {length}")
    starts = np.arange(0, rows - length + 1, stride)
    pairs = np.stack(np.meshgrid(np.arange(entities), starts, indexing="ij"), axis=-1).reshape(
        -1, 2
    )
    pairs = pairs[rng.permutation(len(pairs))[:limit]]
    entity, row = pairs[:, :1], pairs[:, 1:] + np.arange(length)
    return history.pieces(entity, row)


def moved(pieces: History, span_s: float, rng: np.random.Generator) -> History:
    """Shift pieces in time, so that no calendar effect is learnt that was not seen twice.

    A history of less than two days is shifted anywhere in the week, one of less than two weeks by
    whole days, a longer one not at all.
    """
    if span_s >= TWO_WEEKS_S:
        return pieces
    days = rng.uniform(0, WEEK_DAYS, (len(pieces.time_s), 1))
    by_s = DAY_S * (days if span_s < TWO_DAYS_S else np.floor(days))
    return replace(pieces, time_s=pieces.time_s + by_s)


@dataclass(frozen=True, slots=True)
class HistorySet:
    """Recorded history as a data set with a held-out validation part.

    A quarter of the entities validates, or, with few entities, the last rows of each. Random pieces
    of the rest are learnt, `pieces` windows per epoch. A fraction of them are young windows, so
    that new entities are judged well too.
    """

    spec: ModelSpec
    history: History
    pieces: int = 512
    young_share: float = 0.2
    validation_share: float = 0.25

    def __post_init__(self) -> None:
        rows, needed = self.history.time_s.shape[1], 2 * rows_needed(self.spec, self.spec.k_min)
        if rows < needed:
            raise InputError(
                f"history has {rows} rows per entity, training takes at least {needed}"
            )

    def epoch(self, rng: np.random.Generator, rows: int) -> Iterator[dict[str, Any]]:
        batches = [
            b
            for w in self._draw(self._part(training=True), self.pieces, rng)
            for b in w.batches(rows, rng)
        ]
        for index in rng.permutation(len(batches)):
            yield batches[index]

    def validation(self) -> Iterator[dict[str, Any]]:
        """The same windows every time, from rows that no epoch learns from."""
        rng = np.random.default_rng(0)
        for w in self._draw(self._part(training=False), max(1, self.pieces // 2), rng):
            yield w.batch(slice(None))

    def _part(self, *, training: bool) -> History:
        pieces, rows = self.history.time_s.shape
        if pieces >= MANY_PIECES:
            return self.history.of(
                (np.arange(pieces) % MANY_PIECES < MANY_PIECES * self.validation_share) != training
            )
        held = max(int(rows * self.validation_share), min(rows // 2, rows_needed(self.spec)))
        return (
            self.history.span(0, rows - held) if training else self.history.span(rows - held, rows)
        )

    def _draw(self, part: History, pieces: int, rng: np.random.Generator) -> Iterator[Windows]:
        lengths = [None, *young_lengths(self.spec)]
        shares = [
            1 - self.young_share,
            *[self.young_share / (len(lengths) - 1)] * (len(lengths) - 1),
        ]
        for young, share in zip(lengths, shares, strict=True):
            length = rows_needed(self.spec, young)
            if part.time_s.shape[1] >= length:
                drawn = cut(part, length, max(1, length // 16), max(1, int(share * pieces)), rng)
                yield windows(moved(drawn, self._span_s, rng), self.spec, young)

    @property
    def _span_s(self) -> float:
        return float(self.history.time_s.max() - self.history.time_s.min())
