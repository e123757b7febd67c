"""Which log positions may be committed: a ticket closes when all that it brought is scored and acknowledged."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from streamer.event import Poll
from streamer.service.mailbox import Partition


def next_offsets(poll: Poll, known: Partition | None) -> dict[Partition, int]:
    """First offset still needed after this poll, per partition.

    Rejected records carry no partition: they count for the poll's only partition, else for `known` (the stream's only
    partition so far), else the events behind them in the log carry them along.
    """
    after: dict[Partition, int] = {}
    for batch in poll.batches:
        if len(batch):
            partition = (batch.topic, batch.partition)
            after[partition] = max(int(batch.offset.max()) + 1, after.get(partition, 0))
    owner = next(iter(after)) if len(after) == 1 else (known if not after else None)
    if poll.rejected and owner is not None:
        after[owner] = max(after.get(owner, 0), max(one.offset for one in poll.rejected) + 1)
    return after


@dataclass(frozen=True, slots=True)
class Ticket:
    """One poll: where the log goes on after it, and which alert (by sequence number) must be acknowledged first."""

    after: dict[Partition, int]
    needs: int
    alerts: int
    received_at: float


class Tickets:
    """Open tickets of one stream, oldest first."""

    def __init__(self) -> None:
        self._open: deque[Ticket] = deque()
        self._partitions: set[Partition] = set()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, poll: Poll, *, needs: int, alerts: int, received_at: float) -> None:
        known = next(iter(self._partitions)) if len(self._partitions) == 1 else None
        after = next_offsets(poll, known)
        self._partitions.update(after)
        self._open.append(Ticket(after, needs, alerts, received_at))

    def settle(self, acknowledged: int) -> list[Ticket]:
        """Close, in order, the tickets whose alerts are all acknowledged."""
        closed: list[Ticket] = []
        while self._open and self._open[0].needs <= acknowledged:
            closed.append(self._open.popleft())
        return closed


def positions(closed: list[Ticket]) -> dict[Partition, int]:
    """What to commit once these tickets are closed."""
    merged: dict[Partition, int] = {}
    for ticket in closed:
        for partition, offset in ticket.after.items():
            merged[partition] = max(offset, merged.get(partition, 0))
    return merged
