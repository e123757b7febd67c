"""Unconfirmed records of a topic and the order in which they are sent; no I/O.

The final order of a key's records must be right. After a failure nothing new is sent until
everything in flight is decided. Then the oldest record is sent alone, and once it is confirmed the
others follow. Records confirmed after a failure of their own key are sent once more.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

R = TypeVar("R")


class SendTicket(NamedTuple):
    """One attempt to deliver one record; invalid once its client is replaced."""

    number: int
    client: int


class _State(enum.IntEnum):
    WAITING = 0
    FLYING = 1
    FAILED = 2
    DELIVERED = 3


@dataclass(slots=True)
class _Entry(Generic[R]):
    key: Hashable
    record: R
    state: _State = _State.WAITING
    handed_at: float = 0.0


class Outstanding(Generic[R]):
    """Records in order of `add`, from the oldest undelivered one.

    Times are on the caller's clock.
    """

    def __init__(self) -> None:
        self._entries: dict[int, _Entry[R]] = {}
        self._first = 0  # number of the oldest entry
        self._cursor = 0  # everything before this number is sent or delivered
        self._client = 0
        self._flying = 0
        # after a failure: wait for what is in flight, then restart at the oldest
        self._failing = False
        self._probing = False  # the oldest is sent alone

    @property
    def undelivered(self) -> int:
        """Number of records from the oldest undelivered one on."""
        return len(self._entries)

    @property
    def failing(self) -> bool:
        """Whether a record failed and others in flight are undecided."""
        return self._failing

    def record(self, ticket: SendTicket) -> R:
        return self._entries[ticket.number].record

    def waited_s(self, now: float) -> float:
        """Age in seconds of the oldest record in flight; 0 if there is none."""
        return now - next(
            (e.handed_at for e in self._entries.values() if e.state is _State.FLYING), now
        )

    def add(self, key: Hashable, record: R) -> None:
        self._entries[self._end] = _Entry(key, record)

    def next(self) -> tuple[SendTicket, R] | None:
        """Return the record to send now; None if there is none or others must be decided first."""
        if self._failing and not self._rewind():
            return None
        if self._probing and self._cursor > self._first:
            return None
        self._cursor = self._waiting_from(self._cursor)
        if self._cursor == self._end:
            return None
        return SendTicket(self._cursor, self._client), self._entries[self._cursor].record

    def handed(self, ticket: SendTicket, now: float) -> None:
        """Record that the result of `next` was given to the client."""
        entry = self._entries[ticket.number]
        entry.state, entry.handed_at = _State.FLYING, now
        self._flying += 1
        self._cursor = ticket.number + 1

    def replace(self, ticket: SendTicket, record: R) -> None:
        """Replace the record of a ticket from the next attempt on."""
        self._entries[ticket.number].record = record

    def delivered(self, ticket: SendTicket) -> bool:
        """Record a confirmation; return whether it was new."""
        if not self._answered(ticket, _State.DELIVERED):
            return False
        if ticket.number == self._first:
            self._probing = False
        self._forget()
        return True

    def failed(self, ticket: SendTicket) -> bool:
        """Record a failure; return whether it was new."""
        if not self._answered(ticket, _State.FAILED):
            return False
        self._failing = True
        return True

    def change_client(self) -> None:
        """Switch to another client.

        Unconfirmed records are sent again, and answers of the old client are ignored.
        """
        self._client += 1
        self._flying = 0
        for entry in self._entries.values():
            entry.state = _State.FAILED if entry.state is _State.FLYING else entry.state
        self._failing = bool(self._entries)

    def _answered(self, ticket: SendTicket, state: _State) -> bool:
        if ticket.client != self._client or ticket.number < self._first:
            return False
        entry = self._entries[ticket.number]
        if entry.state is not _State.FLYING:
            return False
        entry.state = state
        self._flying -= 1
        return True

    def _rewind(self) -> bool:
        """Restart at the oldest record; False while records are in flight."""
        if self._flying:
            return False
        broken: set[Hashable] = set()
        for entry in self._entries.values():
            if entry.state is not _State.DELIVERED or entry.key in broken:
                entry.state = _State.WAITING
                broken.add(entry.key)
        self._failing, self._cursor = False, self._first
        self._probing = bool(self._entries)
        return True

    def _forget(self) -> None:
        while self._entries and self._entries[self._first].state is _State.DELIVERED:
            del self._entries[self._first]
            self._first += 1
        self._cursor = max(self._cursor, self._first)

    def _waiting_from(self, number: int) -> int:
        """Index of the first waiting record from `number` on, else the end.

        After a rewind some records need not be sent again.
        """
        while number < self._end and self._entries[number].state is not _State.WAITING:
            number += 1
        return number

    @property
    def _end(self) -> int:
        return self._first + len(self._entries)
