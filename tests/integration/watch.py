"""Looks at a running daemon four times a second: how long its loops are silent, and what it says of
its readiness.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import NamedTuple, Self

from tests.integration.runner import Daemon

LOOK_S = 0.25


class Look(NamedTuple):
    """One look: when (monotonic), whether it is ready, why not, and how long each of its loops has
    been silent.
    """

    at: float
    ready: bool
    reasons: dict[str, str]
    silent_s: dict[str, float]


class Watch:
    """`with Watch(daemon) as watch:`; what was seen stays in `looks`."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.looks: list[Look] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(10.0)

    @property
    def seen(self) -> bool:
        """Whether it ever answered with its loops."""
        return any(look.silent_s for look in self.looks)

    @property
    def longest_silence_s(self) -> float:
        """Of its most silent loop."""
        return max(silent_s for look in self.looks for silent_s in look.silent_s.values())

    def longest(self, loop: str) -> float:
        """Seconds that the named loop was silent at most."""
        return max(look.silent_s[loop] for look in self.looks if loop in look.silent_s)

    def reasons(self, name: str) -> list[str]:
        """Why the named check said no, each reason once."""
        return list(
            dict.fromkeys(look.reasons[name] for look in self.looks if name in look.reasons)
        )

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            silent_s = {
                labels["loop"]: s for labels, s in self._daemon.rows("streamer_loop_silent_seconds")
            }
            self.looks.append(Look(time.monotonic(), *self._daemon.ready(), silent_s))
