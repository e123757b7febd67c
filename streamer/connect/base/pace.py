"""Replay at recorded speed: a poll is held back until its event times are due."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from streamer.connect.base.unpartitioned import WholeSource
from streamer.errors import ConfigError
from streamer.event import EventBatch, Poll
from streamer.protocols import Clock

Wait = Callable[[float], object]


class Pacer:
    """Holds a poll and releases its rows when they are due.

    `speed` is seconds of event time per second of the clock; None releases at once. Time zero is
    the first event released. Events out of order are due with the latest event before them.
    """

    def __init__(
        self, speed: float | None, clock: Clock = time.monotonic, wait: Wait | None = None
    ) -> None:
        if speed is not None and not speed > 0:
            raise ConfigError("source.pace", "must be above 0", speed)
        self._speed, self._clock, self._stop = speed, clock, threading.Event()
        self._wait: Wait = wait or self._stop.wait
        self._held: Poll | None = None
        self._origin: tuple[float, float] | None = None  # (clock, event time)
        self._latest = -np.inf

    @property
    def holding(self) -> bool:
        return self._held is not None

    def hold(self, poll: Poll) -> None:
        self._held = poll

    def rest(self, timeout_s: float) -> None:
        """Wait without releasing, as a paused source does in a poll."""
        self._wait(timeout_s)

    def wake(self) -> None:
        """End every wait, now and in future."""
        self._stop.set()

    def release(self, timeout_s: float) -> Poll:
        """Return all rows that are due now or within the timeout, waiting for them; else an empty
        Poll.
        """
        if self._held is None:
            return Poll()
        if self._speed is None or not any(map(len, self._held.batches)):
            return self._take_all()
        first_due = self._due_at(self._first_time())
        early = first_due - self._clock()
        if early > 0:
            self._wait(min(early, timeout_s))
        return self._take_due()

    def _first_time(self) -> float:
        assert self._held is not None
        return float(next(batch for batch in self._held.batches if len(batch)).time_s[0])

    def _due_at(self, time_s: float) -> float:
        if self._origin is None:
            self._origin = (self._clock(), time_s)
        assert self._speed is not None
        return self._origin[0] + (max(time_s, self._latest) - self._origin[1]) / self._speed

    def _take_all(self) -> Poll:
        poll, self._held = self._held, None
        return poll or Poll()

    def _take_due(self) -> Poll:
        """Split the held poll at the current event time.

        Rejected records leave with the first rows of their poll.
        """
        assert self._held is not None
        assert self._origin is not None
        assert self._speed is not None
        now_s = self._origin[1] + (self._clock() - self._origin[0]) * self._speed
        out: list[EventBatch] = []
        rest: list[EventBatch] = []
        for batch in self._held.batches:
            latest = np.maximum.accumulate(np.maximum(batch.time_s, self._latest))
            n = 0 if rest else int(np.searchsorted(latest, now_s + 1e-9, side="right"))
            if n:
                self._latest = float(latest[n - 1])
                out.append(batch.rows(slice(0, n)))
            if n < len(batch):
                rest.append(batch.rows(slice(n, None)))
        rejected = self._held.rejected if out else ()
        self._held = Poll(tuple(rest), self._held.rejected if not out else ()) if rest else None
        return Poll(tuple(out), rejected)


class PacedSource(WholeSource, ABC):
    """Base of sources that hold the polls of `_fetch` until they are due."""

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._paused = self._closed = False

    def poll(self, timeout_s: float) -> Poll | None:
        if self._closed:
            return None
        if self._paused:
            self._pacer.rest(timeout_s)
            return Poll()
        if not self._pacer.holding:
            poll = self._fetch(timeout_s)
            if poll is None:
                return None
            self._pacer.hold(poll)
        return self._pacer.release(timeout_s)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def close(self) -> None:
        self._closed = True
        self._pacer.wake()

    @abstractmethod
    def _fetch(self, timeout_s: float) -> Poll | None:
        """Return the next poll.

        An empty Poll means that nothing came within the timeout, None that the source has ended.
        """
