"""Looks at a running daemon four times a second: how long its loops are silent, and what it says of its readiness."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import NamedTuple, Self

from tests.integration.runner import Daemon

LOOK_S = 0.25


class Look(NamedTuple):
    """One look: when (monotonic), whether it is ready, and why not."""

    at: float
    ready: bool
    reasons: dict[str, str]
    silent_s: float  # of its most silent loop


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
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(10.0)

    @property
    def longest_silence_s(self) -> float:
        return max(look.silent_s for look in self.looks)

    def reasons(self, name: str) -> list[str]:
        """Why the named check said no, each reason once."""
        return list(dict.fromkeys(look.reasons[name] for look in self.looks if name in look.reasons))

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            silent_s = max((value for _, value in self._daemon.rows("streamer_loop_silent_seconds")), default=0.0)
            self.looks.append(Look(time.monotonic(), *self._daemon.ready(), silent_s))
