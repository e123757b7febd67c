"""A source that delivers its history at once and its live part at a pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from streamer.connect.base.pace import Pacer, Wait
from streamer.event import EventBatch, Lease, Poll, Position
from streamer.protocols import Clock, Source

# One batch per event would cost a network step each; ten batches a second look smooth at a tenth of
# the cost.
FRAME_S = 0.1


class HistorySource:
    """Wraps a source: events before `live_start_s` at once, later ones at `speed`.

    Events must be in order of time. Nothing is delivered until `ready` is true. Used by the
    reader's thread, as every source.
    """

    def __init__(
        self,
        source: Source,
        live_start_s: float,
        speed: float,
        *,
        ready: Callable[[], bool] = lambda: True,
        clock: Clock = time.monotonic,
        wait: Wait | None = None,
    ) -> None:
        self.channels = source.channels
        self.live = False  # whether the history is delivered completely
        self._source, self._live_start_s, self._ready = source, live_start_s, ready
        self._pacer = Pacer(speed, clock, wait)
        self._paused = False

    def poll(self, timeout_s: float) -> Poll | None:
        if self._paused or not self._ready():
            self._pacer.rest(timeout_s)
            return Poll()
        if not self._pacer.holding:
            poll = self._source.poll(timeout_s)
            if poll is None or not any(map(len, poll.batches)):
                return poll
            past, present = split(poll, self._live_start_s)
            if any(map(len, present.batches)):
                self._pacer.hold(present)
            if past.records:
                return past
        self.live = True
        self._pacer.rest(min(FRAME_S, timeout_s))
        return self._pacer.release(0.0)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    @property
    def problem(self) -> str | None:
        return self._source.problem

    @property
    def at_end(self) -> bool:
        return self._source.at_end

    @property
    def lags(self) -> Mapping[Lease, int]:
        return self._source.lags

    @property
    def truncations(self) -> int:
        return self._source.truncations

    @property
    def degraded(self) -> str | None:
        return self._source.degraded

    def holds(self, lease: Lease) -> bool:
        return self._source.holds(lease)

    def commit(self, positions: Mapping[Lease, Position]) -> None:
        self._source.commit(positions)

    def committed(self, lease: Lease) -> int | None:
        return self._source.committed(lease)

    def close(self) -> None:
        self._source.close()
        self._pacer.wake()


def split(poll: Poll, at_s: float) -> tuple[Poll, Poll]:
    """Split a poll at a time; rejected records go with the first part.

    Batches are in order of time.
    """
    pairs = [_cut(batch, at_s) for batch in poll.batches]
    past = tuple(before for before, _ in pairs if len(before))
    present = tuple(after for _, after in pairs if len(after))
    return Poll(past, poll.rejected), Poll(present)


def _cut(batch: EventBatch, at_s: float) -> tuple[EventBatch, EventBatch]:
    n = int(np.searchsorted(batch.time_s, at_s))
    return batch.rows(slice(0, n)), batch.rows(slice(n, None))
