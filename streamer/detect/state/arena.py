"""The slots of entities. They are preallocated; the least recently seen entity is evicted.

The order of eviction is that of the log, so it does not depend on how the log was cut into batches.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from streamer.event import F32, I32, I64, Bool

FEW = 256  # rows


class Slots:
    """Entity name <-> slot number.

    `fresh` slots of an assignment hold the state of another entity: reset them first.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.names: list[str | None] = [None] * capacity
        self.evicted = 0
        self._table: OrderedDict[str, int] = OrderedDict()  # least recently seen first

    def __len__(self) -> int:
        """Number of taken slots: those from 0 on."""
        return len(self._table)

    def items(self) -> list[tuple[str, int]]:
        """Return (name, slot) pairs, least recently seen first."""
        return list(self._table.items())

    def find(self, name: str) -> int | None:
        """Return the slot of a name without marking it as seen; None if it has none."""
        return self._table.get(name)

    def assign(self, names: Sequence[str]) -> tuple[list[int], list[int], list[tuple[str, int]]]:
        """Return slots of distinct names, which of them are fresh, and who was evicted from where.

        The order is that of first appearance. It stops before the first name for which only
        entities of this call could be evicted, so the result may be shorter.
        """
        slots: list[int] = []
        fresh: list[int] = []
        gone: list[tuple[str, int]] = []
        for name in names[: self.capacity]:
            slot = self._table.get(name)
            if slot is None:
                slot = self._admit(name, gone)
                fresh.append(slot)
            else:
                self._table.move_to_end(name)
            slots.append(slot)
        return slots, fresh, gone

    def touch(self, names: Sequence[str]) -> None:
        """Mark names as seen, the last one most recently."""
        for name in names:
            self._table.move_to_end(name)

    def _admit(self, name: str, gone: list[tuple[str, int]]) -> int:
        if len(self._table) < self.capacity:
            slot = len(self._table)
        else:
            gone.append(self._table.popitem(last=False))
            slot = gone[-1][1]
            self.evicted += 1
        self._table[name] = slot
        self.names[slot] = name
        return slot


class Block:
    """`rows` float32 numbers per entity and channel; one entity is one stretch of memory."""

    def __init__(self, slots: int, rows: int, channels: int) -> None:
        self.array = np.zeros((slots, rows * channels), np.float32)
        self._shape = (rows, channels)

    def gather(self, slots: I64) -> F32:
        """Return a copy, (rows, N, C), each row contiguous."""
        taken = self.array[slots].reshape(len(slots), *self._shape)
        return np.ascontiguousarray(taken.transpose(1, 0, 2))

    def scatter(self, slots: I64, rows: F32 | Sequence[F32]) -> None:
        stacked = (
            np.stack(rows, axis=1) if not isinstance(rows, np.ndarray) else rows.transpose(1, 0, 2)
        )
        self.array[slots] = stacked.reshape(len(slots), self.array.shape[1])

    def reset(self, slots: I64) -> None:
        self.array[slots] = 0

    @property
    def nbytes(self) -> int:
        return self.array.nbytes


def appearances(entity: I32) -> tuple[I32, I64, I64]:
    """Return the distinct numbers of rows (N,), their first rows, and each row's place (N,).

    The order is that of first appearance.
    """
    rows = np.arange(len(entity))
    if _few_and_distinct(entity):
        return entity, rows, rows
    index, first, inverse = np.unique(entity, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = rows[: len(order)]
    return index[order], first[order], place[inverse]


def _few_and_distinct(numbers: I32 | I64) -> bool:
    """Return whether the numbers are few and distinct; np.unique is twenty times slower."""
    return len(numbers) <= FEW and len(set(numbers.tolist())) == len(numbers)


def by_last(place: I64, count: int) -> I64:
    """Return places 0 to `count`, ordered by the last row (N,) that names each."""
    last = np.zeros(count, np.int64)
    np.maximum.at(last, place, np.arange(len(place)))
    return np.argsort(last)


def waves(slots: I64, left: I64) -> list[I64]:
    """Return row numbers (N,) in waves: each has an entity at most once, in log order.

    Wave k holds the k-th event of every entity. But anchoring is expensive, and costs little more
    for many entities than for one. So an entity with `left` (N,) events until its next anchor
    begins later, by less than the root of the number of waves. Then many are anchored in one wave.
    """
    if _few_and_distinct(slots):
        return [np.arange(len(slots))]
    order = np.argsort(slots, kind="stable")
    grouped = slots[order]
    first = np.empty(len(grouped), np.bool_)
    first[:1] = True
    np.not_equal(grouped[1:], grouped[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    if len(starts) == len(slots):
        return [np.arange(len(slots))]
    rank = np.arange(len(slots)) - np.repeat(starts, np.diff(np.append(starts, len(slots))))
    rank += -left[order] % math.isqrt(int(rank.max()) + 1)
    by_rank = np.argsort(rank, kind="stable")
    cuts = np.cumsum(np.bincount(rank))[:-1]
    return [np.sort(wave) for wave in np.split(order[by_rank], cuts) if len(wave)]


def select(mask: Bool, *arrays: np.ndarray) -> list[np.ndarray]:
    """Return the masked rows of every array; the arrays themselves if all rows are selected."""
    return list(arrays) if mask.all() else [a[mask] for a in arrays]
