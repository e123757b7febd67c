"""The times at which the partitions of a stream are copied for their snapshots."""

from __future__ import annotations

import time
from collections.abc import Iterable

from streamer.event import Assigned, Lease, Message
from streamer.protocols import Clock
from streamer.runtime.outbox import Outbox
from streamer.runtime.partitions import Partition
from streamer.runtime.snapshot_writer import SnapshotWriter

EVERY_S = 60.0


class SnapshotSchedule:
    """Copies each partition every `every_s`, and gives the copies to the writer.

    Without a writer nothing is copied. Used by the scoring thread.
    """

    def __init__(
        self,
        writer: SnapshotWriter | None,
        outbox: Outbox[Message],
        *,
        every_s: float = EVERY_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self.writer, self._outbox, self._every_s, self._clock = writer, outbox, every_s, clock

    def resumed(self, assigned: Assigned, version: str) -> None:
        """Record the snapshot from which a partition was restored, for the notes of its commits."""
        if self.writer is not None and assigned.memory:
            self.writer.resumed(assigned.lease, assigned.start, version)

    def note(self, lease: Lease, version: str) -> str:
        """Return the note of a commit of this lease; empty without a writer."""
        return "" if self.writer is None else self.writer.note(lease, version)

    def keep(self, partitions: Iterable[Partition], every_s: float | None = None) -> None:
        """Copy each partition that has advanced and whose last copy is older than `every_s`.

        None means the configured interval.
        """
        if self.writer is None:
            return
        every_s = self._every_s if every_s is None else every_s
        for partition in partitions:
            fresh = self._clock() - partition.kept_at < every_s
            if not fresh and partition.after > max(partition.kept, partition.position):
                self._offer(self.writer, partition)

    def _offer(self, writer: SnapshotWriter, partition: Partition) -> None:
        frozen, posted = [one.freeze() for one in partition.detectors], self._outbox.posted
        writer.offer(
            partition.lease,
            partition.after,
            partition.ref.version,
            frozen,
            lambda: self._outbox.acknowledged >= posted,
        )
        partition.kept, partition.kept_at = partition.after, self._clock()
