"""How long to wait after a failure: doubling, bounded, and due or not as a pure question of the
clock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from streamer.protocols import Clock


def delay_s(failures: int, *, first_s: float, most_s: float) -> float:
    """Wait after the n-th failure in a row: first_s, 2 first_s, 4 first_s ... at most most_s; 0
    after none.
    """
    if failures <= 0:
        return 0.0
    # 2**60 of any first_s is beyond every sensible bound; more would overflow a float.
    return min(most_s, first_s * 2.0 ** min(failures - 1, 60))


@dataclass(slots=True)
class Backoff:
    """Counts failures in a row and says when the next attempt is due."""

    first_s: float = 0.05
    most_s: float = 5.0
    clock: Clock = time.monotonic
    failures: int = 0
    _due_at: float = field(default=float("-inf"), repr=False)

    @property
    def due(self) -> bool:
        return self.clock() >= self._due_at

    def fail(self) -> float:
        """Note a failure; return the seconds to wait."""
        self.failures += 1
        wait_s = delay_s(self.failures, first_s=self.first_s, most_s=self.most_s)
        self._due_at = self.clock() + wait_s
        return wait_s

    def succeed(self) -> None:
        self.failures, self._due_at = 0, float("-inf")
