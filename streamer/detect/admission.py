"""Rules for events before the ring: late, repeated, out-of-order and empty events."""

from __future__ import annotations

import numpy as np

from streamer.detect.state.ring import Ring
from streamer.event import F32, F64, I64, U8, Bool, Fate
from streamer.settings import DetectSettings

# After this many late events in a row the entity's clock counts as set back, and its history starts
# again.
CLOCK_RESET_RUN = 32


class Admission:
    """Checks events of distinct slots against the newest events in the ring."""

    def __init__(self, settings: DetectSettings, ring: Ring) -> None:
        self._settings, self._ring = settings, ring
        self._late_run = np.zeros(settings.max_entities, np.int32)
        self.out_of_order = 0
        self.clock_resets = 0
        self._restart_after_s = min(settings.idle_after_s, settings.max_gap_s)

    def judge(self, slots: I64, time_s: F64, values: F32) -> tuple[U8, Bool]:
        """Return each event's fate (SCORED = accepted), and which entities restart before it."""
        newest = self._ring.newest_s[slots]
        late = time_s < newest - self._settings.late_s
        run = np.where(late, self._late_run[slots] + 1, 0)
        set_back = run >= CLOCK_RESET_RUN
        self._late_run[slots] = np.where(set_back, 0, run)
        late &= ~set_back
        restart = set_back | (time_s - newest > self._restart_after_s) & np.isfinite(newest)
        repeated = self._repeated(slots, time_s, values) & ~restart

        fate = np.full(len(slots), Fate.SCORED, np.uint8)
        if self._settings.missing == "drop":
            fate[np.isnan(values).all(axis=1)] = Fate.MISSING
        fate[repeated], fate[late] = Fate.DUPLICATE, Fate.LATE
        self.out_of_order += int(np.count_nonzero((time_s < newest) & ~late & ~restart))
        self.clock_resets += int(np.count_nonzero(set_back))
        return fate, restart

    def _repeated(self, slots: I64, time_s: F64, values: F32) -> Bool:
        last, at = self._ring.previous(slots)
        same_time = time_s == at
        if self._settings.duplicates == "keep" or not same_time.any():
            return np.zeros(len(slots), np.bool_)
        same = (values == last) | (np.isnan(values) & np.isnan(last))
        return same_time & same.all(axis=1)

    def reset(self, slots: I64) -> None:
        self._late_run[slots] = 0

    def state(self) -> dict[str, np.ndarray]:
        return {"late_run": self._late_run}
