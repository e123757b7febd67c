"""A queue of fetched records that are not decoded yet, in order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamer.connect.formats.decoder import Decoder
from streamer.connect.kafka.consumer.decode import decode
from streamer.connect.kafka.consumer.polled_records import Records, gathered
from streamer.connect.kafka.diagnosis.background import SourceProblem
from streamer.errors import RetryLater
from streamer.event import EventBatch, Lease, Rejected


class DecodeQueue:
    """A decode queue with one decoder per lease.

    If a record cannot be decoded now, it and all later records wait.
    """

    def __init__(
        self, make: Callable[[Lease], Decoder], max_line_bytes: int, holds: Callable[[Lease], bool]
    ) -> None:
        """Create the queue; records of leases that are no longer held are skipped."""
        self._waits_for = ""  # reason why decoding waits
        self._make, self._max_line_bytes, self._holds = make, max_line_bytes, holds
        self._decoders: dict[Lease, Decoder] = {}
        self._records: list[tuple[Lease, Records]] = []
        self._decoded: tuple[list[EventBatch], list[Rejected]] = ([], [])

    @property
    def problem(self) -> SourceProblem | None:
        return SourceProblem(self._waits_for, known=True) if self._waits_for else None

    @property
    def pending(self) -> bool:
        return bool(self._records)

    def admit(self, lease: Lease) -> None:
        """Create the decoder of a lease, before its first records."""
        decoder = self._decoders[lease] = self._make(lease)
        decoder.max_line_bytes = self._max_line_bytes

    def forget(self, lease: Lease) -> None:
        self._decoders.pop(lease, None)

    def add(self, lease: Lease, rows: Sequence[Any]) -> None:
        """Add records of one partition, as the client returned them."""
        self._records.append((lease, gathered(rows)))

    def decode(self) -> None:
        """Decode until the queue is empty or a record has to wait."""
        batches, rejected = self._decoded
        self._waits_for = ""
        while self._records:
            lease, records = self._records[0]
            if self._holds(lease):
                try:
                    batch, bad = decode(records, self._decoders[lease], lease)
                except RetryLater as exc:
                    self._waits_for = str(exc)
                    return
                batches += [batch] if len(batch) else []
                rejected += bad
            self._records.pop(0)

    def take(self) -> tuple[list[EventBatch], list[Rejected]]:
        """Return what was decoded since the last call."""
        taken, self._decoded = self._decoded, ([], [])
        return taken
