"""The log positions that may be committed.

A poll opens a ticket. It closes when everything of the poll is judged, acknowledged and stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streamer.event import Lease, Poll, Rejected

Places = Mapping[Lease, int]


def next_offsets(poll: Poll, known: Lease | None = None) -> dict[Lease, int]:
    """Return the first offset after this poll, per lease.

    Rejected records of a source without partitions carry no lease. They count for the only lease of
    the poll, else for `known` (the only lease of the stream so far). If neither exists, the next
    events of the log move the position past them.
    """
    after: dict[Lease, int] = {}
    for batch in poll.batches:
        if len(batch):
            _raise(after, batch.lease, int(batch.offset.max()) + 1)
    for gap in poll.expired:
        _raise(after, gap.lease, gap.until)
    owner = next(iter(after)) if len(after) == 1 else (known if not after else None)
    for one in poll.rejected:
        lease = _lease(one, owner)
        if lease is not None:
            _raise(after, lease, one.offset + 1)
    return after


def _lease(rejected: Rejected, owner: Lease | None) -> Lease | None:
    return owner if rejected.lease is None else rejected.lease


def _raise(places: dict[Lease, int], lease: Lease, offset: int) -> None:
    places[lease] = max(offset, places.get(lease, 0))


@dataclass(frozen=True, slots=True)
class Needs:
    """Sequence numbers up to which alerts and dead letters must be acknowledged."""

    alerts: int
    letters: int = 0

    def met(self, acknowledged: Needs) -> bool:
        return self.alerts <= acknowledged.alerts and self.letters <= acknowledged.letters


@dataclass(frozen=True, slots=True)
class Ticket:
    """One poll: the positions after it, and what must be acknowledged before they count."""

    after: dict[Lease, int]
    needs: Needs
    alerts: int
    received_at: float


class Tickets:
    """The open tickets of one stream, oldest first, and the start position of every lease."""

    def __init__(self) -> None:
        self._open: deque[Ticket] = deque()
        # offsets up to here were committed before the lease was assigned, and are not committed
        # again
        self._floors: dict[Lease, int] = {}
        self._leases: set[Lease] = set()

    def __len__(self) -> int:
        return len(self._open)

    def assign(self, lease: Lease, position: int) -> None:
        """Start a lease; tickets at or below `position` commit nothing."""
        self._floors[lease] = position

    def open(self, poll: Poll, *, needs: Needs, alerts: int, received_at: float) -> None:
        known = next(iter(self._leases)) if len(self._leases) == 1 else None
        after = next_offsets(poll, known)
        self._leases.update(after)
        self._open.append(Ticket(after, needs, alerts, received_at))

    def settle(self, acknowledged: Needs) -> list[Ticket]:
        """Close, in order, the tickets whose alerts and dead letters are all acknowledged."""
        closed: list[Ticket] = []
        while self._open and self._open[0].needs.met(acknowledged):
            closed.append(self._open.popleft())
        return closed

    def earned(self, closed: list[Ticket], holds: Callable[[Lease], bool]) -> dict[Lease, int]:
        """Return the positions to commit for closed tickets.

        Never for a lease that is not held, and never a position at or before its start.
        """
        merged: dict[Lease, int] = {}
        for ticket in closed:
            for lease, offset in ticket.after.items():
                _raise(merged, lease, offset)
        return {
            lease: offset
            for lease, offset in merged.items()
            if holds(lease) and offset > self._floors.get(lease, -1)
        }

    def revoke(self, lease: Lease) -> None:
        """Forget a lease: its tickets still close in order, and commit nothing."""
        self._floors.pop(lease, None)
        self._leases.discard(lease)
