"""The newest alerts for the API: a bounded log in memory, read with a cursor."""

from __future__ import annotations

import threading
from collections import deque

from streamer.connect.formats.alert_event import alert_json
from streamer.event import Alert, Message


class RecentAlerts:
    """Alerts numbered from 1; the oldest are dropped. One writer, any number of readers.

    They are kept as lines of JSON: a thousand alerts with windows take 3 MB, as objects 10 MB.
    """

    def __init__(self, capacity: int = 1000) -> None:
        self._lock = threading.Lock()
        self._items: deque[tuple[int, bytes]] = deque(maxlen=capacity)
        self._last = 0

    def add(self, message: Message) -> None:
        """Store the message if it is an alert."""
        if not isinstance(message, Alert):
            return
        line = alert_json(message)
        with self._lock:
            self._last += 1
            self._items.append((self._last, line))

    def after(self, cursor: int, limit: int) -> tuple[list[bytes], int]:
        """Return at most `limit` alerts newer than `cursor`, oldest first, and the next cursor."""
        with self._lock:
            page = [item for item in self._items if item[0] > cursor][:limit]
        return [line for _, line in page], (page[-1][0] if page else cursor)
