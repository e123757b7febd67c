"""Alerts and dead letters on their way out: kept until acknowledged, bounded, retried, in order,
never dropped.
"""

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

# What a sink holds for longer without acknowledging it makes the service unready.
GRACE_S = 5.0
# How often a sink that is still delivering is asked whether it is done, and one that says what is
# wrong.
ASK_EVERY_S, ASK_UNWELL_S = 0.01, 0.25


class SinkTrouble:
    """What is wrong with a sink, logged ever more seldom while it lasts."""

    def __init__(self, name: str, telling: Backoff) -> None:
        self.problem: str | None = None
        self.failures = 0
        self._name, self._telling = name, telling  # between lines of the log

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
    """One sink and what it has not acknowledged. Used by the scorer thread; others only read its
    numbers.
    """

    def __init__(
        self,
        name: str,
        sink: Outgoing[T],
        backoff: Backoff | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.name = name
        self.acknowledged = 0  # sequence number: everything up to here is delivered
        self._sink, self._clock = sink, clock
        self._backoff = backoff or Backoff(clock=clock)  # between attempts to hand over
        self._trouble = SinkTrouble(name, replace(self._backoff))
        self._waiting: deque[tuple[int, T]] = deque()  # not handed over yet
        self._handed = 0  # handed over, not acknowledged
        self._last = 0  # sequence number handed over last
        self._since: float | None = None  # when the oldest undelivered alert was posted
        self._ask_at = float("-inf")

    @property
    def problem(self) -> str | None:
        """Why nothing is delivered; None if all is well."""
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
        """Hand over what waits, unless the last failure is too fresh, and ask now and then what
        arrived.
        """
        if not self.undelivered or not self._backoff.due:
            return
        rested = self._clock() >= self._ask_at
        if not rested and self.problem:
            return
        if self._handed_over() and rested:
            self._ask(timeout_s)

    def hand_over(self) -> None:
        """Hand over what waits, unless the sink is unwell: then `pump` does, in time."""
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
        """Whether nothing waits any more."""
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
        """The oldest `count` of what was handed over are acknowledged."""
        if count <= 0:
            return
        self._handed -= count
        self.acknowledged = self._last - self._handed
        self._since = self._clock() if self.undelivered else None
        self._trouble.well()
        failpoint("after_ack")

    def _pending(self, left: int) -> None:
        """Not acknowledged yet: patience at first, trouble after GRACE_S without progress."""
        self._ask_at = self._clock() + ASK_EVERY_S
        if self._since is not None and self._clock() - self._since > GRACE_S:
            self._unwell(f"{left} unacknowledged for more than {GRACE_S:g} s")

    def _unwell(self, problem: str) -> None:
        """Asked again soon, so that nothing waits once the sink is back; told of ever
        more seldom.
        """
        self._ask_at = self._clock() + ASK_UNWELL_S
        self._trouble.unwell(problem, self.undelivered)


def unheard(item: object) -> None:
    """Nobody wants to hear of it."""


class Outbox(Generic[T]):
    """All sinks together: an item counts as delivered when every one of them has
    acknowledged it.
    """

    def __init__(
        self,
        outlets: Sequence[Outlet[T]] = (),
        limit: int = 10_000,
        heard: Callable[[T], None] = unheard,
    ) -> None:
        """Above `limit` undelivered items at one sink, `full` asks the scorer to stop taking
        events.

        `heard` is told of every item when it is posted.
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
