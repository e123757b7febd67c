"""Alerts and dead letters until their acknowledgement: bounded, ordered, retried, never dropped."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import structlog

from streamer.backoff import Backoff
from streamer.errors import StreamerError
from streamer.failpoints import failpoint
from streamer.protocols import Clock, Outgoing

log = structlog.get_logger()
T = TypeVar("T")

# The service is unready once a sink has not acknowledged an item for longer.
GRACE_S = 5.0
# Seconds between calls of flush: for a sink that is delivering, and for one that fails.
ASK_EVERY_S, ASK_UNWELL_S = 0.01, 0.25


class SinkTrouble:
    """The problem of a sink, logged with growing pauses while it lasts."""

    def __init__(self, name: str, telling: Backoff) -> None:
        self.problem: str | None = None
        self.failures = 0
        self._name, self._telling = name, telling  # pauses between lines of the log

    def well(self) -> None:
        if self.problem:
            log.info("sink_recovered", sink=self._name)
        self.problem = None
        self._telling.succeed()

    def unwell(self, problem: str, undelivered: int) -> None:
        self.problem = problem
        if self._telling.due:
            self._telling.fail()
            self.failures += 1
            log.warning(
                "alert_undelivered", sink=self._name, problem=problem, undelivered=undelivered
            )


class Outlet(Generic[T]):
    """One sink and the items it has not acknowledged.

    Used by the scoring thread; others only read its numbers.
    """

    def __init__(
        self,
        name: str,
        sink: Outgoing[T],
        backoff: Backoff | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.name = name
        self.acknowledged = 0  # sequence number; everything up to it is delivered
        self._sink, self._clock = sink, clock
        self._backoff = backoff or Backoff(clock=clock)  # between attempts to hand over
        self._trouble = SinkTrouble(name, replace(self._backoff))
        self._waiting: deque[tuple[int, T]] = deque()  # not handed over yet
        self._handed = 0  # items handed over, not acknowledged
        self._last = 0  # sequence number of the last item handed over
        self._since: float | None = None  # when progress was last seen with items undelivered
        self._ask_at = float("-inf")

    @property
    def problem(self) -> str | None:
        """Why nothing is delivered; None if the sink works."""
        return self._trouble.problem

    @property
    def failures(self) -> int:
        return self._trouble.failures

    @property
    def undelivered(self) -> int:
        return len(self._waiting) + self._handed

    def post(self, sequence: int, item: T) -> None:
        if self._since is None:
            self._since = self._clock()
        self._waiting.append((sequence, item))

    def pump(self, timeout_s: float = 0.0) -> None:
        """Hand over waiting items, unless in backoff, and ask at intervals what is acknowledged."""
        if not self.undelivered or not self._backoff.due:
            return
        rested = self._clock() >= self._ask_at
        if not rested and self.problem:
            return
        if self._handed_over() and rested:
            self._ask(timeout_s)

    def hand_over(self) -> None:
        """Hand over waiting items unless the sink has a problem.

        Then `pump` hands them over after the backoff.
        """
        if self._waiting and not self.problem and self._backoff.due:
            self._handed_over()

    def _ask(self, timeout_s: float) -> None:
        try:
            left = self._sink.flush(timeout_s)
        except StreamerError as exc:
            self._unwell(str(exc))
            return
        failpoint("after_send")
        self._backoff.succeed()
        self._arrived(self._handed - left)
        if left:
            self._pending(left)

    def close(self) -> None:
        self._sink.close()

    def _handed_over(self) -> bool:
        """Send the waiting items; return whether all were taken."""
        try:
            while self._waiting:
                sequence, item = self._waiting[0]
                self._sink.send(item)
                self._waiting.popleft()
                self._handed, self._last = self._handed + 1, sequence
        except StreamerError as exc:
            self._backoff.fail()
            self._unwell(str(exc))
            return False
        return True

    def _arrived(self, count: int) -> None:
        """Count the oldest `count` items handed over as acknowledged."""
        if count <= 0:
            return
        self._handed -= count
        self.acknowledged = self._last - self._handed
        self._since = self._clock() if self.undelivered else None
        self._trouble.well()
        failpoint("after_ack")

    def _pending(self, left: int) -> None:
        """Wait for acknowledgements; report a problem after GRACE_S without progress."""
        self._ask_at = self._clock() + ASK_EVERY_S
        if self._since is not None and self._clock() - self._since > GRACE_S:
            self._unwell(f"{left} unacknowledged for more than {GRACE_S:g} s")

    def _unwell(self, problem: str) -> None:
        """Record a problem: asked again soon, so that nothing waits once the sink works.

        Its log lines have growing pauses.
        """
        self._ask_at = self._clock() + ASK_UNWELL_S
        self._trouble.unwell(problem, self.undelivered)


def unheard(item: object) -> None:
    """Do nothing; the default for `heard`."""


class Outbox(Generic[T]):
    """All sinks together: an item is delivered when every sink has acknowledged it."""

    def __init__(
        self,
        outlets: Sequence[Outlet[T]] = (),
        limit: int = 10_000,
        heard: Callable[[T], None] = unheard,
    ) -> None:
        """Set `full` at `limit` undelivered items of one sink, so that scoring stops.

        `heard` is called with every item when it is posted.
        """
        self.outlets = tuple(outlets)
        self.limit = limit
        self.posted = 0
        self._heard = heard

    @property
    def acknowledged(self) -> int:
        return min((outlet.acknowledged for outlet in self.outlets), default=self.posted)

    @property
    def idle(self) -> bool:
        return self.undelivered == 0

    @property
    def undelivered(self) -> int:
        return max((outlet.undelivered for outlet in self.outlets), default=0)

    @property
    def full(self) -> bool:
        return self.undelivered >= self.limit

    def post(self, items: Sequence[T]) -> None:
        for item in items:
            self.posted += 1
            self._heard(item)
            for outlet in self.outlets:
                outlet.post(self.posted, item)

    def hand_over(self) -> None:
        for outlet in self.outlets:
            outlet.hand_over()

    def pump(self, timeout_s: float = 0.0) -> None:
        for outlet in self.outlets:
            outlet.pump(timeout_s)

    def close(self) -> None:
        for outlet in self.outlets:
            outlet.close()
