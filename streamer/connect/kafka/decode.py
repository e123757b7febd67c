"""Records of one partition to a batch and to what was refused, which keeps its key, headers and time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from streamer.connect.codec import Decoder
from streamer.connect.envelope import KEY, TIMESTAMP, Beside
from streamer.connect.kafka.records import Chunk, Joined, envelope
from streamer.connect.kafka.traces import Traces
from streamer.event import I64, EventBatch, Lease, Rejected


class Records(Protocol):
    """Records of one partition by columns, in log order."""

    @property
    def offsets(self) -> I64: ...

    @property
    def values(self) -> Sequence[bytes | None]: ...

    def __len__(self) -> int: ...

    def envelope(self, row: int) -> dict[str, Any]:
        """Key, headers and timestamp_ms of a row, as a Rejected names them."""

    def keys(self) -> list[bytes | None]: ...

    def times_ms(self) -> I64:
        """(N,) of the records in their log; below zero: none."""

    def mentions(self, header: str) -> bool:
        """Whether some record may have a header of that name. False is certain."""


@dataclass(slots=True)
class Listed:
    """Records as the client gives them, one object each."""

    rows: Sequence[Any]
    offsets: I64
    values: Sequence[bytes | None]

    @classmethod
    def of(cls, rows: Sequence[Any]) -> Listed:
        offsets = np.fromiter((row.offset for row in rows), np.int64, len(rows))
        return cls(rows, offsets, [row.value for row in rows])

    def __len__(self) -> int:
        return len(self.rows)

    def envelope(self, row: int) -> dict[str, Any]:
        record = self.rows[row]
        return envelope(record.key, record.headers, record.timestamp)

    def keys(self) -> list[bytes | None]:
        return [row.key for row in self.rows]

    def times_ms(self) -> I64:
        return np.array([-1 if row.timestamp is None else row.timestamp for row in self.rows], np.int64)

    def mentions(self, header: str) -> bool:
        return any(name == header for row in self.rows for name, _ in row.headers)


def gathered(rows: Sequence[Any]) -> Records:
    """What the client brought of one partition: its records, or our chunks of them."""
    return Joined.of(rows) if isinstance(rows[0], Chunk) else Listed.of(rows)


def decode(records: Records, decoder: Decoder, lease: Lease) -> tuple[EventBatch, list[Rejected]]:
    """What the decoder makes of the values. Records without a value are refused as tombstones."""
    values, offsets, beside = records.values, records.offsets, _beside(records, decoder.fields.outside, lease)
    tombstones: list[Rejected] = []
    if None in values:
        empty = np.array([value is None for value in values], dtype=bool)
        tombstones = [Rejected(int(o), "tombstone", "the record has no value", b"") for o in offsets[empty]]
        values, offsets = [value for value in values if value is not None], offsets[~empty]
        beside = None if beside is None else beside.rows(~empty)
    batch, rejected = decoder.decode(values, offsets, beside)  # type: ignore[arg-type] # no None is left
    batch = replace(batch, topic=lease.topic, partition=lease.partition, epoch=lease.epoch, traces=Traces.of(records))
    return batch, [_addressed(one, records, lease) for one in _merged(tombstones, rejected)]


def _beside(records: Records, outside: Collection[str], lease: Lease) -> Beside | None:
    """The columns that are read, and no others."""
    if not outside:
        return None
    keys = records.keys() if KEY in outside else ()
    return Beside(lease, keys, records.times_ms() if TIMESTAMP in outside else None)


def _merged(tombstones: list[Rejected], rejected: list[Rejected]) -> list[Rejected]:
    return sorted([*tombstones, *rejected], key=lambda one: one.offset) if tombstones else rejected


def _addressed(one: Rejected, records: Records, lease: Lease) -> Rejected:
    row = int(np.searchsorted(records.offsets, one.offset))
    return replace(one, lease=lease, **records.envelope(row))
