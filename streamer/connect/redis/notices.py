"""That an alias moved: the trail of moves wakes who waits, and the aliases themselves are looked at every time.

So a notice that is lost costs a poll, and one that is told twice costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from streamer.connect.redis.client import Client
from streamer.connect.redis.models import Models

if TYPE_CHECKING:
    from streamer.config import RedisStore as Section

LONGEST_S = 2.0  # of one blocking read: so long at most a stop has to wait


class MoveNotices:
    """Waits for aliases to move, with a client of its own: blocking reads keep a connection busy."""

    def __init__(self, section: Section, models: Models) -> None:
        self._models = models
        self._blocking = Client(section, timeout_s=LONGEST_S + float(section.timeout))
        self._closed, self._asking = threading.Event(), threading.Lock()

    def wait(self, seen: Mapping[str, str], timeout_s: float) -> Mapping[str, str] | None:
        """The aliases once they are others than `seen`; None after `timeout_s`, or LONGEST_S after `close`.

        StoreError if Redis does not answer; while it is away that comes at once, so that the caller waits on its own
        stop event.
        """
        until, after = time.monotonic() + timeout_s, b""
        while True:
            with self._asking:
                if self._closed.is_set():
                    return None
                after = after or self._newest()
                now = self._models.aliases()
                if now != seen:
                    return now
                left_s = until - time.monotonic()
                if left_s <= 0:
                    return None
                after = self._block(after, min(left_s, LONGEST_S))

    def close(self) -> None:
        self._closed.set()
        with self._asking:  # a connection that somebody reads from cannot be closed
            self._blocking.close()

    def _newest(self) -> bytes:
        found: Any = self._blocking.ask("read", "moves", "XREVRANGE", self._models.trail, "+", "-", "COUNT", 1)
        return bytes(found[0][0]) if found else b"0-0"

    def _block(self, after: bytes, timeout_s: float) -> bytes:
        """Until there is a newer entry than `after`; the newest one seen."""
        words = ("COUNT", 64, "BLOCK", max(round(timeout_s * 1e3), 1), "STREAMS", self._models.trail, after)
        found: Any = self._blocking.ask("wait for", "moves", "XREAD", *words)
        return next((bytes(entries[-1][0]) for _, entries in found or ()), after)
