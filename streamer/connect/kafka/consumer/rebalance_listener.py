"""The assigned partitions of a reader, changed by rebalances on the client's thread."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from streamer.connect.kafka.consumer.assignment import Commits, Leases, offsets_of
from streamer.event import Lease, Position
from streamer.failpoints import failpoint

log = structlog.get_logger()

REVOKE_S = 2.0  # for the commit inside a revocation: the whole group waits for it


@dataclass(frozen=True, slots=True)
class NewPartition:
    """A newly assigned partition, not initialised yet.

    `restart` overrides the committed position.
    """

    lease: Lease
    restart: int | None = None


class HeldPartitions:
    """The partitions of a reader, with their leases.

    A new partition is paused until it is admitted. Rebalances happen only inside the reader's poll,
    so no two threads change this at once. Any thread may use `leases` and `commits` at any time.
    """

    def __init__(self, commits: Commits) -> None:
        self.leases, self.commits = Leases(), commits
        # by the client's partition, in the order of initialisation
        self.fresh: dict[Any, NewPartition] = {}
        self.outside: dict[Any, int] = {}  # partitions whose next offset is not in the log
        self.consumer: Any = None  # set before the first poll
        self.closing = False
        self.moves = 0
        self._announced: set[Lease] = set()
        self._gone: list[Lease] = []

    def came(self, partitions: Collection[Any]) -> None:
        for tp in sorted(partitions):
            self._hold(tp, None)

    async def went(self, partitions: Collection[Any]) -> None:
        """Revoke partitions: end the leases, then commit what is owed for them."""
        leases = self._dropped(partitions)
        failpoint("during_revoke")
        owed = self.commits.owed(leases)
        if owed and not self.closing:
            await self._commit(owed)
        self._forget(leases)

    def lost(self, partitions: Collection[Any]) -> None:
        self._forget(self._dropped(partitions))

    def renew(self, tp: Any, restart: int) -> bool:
        """Replace the lease of a partition whose log is another one.

        False if the partition is not assigned to this reader.
        """
        self._forget(self._dropped([tp]))
        if tp not in self.consumer.assignment():
            return False
        self._hold(tp, restart)
        return True

    def set_outside(self, tp: Any, offset: int) -> None:
        """Pause a partition until the range of its log is known."""
        if tp in self.consumer.assignment() and tp not in self.fresh:
            self.consumer.pause(tp)
            self.outside[tp] = offset

    def go_on(self, tp: Any, offset: int, *, paused: bool) -> None:
        """Read a partition from `offset` on; it stays paused if `paused`."""
        self.consumer.seek(tp, offset)
        (self.consumer.pause if paused else self.consumer.resume)(tp)

    def admit(self, tp: Any, confirmed: Position | None) -> None:
        """Announce a partition; its commits count from now on."""
        lease = self.fresh.pop(tp).lease
        self.commits.grant(lease, confirmed)
        self._announced.add(lease)

    def later(self, tp: Any) -> None:
        """Move a partition without an answer behind the others."""
        if tp in self.fresh:
            self.fresh[tp] = self.fresh.pop(tp)

    def take_gone(self) -> tuple[Lease, ...]:
        """Return announced leases that ended since the last call."""
        gone, self._gone = self._gone, []
        return tuple(gone)

    @property
    def waiting(self) -> bool:
        """Whether a partition is not read because it is not initialised."""
        return bool(self.fresh or self.outside)

    def end(self) -> None:
        """End all leases."""
        for lease in self.leases.held():
            self.leases.drop(lease.topic, lease.partition)

    def ready(self) -> list[Any]:
        """Assigned partitions that may be read."""
        return [
            tp
            for tp in self.consumer.assignment()
            if tp not in self.fresh and tp not in self.outside
        ]

    def _hold(self, tp: Any, restart: int | None) -> None:
        """Lease and pause a partition.

        A position set here keeps the client from looking for one; it is not fetched from while
        paused.
        """
        self.moves += 1
        self.consumer.pause(tp)
        self.consumer.seek(tp, 0)
        self.fresh[tp] = NewPartition(self.leases.grant(tp.topic, tp.partition), restart)

    def _dropped(self, partitions: Collection[Any]) -> list[Lease]:
        self.moves += 1
        for tp in partitions:
            self.fresh.pop(tp, None)
            self.outside.pop(tp, None)
        dropped = [self.leases.drop(tp.topic, tp.partition) for tp in partitions]
        return [lease for lease in dropped if lease is not None]

    def _forget(self, leases: Collection[Lease]) -> None:
        for lease in leases:
            self.commits.drop(lease)
        self._gone += [lease for lease in leases if lease in self._announced]
        self._announced.difference_update(leases)

    async def _commit(self, owed: Mapping[Lease, Position]) -> None:
        from kafka.errors import KafkaError

        try:
            # A JoinGroup follows on the same connection, so the commit is stored before the next
            # owner asks, even without an answer.
            sent = self.consumer.commit_async(
                offsets_of(owed), callback=lambda offsets, answer: None
            )
            await self.consumer._manager.wait_for(sent, REVOKE_S * 1000)
        except KafkaError as exc:
            log.warning("revoke_commit_failed", partitions=len(owed), problem=str(exc))
