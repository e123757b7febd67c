"""Delays after failures: doubling and bounded, as pure functions of the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from streamer.protocols import Clock


def delay_s(failures: int, *, first_s: float, most_s: float) -> float:
    """Return the wait after the n-th failure in a row: first_s, 2 first_s, ... up to most_s.

    0 after none.
    """
    if failures <= 0:
        return 0.0
    # 2**60 times any first_s is beyond every sensible bound; a larger factor could overflow a
    # float.
    return min(most_s, first_s * 2.0 ** min(failures - 1, 60))


@dataclass(slots=True)
class Backoff:
    """A counter of failures in a row that says when the next attempt is due."""

    first_s: float = 0.05
    most_s: float = 5.0
    clock: Clock = time.monotonic
    failures: int = 0
    _due_at: float = field(default=float("-inf"), repr=False)

    @property
    def due(self) -> bool:
        return self.clock() >= self._due_at

    def fail(self) -> float:
        """Count a failure and return the seconds to wait."""
        self.failures += 1
        wait_s = delay_s(self.failures, first_s=self.first_s, most_s=self.most_s)
        self._due_at = self.clock() + wait_s
        return wait_s

    def succeed(self) -> None:
        self.failures, self._due_at = 0, float("-inf")
