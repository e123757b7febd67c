"""SIGTERM and SIGINT: the first drains, the second ends the process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SECOND = 130


@contextmanager
def graceful(stop: threading.Event) -> Iterator[None]:
    """Set `stop` at the first signal inside the block; exit with 130 at the second.

    Main thread only.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(SECOND)  # a hanging thread could prevent a normal exit
        stop.set()

    before: dict[int, Any] = {
        number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
