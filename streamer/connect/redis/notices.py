"""That an alias moved: a stream wakes who waits, and the pointer itself is looked at every time.

So a notice that is lost costs a poll, and one that is told twice costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamer.connect.redis.client import Client
from streamer.connect.redis.models import Models

if TYPE_CHECKING:
    from streamer.config import RedisStore as Section

LONGEST_S = 2.0  # of one blocking read: so long at most a stop has to wait


class ModelNotices:
    """Waits for an alias to move, with a client of its own: blocking reads keep a connection busy. One thread."""

    def __init__(self, section: Section, alias: str, *, seen: str | None = None) -> None:
        """`seen` is the version that the caller has."""
        self.seen = seen
        self._alias, self._after = alias, b"0-0"
        self._models = Models(section)
        self._blocking = Client(section, timeout_s=LONGEST_S + float(section.timeout))
        self._stream = self._models.notices(alias)

    def wait(self, timeout_s: float = LONGEST_S) -> str | None:
        """The version that the alias points at now, if it is another one than the last; None after `timeout_s`.

        At most LONGEST_S whatever is asked for. StoreError if Redis does not answer; while it is away that comes at
        once, so that the caller waits on its own stop event.
        """
        moved = self._moved()
        if moved is None:
            self._block(min(timeout_s, LONGEST_S))
            moved = self._moved()
        self.seen = moved or self.seen
        return moved

    def close(self) -> None:
        self._blocking.close()
        self._models.close()

    def _moved(self) -> str | None:
        now = self._models.alias(self._alias)
        return now if now != self.seen else None

    def _block(self, timeout_s: float) -> None:
        """Until there is a newer entry than the last one that was seen here."""
        words = ("COUNT", 64, "BLOCK", max(round(timeout_s * 1e3), 1), "STREAMS", self._stream, self._after)
        found: Any = self._blocking.ask("wait for", f"alias {self._alias}", "XREAD", *words)
        for _, entries in found or ():
            self._after = entries[-1][0]
