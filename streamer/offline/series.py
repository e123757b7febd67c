"""Sources read to their end as training data: pieces of consecutive rows of one entity.

Axes: P pieces, L rows, C channels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from streamer.errors import InputError
from streamer.event import F32, F64, Bool, EventBatch
from streamer.protocols import Source

POLL_S = 1.0
# rows of a piece: covers every season that the network can use, and still allows many held-out
# pieces
LONGEST = 8192
# The longest piece length that keeps at least this fraction of the most rows any length keeps: long
# histories matter more than a few rows.
KEPT_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Series:
    """All rows of one entity in time order."""

    stream: str
    entity: str
    time_s: F64  # (L,) ascending
    values: F32  # (L, C), NaN = missing

    def __len__(self) -> int:
        return len(self.time_s)

    def since(self, start_s: float) -> Series:
        """The rows at or after a time."""
        first = int(np.searchsorted(self.time_s, start_s))
        return Series(self.stream, self.entity, self.time_s[first:], self.values[first:])


@dataclass(frozen=True, slots=True)
class Rows:
    """Pieces of equal length.

    `left_out` rows belong to short entities or remainders.
    """

    values: F32  # (P, L, C), NaN = missing
    time_s: F64  # (P, L) ascending
    mask: Bool  # (P, L) True: known anomaly, not to be learnt
    entities: int
    left_out: int
    owner: tuple[tuple[str, str], ...] = ()  # (P,) stream and entity of each piece


def read_rows(source: Source, *, needed: int, windows: Sequence[tuple[float, float]] = ()) -> Rows:
    """Read all rows of a source by its first entity key.

    InputError if no entity has `needed` rows.
    """
    rows = rows_of(series_of(read_batches(source)), needed=needed)
    for start, end in windows:
        rows.mask[(rows.time_s >= start) & (rows.time_s <= end)] = True
    return rows


def read_batches(
    source: Source, *, most: int | None = None, stop: Callable[[], bool] = lambda: False
) -> deque[EventBatch]:
    """Read a source until its end or `stop`.

    Keeps whole batches, about the `most` newest rows.
    """
    kept: deque[EventBatch] = deque()
    rows = 0
    while not stop() and (poll := source.poll(POLL_S)) is not None:
        kept.extend(poll.batches)
        rows += sum(map(len, poll.batches))
        while most is not None and rows - len(kept[0]) >= most:
            rows -= len(kept.popleft())
    return kept


def series_of(batches: Iterable[EventBatch]) -> list[Series]:
    """The rows of each entity, by the first entity key."""
    found: dict[tuple[str, str], list[tuple[F64, F32]]] = {}
    for batch in batches:
        entity = batch.entity[:, 0]
        for index in np.unique(entity):
            mine = entity == index
            owner = (batch.stream, batch.keys[index])
            found.setdefault(owner, []).append((batch.time_s[mine], batch.values[mine]))
    return [Series(*owner, *_ordered(pieces)) for owner, pieces in found.items()]


def _ordered(pieces: Sequence[tuple[F64, F32]]) -> tuple[F64, F32]:
    time_s, values = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.argsort(time_s, kind="stable")
    return time_s[order], values[order]


def rows_of(series: Sequence[Series], *, needed: int) -> Rows:
    """Cut series into pieces of one length; channels that a stream lacks are missing.

    InputError if no series has `needed` rows.
    """
    long = [one for one in series if len(one) >= needed]
    if not long:
        most = max(map(len, series), default=0)
        raise InputError(
            f"training needs {needed} rows of an entity, the longest of {len(series)} has {most}"
        )
    length, channels = (
        piece_length([len(one) for one in long]),
        max(one.values.shape[1] for one in long),
    )
    pieces = [
        ((one.stream, one.entity), time_s, _widened(values, channels))
        for one in long
        for time_s, values in pieces_of(one.time_s, one.values, length)
    ]
    owner, times, blocks = zip(*pieces, strict=True)
    time_s, values = np.stack(times), np.stack(blocks)
    left_out = sum(map(len, series)) - time_s.size
    owners = {one for one, _, _ in pieces}
    return Rows(values, time_s, np.zeros(time_s.shape, bool), len(owners), left_out, owner)


def piece_length(lengths: Sequence[int]) -> int:
    """The longest piece that keeps nearly as many rows as the best length."""
    candidates = sorted({min(length, LONGEST) for length in lengths})
    kept = {piece: sum(length // piece * piece for length in lengths) for piece in candidates}
    return max(piece for piece in candidates if kept[piece] >= KEPT_SHARE * max(kept.values()))


def _widened(values: F32, channels: int) -> F32:
    lacking = channels - values.shape[1]
    return np.pad(values, ((0, 0), (0, lacking)), constant_values=np.nan) if lacking else values


def pieces_of(time_s: F64, values: F32, length: int) -> list[tuple[F64, F32]]:
    """The newest `length` rows, the `length` before them, and so on.

    The remainder at the old end is left out.
    """
    ends = range(len(time_s), length - 1, -length)
    return [(time_s[end - length : end], values[end - length : end]) for end in ends]
