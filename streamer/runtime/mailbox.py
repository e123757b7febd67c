"""What two threads share: a bounded queue that refuses instead of blocking."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A bounded first-in-first-out queue between one producer and one consumer; only the waits of
    the producer wait.
    """

    def __init__(self, capacity: int, bell: threading.Event | None = None) -> None:
        """`bell` is set whenever the consumer may have something to do; it can be shared by several
        mailboxes.
        """
        if capacity < 1:
            raise ValueError(f"a mailbox holds at least one item, got capacity {capacity}")
        self.capacity = capacity
        self._bell = bell or threading.Event()
        self._items: deque[T] = deque()
        self._lock = threading.Lock()
        self._room = threading.Event()
        self._idle = threading.Event()  # the consumer asked in vain since the last offer
        self._finished = False

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        return len(self._items) >= self.capacity

    @property
    def low(self) -> bool:
        """At most half full: the producer may start again without flapping."""
        return len(self._items) <= self.capacity // 2

    def wait_low(self, timeout_s: float) -> None:
        """For the producer: until it is at most half full, or so long."""
        self._room.clear()
        if not self.low:
            self._room.wait(timeout_s)

    def wait_idle(self, timeout_s: float) -> bool:
        """For the producer: until the consumer is done with all it was offered; False if it is not
        by then.
        """
        return self._idle.wait(timeout_s)

    @property
    def done(self) -> bool:
        """Finished by the producer and emptied by the consumer: nothing will ever come again."""
        return self._finished and not self._items

    def offer(self, item: T) -> bool:
        """Append the item, or return False if there is no room."""
        with self._lock:
            if self._finished:
                raise ValueError("offered to a finished mailbox")
            if len(self._items) >= self.capacity:
                return False
            self._items.append(item)
            self._idle.clear()
        self._bell.set()
        return True

    def finish(self, *leftovers: T) -> None:
        """No more offers; `leftovers` are taken in even beyond the capacity, so that stopping loses
        nothing.
        """
        with self._lock:
            self._items.extend(leftovers)
            self._finished = True
        self._bell.set()

    def items(self) -> list[T]:
        """A copy of what waits, oldest first."""
        with self._lock:
            return list(self._items)

    def peek(self) -> T | None:
        """For the consumer: what `take` would bring."""
        with self._lock:
            return self._items[0] if self._items else None

    def take(self) -> T | None:
        """The oldest item, or None if there is none now."""
        with self._lock:
            taken = self._items.popleft() if self._items else None
            if taken is None:
                self._idle.set()
        if self.low:
            self._room.set()
        return taken
