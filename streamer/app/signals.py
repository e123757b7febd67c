"""SIGTERM and SIGINT: once drains, twice quits."""

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
    """Within: the first signal sets `stop`; the second ends the process at once with 130. Main
    thread only.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(SECOND)  # a thread may hang: nothing gentler is certain to end
        stop.set()

    before: dict[int, Any] = {
        number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
