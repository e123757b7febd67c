"""A circuit breaker: after some failures in a row nobody asks any more, but for one probe a second."""

from __future__ import annotations

import threading
import time

from streamer.protocols import Clock

OPENS_AFTER = 3  # failures in a row
WAIT_S = 1.0  # between probes while it is open


class Breaker:
    """Closed, it admits everybody; open, one caller per `wait_s`, whose success closes it. Any thread may ask."""

    def __init__(
        self, *, opens_after: int = OPENS_AFTER, wait_s: float = WAIT_S, clock: Clock = time.monotonic
    ) -> None:
        self.failures = 0  # in a row
        self._opens_after, self._wait_s, self._clock = opens_after, wait_s, clock
        self._probe_at = 0.0
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        return self.failures >= self._opens_after

    def admits(self) -> bool:
        """Whether the caller may ask now. Whoever is admitted says how it went: `succeed` or `fail`."""
        with self._lock:
            if not self.open:
                return True
            if self._clock() < self._probe_at:
                return False
            self._probe_at = self._clock() + self._wait_s  # the others wait for this one
            return True

    def succeed(self) -> None:
        with self._lock:
            self.failures = 0

    def fail(self) -> None:
        with self._lock:
            self.failures += 1
            self._probe_at = self._clock() + self._wait_s
