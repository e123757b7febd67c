"""Alerts on their way out: kept until the sink acknowledges them, bounded, retried, in order, never dropped."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

import structlog

from streamer.errors import StreamerError
from streamer.event import Alert
from streamer.protocols import Clock, Sink
from streamer.service.backoff import Backoff
from streamer.service.recent import Recent

log = structlog.get_logger()

# An alert that its sink holds for longer without acknowledging it makes the service unready.
GRACE_S = 5.0
# How often a sink that is still delivering is asked whether it is done.
ASK_EVERY_S = 0.01


class Outlet:
    """One sink and the alerts it has not acknowledged. Used by the scorer thread; others only read its numbers."""

    def __init__(self, name: str, sink: Sink, backoff: Backoff | None = None, clock: Clock = time.monotonic) -> None:
        self.name = name
        self.acknowledged = 0  # sequence number: every alert up to here is delivered
        self.failures = 0
        self.trouble: str | None = None
        self._sink, self._clock = sink, clock
        self._backoff = backoff or Backoff(clock=clock)
        self._waiting: deque[tuple[int, Alert]] = deque()  # not handed over yet
        self._handed = 0  # handed over, not acknowledged
        self._last = 0  # sequence number handed over last
        self._since: float | None = None  # when the oldest undelivered alert was posted
        self._ask_at = float("-inf")

    @property
    def undelivered(self) -> int:
        return len(self._waiting) + self._handed

    def post(self, sequence: int, alert: Alert) -> None:
        if self._since is None:
            self._since = self._clock()
        self._waiting.append((sequence, alert))

    def pump(self, timeout_s: float = 0.0) -> None:
        """Hand over what waits and ask what arrived, unless the last failure is too fresh."""
        if not self.undelivered or not self._backoff.due or self._clock() < self._ask_at:
            return
        try:
            self._hand_over()
            left = self._sink.flush(timeout_s)
        except StreamerError as exc:
            self._failed(str(exc))
            return
        self._delivered() if left == 0 else self._pending(left)

    def close(self) -> None:
        self._sink.close()

    def _hand_over(self) -> None:
        while self._waiting:
            sequence, alert = self._waiting[0]
            self._sink.send(alert)
            self._waiting.popleft()
            self._handed, self._last = self._handed + 1, sequence

    def _delivered(self) -> None:
        if self.trouble:
            log.info("sink_recovered", sink=self.name, alerts=self._handed)
        self.acknowledged, self._handed, self._since, self.trouble = self._last, 0, None, None
        self._backoff.succeed()

    def _pending(self, left: int) -> None:
        """Not acknowledged yet: patience at first, trouble after GRACE_S."""
        self._ask_at = self._clock() + ASK_EVERY_S
        if self._since is not None and self._clock() - self._since > GRACE_S:
            self._failed(f"{left} alerts unacknowledged for more than {GRACE_S:g} s")

    def _failed(self, problem: str) -> None:
        self._backoff.fail()
        self.failures += 1
        self.trouble = problem
        log.warning("alert_undelivered", sink=self.name, problem=problem, undelivered=self.undelivered)


class Outbox:
    """All sinks together: an alert counts as delivered when every one of them has acknowledged it."""

    def __init__(self, outlets: Sequence[Outlet], limit: int = 10_000, recent: Recent | None = None) -> None:
        """Above `limit` undelivered alerts at one sink, `full` asks the scorer to stop taking events."""
        self.outlets = tuple(outlets)
        self.limit = limit
        self.posted = 0
        self.recent = recent or Recent()

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

    def post(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self.posted += 1
            self.recent.add(alert)
            for outlet in self.outlets:
                outlet.post(self.posted, alert)

    def pump(self, timeout_s: float = 0.0) -> None:
        for outlet in self.outlets:
            outlet.pump(timeout_s)

    def close(self) -> None:
        for outlet in self.outlets:
            outlet.close()
