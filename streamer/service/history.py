"""A source read to its end as raw history for training: rectangles of consecutive rows of one entity each.

Axes: P pieces, L rows, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamer.errors import InputError
from streamer.event import F32, F64, Bool, EventBatch
from streamer.protocols import Source

POLL_S = 1.0
LONGEST = 8192  # rows of a piece: long enough for every season that the network can use, short enough to hold out often


@dataclass(frozen=True, slots=True)
class Rows:
    """Pieces of equal length. `left_out` rows belong to entities or remainders that are too short."""

    values: F32  # (P, L, C), NaN = missing
    time_s: F64  # (P, L) ascending
    mask: Bool  # (P, L) True: known anomaly, not to be learnt
    entities: int
    left_out: int


def read_rows(source: Source, *, needed: int, windows: Sequence[tuple[float, float]] = ()) -> Rows:
    """All rows of a source by its first entity key. InputError if no entity has `needed` rows."""
    by_entity: dict[str, list[tuple[F64, F32]]] = {}
    while (poll := source.poll(POLL_S)) is not None:
        for batch in poll.batches:
            _sort_in(batch, by_entity)
    series = [_ordered(pieces) for pieces in by_entity.values()]
    total, long = sum(len(time_s) for time_s, _ in series), [s for s in series if len(s[0]) >= needed]
    if not long:
        most = max((len(time_s) for time_s, _ in series), default=0)
        raise InputError(f"training needs {needed} rows of an entity, the longest of {len(series)} has {most}")
    length = min(LONGEST, *(len(time_s) for time_s, _ in long))
    pairs = [piece for one in long for piece in pieces_of(*one, length)]
    time_s, values = (np.stack(column) for column in zip(*pairs, strict=True))
    mask = np.zeros(time_s.shape, bool)
    for start, end in windows:
        mask |= (time_s >= start) & (time_s <= end)
    return Rows(values, time_s, mask, len(long), total - time_s.size)


def _sort_in(batch: EventBatch, by_entity: dict[str, list[tuple[F64, F32]]]) -> None:
    entity = batch.entity[:, 0]
    for index in np.unique(entity):
        mine = entity == index
        by_entity.setdefault(batch.keys[index], []).append((batch.time_s[mine], batch.values[mine]))


def _ordered(pieces: Sequence[tuple[F64, F32]]) -> tuple[F64, F32]:
    time_s, values = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.argsort(time_s, kind="stable")
    return time_s[order], values[order]


def pieces_of(time_s: F64, values: F32, length: int) -> list[tuple[F64, F32]]:
    """The newest `length` rows, the `length` before them, and so on; what remains at the old end is left out."""
    ends = range(len(time_s), length - 1, -length)
    return [(time_s[end - length : end], values[end - length : end]) for end in ends]
