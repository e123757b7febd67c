"""The present moment on a stream's event-time axis: what silence is measured against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamer.event import F64


@dataclass(slots=True)
class EventClock:
    """Event time of the newest data, running on with the wall clock while a live source has nothing
    to say.

    `pace` is the event seconds that pass in a second: 1 for a live source, N for a replay at N
    times its speed, 0 for a replay flat out, where only the data move the time and every run is the
    same.
    """

    pace: float
    now_s: float | None = None
    _wall_s: float | None = None

    def heard(self, time_s: F64) -> None:
        """Data came. Their median, not their maximum: one event stamped in the far future must not
        silence the rest.
        """
        known = time_s[np.isfinite(time_s)]
        if known.size:
            self.now_s = _median(known)
            # the time up to now is in the data: the wall clock counts from the next look on
            self._wall_s = None

    def run_on(self, wall_s: float, *, flowing: bool) -> None:
        """Wall time passed. It counts only while the source was well and everything read was
        judged.
        """
        elapsed_s = 0.0 if self._wall_s is None else max(wall_s - self._wall_s, 0.0)
        self._wall_s = wall_s
        if flowing and self.now_s is not None:
            self.now_s += elapsed_s * self.pace


def _median(a: F64) -> float:
    """As np.median of a whole array, which takes 30 us."""
    ordered = np.sort(a)
    return float((ordered[(len(a) - 1) // 2] + ordered[len(a) // 2]) / 2)
