"""A bounded queue between two threads; it refuses an item instead of blocking."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A bounded first-in-first-out queue between one producer and one consumer.

    Only `wait_low` and `wait_idle`, called by the producer, block.
    """

    def __init__(self, capacity: int, bell: threading.Event | None = None) -> None:
        """Set `bell` whenever there is something to take; mailboxes may share one."""
        if capacity < 1:
            raise ValueError(f"a mailbox holds at least one item, got capacity {capacity}")
        self.capacity = capacity
        self._bell = bell or threading.Event()
        self._items: deque[T] = deque()
        self._lock = threading.Lock()
        self._room = threading.Event()
        # set once the consumer finds the mailbox empty, cleared by an offer
        self._idle = threading.Event()
        self._finished = False

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        return len(self._items) >= self.capacity

    @property
    def low(self) -> bool:
        """Whether it is at most half full; the producer resumes here, so that it does not flap."""
        return len(self._items) <= self.capacity // 2

    def wait_low(self, timeout_s: float) -> None:
        """Block the producer until the mailbox is at most half full, or `timeout_s` passed."""
        self._room.clear()
        if not self.low:
            self._room.wait(timeout_s)

    def wait_idle(self, timeout_s: float) -> bool:
        """Block until the consumer finds it empty; return False after `timeout_s`."""
        return self._idle.wait(timeout_s)

    @property
    def done(self) -> bool:
        """Whether the producer has finished and the consumer has taken everything."""
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
        """Refuse further offers; `leftovers` are added even beyond the capacity.

        So stopping loses no item.
        """
        with self._lock:
            self._items.extend(leftovers)
            self._finished = True
        self._bell.set()

    def items(self) -> list[T]:
        """Return a copy of the waiting items, oldest first."""
        with self._lock:
            return list(self._items)

    def peek(self) -> T | None:
        """Return the item that `take` would return, without removing it; for the consumer."""
        with self._lock:
            return self._items[0] if self._items else None

    def take(self) -> T | None:
        """Return and remove the oldest item; None if there is none."""
        with self._lock:
            taken = self._items.popleft() if self._items else None
            if taken is None:
                self._idle.set()
        if self.low:
            self._room.set()
        return taken
