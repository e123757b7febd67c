"""The recent events of every entity: one preallocated arena of rings."""

from __future__ import annotations

import numpy as np

from streamer.event import F32, F64, I64, Bool


class Ring:
    """The last `length` raw events of each slot, and the event count of its entity.

    Axes: B slots, T time, C channels.
    """

    def __init__(self, slots: int, length: int, channels: int) -> None:
        self.length = length
        self.values = np.zeros((slots, length, channels), np.float32)
        self.time_s = np.zeros((slots, length), np.float64)
        self.offset = np.zeros((slots, length), np.int64)
        self.count = np.zeros(slots, np.int64)
        self.newest_s = np.full(slots, -np.inf)  # largest event time seen

    def push(self, slots: I64, values: F32, time_s: F64, offset: I64) -> None:
        """Append one event to each of the distinct slots."""
        at = self.count[slots] % self.length
        self.values[slots, at] = values
        self.time_s[slots, at] = time_s
        self.offset[slots, at] = offset
        self.count[slots] += 1
        self.newest_s[slots] = np.maximum(self.newest_s[slots], time_s)

    def last(self, slots: I64, n: int) -> tuple[F32, F64, I64, Bool]:
        """Return copies of the last n events, oldest first.

        They are values (B, n, C), time (B, n), offset (B, n) and whether each exists (B, n).
        """
        number = self.count[slots][:, None] + np.arange(-n, 0)  # (B, n)
        at, rows = number % self.length, slots[:, None]
        return self.values[rows, at], self.time_s[rows, at], self.offset[rows, at], number >= 0

    def previous(self, slots: I64) -> tuple[F32, F64]:
        """Return values (B, C) and time (B,) of the last event; time is NaN if there is none."""
        at = (self.count[slots] - 1) % self.length
        none = self.count[slots] == 0
        return self.values[slots, at], np.where(none, np.nan, self.time_s[slots, at])

    def reset(self, slots: I64) -> None:
        self.count[slots] = 0
        self.newest_s[slots] = -np.inf

    @property
    def nbytes(self) -> int:
        return sum(
            a.nbytes for a in (self.values, self.time_s, self.offset, self.count, self.newest_s)
        )
