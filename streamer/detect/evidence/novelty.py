"""Value novelty: the distance of a value to the nearest one that the entity showed in its last
MEMORY events.

In an absolute unit (1.6 % of the trimmed past range): calibrating it by its own tail ruins it. The
memory is a sketch: bins over a warped axis (asinh of the scaled value), each with the number of its
last visit, so it is bounded and needs no history.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from streamer.detect.evidence.base import Evidence, Observation, inside, over_channels, pool
from streamer.detect.state.arrays import clip
from streamer.event import F32, I64, Bool, ChannelPart
from streamer.settings import DetectSettings

BINS = 512
MEMORY = 8000  # events after which a value is forgotten
EDGE = 7.0
# the axis ends at +-sinh(EDGE) / WARP = +-137 scales; bins are 0.007 scales wide near the centre
WARP = 4.0
UNIT = 0.016  # of the trimmed range
FAR = 100.0
TYPICAL_RANGE = 4.0  # mean deviations; stands in for the range until it has been seen
GAIN = 11.5  # evidence per decade of distance: 1.7 units away is the alarm line, FAR units away 23
DAY_S = 86_400.0
UNTIMED_DAY = 2000  # events that stand for a day where events have no time
REFRESH = 64  # events between looks at the range
FIRST_FIT = 16  # events before the axis is laid; refitted at every doubling up to LAST_FIT
LAST_FIT = 4096
# The memory begins with the axis. With one value in it every other one is far: white noise alarmed
# at once.
JUDGE_FROM = 2 * FIRST_FIT
# The distance that counts shrinks with the number of remembered values until they are so many.
POOR = 512.0
PART_OF_DAY = 15.0  # the unit of a memory of moments is so many times coarser than that of a day


class Novelty(Evidence):
    """See the module. Remembers from FIRST_FIT judged events on, judges from JUDGE_FROM on."""

    name = "novelty"

    def __init__(self, settings: DetectSettings, prior: Mapping[str, Any]) -> None:
        slots, channels = settings.max_entities, len(settings.channels)
        shape = (slots, channels)
        self._visit = np.zeros(
            (*shape, BINS), np.int32
        )  # judged events + 1 at the last visit, 0 = never
        self._twice = np.zeros(
            (*shape, BINS), np.bool_
        )  # visited more than once: part of the trimmed range
        self._axis = np.zeros((slots, 2, channels), np.float32)  # centre and scale of the warp
        self._range = np.zeros((slots, 2, channels), np.float32)  # trimmed low and high
        self._moments = np.zeros(
            (slots, 2, channels), np.float32
        )  # running centre and mean deviation
        self._weight = np.array(settings.watched, np.float32)
        self._direction = settings.direction
        self._timed = settings.rhythm

    @classmethod
    def wanted(cls, settings: DetectSettings) -> bool:
        return settings.profile == "full"

    def fold(self, seen: Observation) -> tuple[F32, F32]:
        slots, judged = seen.slots, seen.judged
        self._learn_moments(slots, judged, seen.values)
        self._fit(slots, judged)
        value = np.where(np.isnan(seen.values), self._axis[slots, 0], seen.values)
        at = self._bin(slots, value)
        e = self._distance(slots, judged, value, at, self._coarse(judged, seen.outlook.gap_unit_s))
        e *= ~np.isnan(seen.values) & (judged >= JUDGE_FROM)[:, None]
        self._remember(slots, judged, at, ~np.isnan(seen.values))
        refresh = (judged % REFRESH == 0) & (judged >= FIRST_FIT)
        if refresh.any():
            self._trim(slots[refresh])
        strength, split = pool(e * self._weight)
        return strength.astype(np.float32), over_channels(split)

    def _coarse(self, judged: I64, gap_s: F32) -> F32:
        """The factor (N,) on the unit of distance while the memory is poor: few events, or a small
        part of a day.

        What is a little beyond an hour's range is not new, only not yet seen; what is far beyond it
        is.
        """
        held = np.minimum(judged, MEMORY)
        day = np.minimum(held * gap_s / DAY_S if self._timed else held / UNTIMED_DAY, 1)
        few = POOR / np.maximum(judged - FIRST_FIT, 1)
        return np.maximum(few, 1 + PART_OF_DAY * (1 - day)).astype(np.float32)

    def _learn_moments(self, slots: I64, judged: I64, values: F32) -> None:
        centre, spread = self._moments[slots, 0], self._moments[slots, 1]
        # Deviations count from the first known value, not from 0: NaN = none so far.
        first = (judged == 0)[:, None] | np.isnan(centre)
        centre, spread = np.where(first, values, centre), np.where(first, 0, spread)
        off = np.where(np.isnan(values), 0, values - centre)
        rate = (1 / np.minimum(judged + 1, MEMORY)).astype(np.float32)[:, None]
        self._moments[slots, 0] = centre + rate * off
        self._moments[slots, 1] = np.where(
            np.isnan(values), spread, spread + rate * (np.abs(off) - spread)
        )

    def _fit(self, slots: I64, judged: I64) -> None:
        """Lay the axis at FIRST_FIT judged events and again at every doubling; old bins move to
        their new places.
        """
        due = (judged >= FIRST_FIT) & (judged <= LAST_FIT) & (judged & (judged - 1) == 0)
        for slot in slots[due]:
            old = self._axis[slot].copy()
            centre, spread = np.nan_to_num(self._moments[slot])
            scale = np.maximum(spread, np.maximum(1e-6 * np.abs(centre), 1e-12))
            self._axis[slot] = centre, scale
            if old[1].any():
                self._move(slot, old)

    def _move(self, slot: int, old: F32) -> None:
        centres = old[0][:, None] + old[1][:, None] * _unwarp(np.arange(BINS) + 0.5)  # (C, BINS)
        at = _warp((centres - self._axis[slot, 0][:, None]) / self._axis[slot, 1][:, None])
        visit, twice = self._visit[slot].copy(), self._twice[slot].copy()
        self._visit[slot], self._twice[slot] = 0, False
        channel = np.broadcast_to(np.arange(len(visit))[:, None], at.shape)
        np.maximum.at(self._visit[slot], (channel, at), visit)
        np.logical_or.at(self._twice[slot], (channel, at), twice)
        self._trim(np.array([slot]))

    def _bin(self, slots: I64, value: F32) -> I64:
        return _warp((value - self._axis[slots, 0]) / np.maximum(self._axis[slots, 1], 1e-12))

    def _distance(self, slots: I64, judged: I64, value: F32, at: I64, coarse: F32) -> F32:
        """Evidence (N, C): 0 where the value's own bin was visited within MEMORY, else by the
        nearest that was.
        """
        visit = self._visit[slots[:, None], np.arange(value.shape[1]), at]
        oldest = np.maximum(judged + 1 - MEMORY, 1)
        e = np.zeros(value.shape, np.float32)
        n, j = np.nonzero(visit < oldest[:, None])
        if len(n):
            e[n, j] = self._far(slots[n], j, value[n, j], at[n, j], oldest[n], coarse[n])
        return e

    def _far(self, slots: I64, channel: I64, value: F32, at: I64, oldest: I64, coarse: F32) -> F32:
        """Evidence of M values (M,) whose own bins are not alive, in the given slots
        and channels.
        """
        alive = self._visit[slots, channel] >= oldest[:, None]  # (M, BINS)
        above, below, has_above, has_below = _nearest(alive, at)
        centre, scale = self._axis[slots, 0, channel], self._axis[slots, 1, channel]
        up = np.abs(centre + scale * _CENTRE[above] - value)
        down = np.abs(value - centre - scale * _CENTRE[below])
        distance = np.minimum(np.where(has_above, up, np.inf), np.where(has_below, down, np.inf))
        low, high = self._range[slots, 0, channel], self._range[slots, 1, channel]
        unit = coarse * UNIT * np.maximum(high - low, np.maximum(TYPICAL_RANGE * scale, 1e-12))
        wanted = (has_above | has_below) & self._right_side(has_above, has_below)
        return np.where(wanted, GAIN * np.log10(1 + np.minimum(distance / unit, FAR)), 0)

    def _right_side(self, has_above: Bool, has_below: Bool) -> Bool:
        """A one-sided stream cares only for values beyond all known ones on its side."""
        if self._direction == "both":
            return np.ones(len(has_above), np.bool_)
        return ~has_above if self._direction == "above" else ~has_below

    def _remember(self, slots: I64, judged: I64, at: I64, known: np.ndarray) -> None:
        n, j = np.nonzero(known & (judged >= FIRST_FIT)[:, None])
        rows, bins = slots[n], at[n, j]
        self._twice[rows, j, bins] |= self._visit[rows, j, bins] > 0
        self._visit[rows, j, bins] = judged[n] + 1

    def _trim(self, slots: I64) -> None:
        """Range of the bins visited more than once."""
        twice = self._twice[slots]  # (M, C, BINS)
        some = twice.any(axis=2)
        first, last = twice.argmax(axis=2), BINS - 1 - twice[:, :, ::-1].argmax(axis=2)
        centre, scale = self._axis[slots, 0], self._axis[slots, 1]
        self._range[slots, 0] = np.where(some, centre + scale * _unwarp(first + 0.5), centre)
        self._range[slots, 1] = np.where(some, centre + scale * _unwarp(last + 0.5), centre)

    def reset(self, slots: I64) -> None:
        for array in self.state().values():
            array[slots] = 0

    def state(self) -> Mapping[str, np.ndarray]:
        return {
            "visit": self._visit,
            "twice": self._twice,
            "axis": self._axis,
            "range": self._range,
            "moments": self._moments,
        }

    def phrase(self, part: ChannelPart) -> str:
        return "is {value}, a value it has not shown before ({band} now)" if inside(part) else ""


def _nearest(mask: Bool, at: I64) -> tuple[I64, I64, Bool, Bool]:
    """Columns of the first True of each row (M,) from column `at` on and of the last before it, and
    which there are.

    In the list of all that is True, which is a third of the time of looking through every row.
    """
    rows, columns = mask.shape
    begin, marked = np.arange(rows) * columns, np.flatnonzero(mask)
    place = np.searchsorted(marked, begin + at)
    marked = np.concatenate([[-1], marked, [mask.size]])
    above, below = marked[place + 1] - begin, marked[place] - begin
    has_above, has_below = above < columns, below >= 0
    return np.where(has_above, above, 0), np.where(has_below, below, 0), has_above, has_below


def _warp(z: F32) -> I64:
    """Bin number of a scaled value."""
    u = np.arcsinh(z * WARP) / EDGE
    return clip(((u + 1) * (BINS / 2)).astype(np.int64), 0, BINS - 1)


def _unwarp(bins: np.ndarray) -> np.ndarray:
    """Scaled value at a (fractional) bin number."""
    return np.sinh((bins / (BINS / 2) - 1) * EDGE) / WARP


_CENTRE = _unwarp(np.arange(BINS) + 0.5).astype(np.float32)
