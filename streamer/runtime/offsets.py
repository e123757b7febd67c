"""Which log positions may be committed: a ticket closes when all that it brought is judged,
acknowledged and kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streamer.event import Lease, Poll, Rejected

Places = Mapping[Lease, int]


def next_offsets(poll: Poll, known: Lease | None = None) -> dict[Lease, int]:
    """First offset still needed after this poll, per lease.

    Rejected records of a source without partitions carry no lease: they count for the poll's only
    one, else for `known` (the stream's only lease so far), else the events behind them in the log
    carry them along.
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
    """One poll: where the log goes on after it, and what must be acknowledged first."""

    after: dict[Lease, int]
    needs: Needs
    alerts: int
    received_at: float


class Tickets:
    """Open tickets of one stream, oldest first, and the watermark of every lease: up to there all
    is settled.
    """

    def __init__(self) -> None:
        self._open: deque[Ticket] = deque()
        # nothing below is ever committed: it was, before the lease came
        self._floors: dict[Lease, int] = {}
        self._leases: set[Lease] = set()

    def __len__(self) -> int:
        return len(self._open)

    def assign(self, lease: Lease, position: int) -> None:
        """From here on the lease counts; what is read again below `position` earns nothing."""
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
        """What to commit once these tickets are closed: never for a lease that is gone, never
        backwards.
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
        """The lease is gone: its tickets still close in their turn, and earn nothing."""
        self._floors.pop(lease, None)
        self._leases.discard(lease)
