"""Records between the client and the batches they become, in the order they came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamer.connect.formats.decoder import Decoder
from streamer.connect.kafka.consumer.decode import decode
from streamer.connect.kafka.consumer.polled_records import Records, gathered
from streamer.connect.kafka.diagnosis.background import Ailment
from streamer.errors import RetryLater
from streamer.event import EventBatch, Lease, Rejected


class Undecoded:
    """One decoder per lease. What cannot be decoded now waits, and all that came after it."""

    def __init__(
        self, make: Callable[[Lease], Decoder], max_line_bytes: int, holds: Callable[[Lease], bool]
    ) -> None:
        """Records of leases that are not held any more are passed over."""
        self._waits_for = ""  # what decoding waits for
        self._make, self._max_line_bytes, self._holds = make, max_line_bytes, holds
        self._decoders: dict[Lease, Decoder] = {}
        self._records: list[tuple[Lease, Records]] = []
        self._decoded: tuple[list[EventBatch], list[Rejected]] = ([], [])

    @property
    def problem(self) -> Ailment | None:
        return Ailment(self._waits_for, known=True) if self._waits_for else None

    @property
    def pending(self) -> bool:
        return bool(self._records)

    def admit(self, lease: Lease) -> None:
        """Before its first records."""
        decoder = self._decoders[lease] = self._make(lease)
        decoder.max_line_bytes = self._max_line_bytes

    def forget(self, lease: Lease) -> None:
        self._decoders.pop(lease, None)

    def add(self, lease: Lease, rows: Sequence[Any]) -> None:
        """What the client brought of one partition."""
        self._records.append((lease, gathered(rows)))

    def decode(self) -> None:
        """As far as it goes now."""
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
        """What was decoded since the last call."""
        taken, self._decoded = self._decoded, ([], [])
        return taken
