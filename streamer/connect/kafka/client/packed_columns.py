"""Metadata of records decoded on demand: keys, times and headers, from where a row begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from streamer.event import I64, U8

Headers = Sequence[tuple[str, bytes | None]]
Envelope = tuple[bytes | None, Headers, int | None]  # key, headers, time in ms


class PackedMetadata(Protocol):
    """Metadata of the records of a batch; `begins` are the marks of some of its rows."""

    def envelope(self, begin: Any) -> Envelope: ...

    def keys(self, begins: Sequence[Any]) -> list[bytes | None]: ...

    def times_ms(self, begins: Sequence[Any]) -> I64:
        """Times (N,); negative if there is none."""

    def mentions(self, header: bytes) -> bool:
        """Whether a record may have a header of that name; False is certain."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Metadata of a batch of format 2.

    A row's mark is the index in `data` where its record begins.
    """

    batch: Any  # the client's batch
    data: bytes

    def envelope(self, begin: int) -> Envelope:
        from kafka.record.util import decode_varint

        data = self.data
        _, pos = decode_varint(data, begin)
        late_ms, pos = decode_varint(data, pos + 1)
        _, pos = decode_varint(data, pos)
        size, pos = decode_varint(data, pos)
        key = data[pos : pos + size] if size >= 0 else None
        size, pos = decode_varint(data, pos + max(size, 0))
        headers, _ = headers_at(data, pos + max(size, 0))
        at_ms = self._appended_ms()
        return key, headers, self.batch.first_timestamp + late_ms if at_ms is None else at_ms

    def keys(self, begins: Sequence[int]) -> list[bytes | None]:
        octets, (_, at) = self._octets(), self._late(begins)
        _, at = varints(octets, at)
        sizes, at = varints(octets, at)
        data, ends = self.data, (at + sizes).tolist()
        return [data[a:b] if b >= a else None for a, b in zip(at.tolist(), ends, strict=True)]

    def times_ms(self, begins: Sequence[int]) -> I64:
        at_ms = self._appended_ms()
        if at_ms is not None:
            return np.full(len(begins), at_ms, np.int64)
        return self._late(begins)[0] + np.int64(self.batch.first_timestamp)

    def _octets(self) -> U8:
        return np.frombuffer(self.data, np.uint8)

    def _late(self, begins: Sequence[int]) -> tuple[I64, I64]:
        """Milliseconds of each record after its batch's first time, and where the number ends."""
        _, at = varints(self._octets(), np.array(begins, np.int64))
        return varints(self._octets(), at + 1)  # after the attributes

    def _appended_ms(self) -> int | None:
        """When the broker appended the batch, if the topic stores that time; else None."""
        batch = self.batch
        return int(batch.max_timestamp) if batch.timestamp_type == batch.LOG_APPEND_TIME else None

    def mentions(self, header: bytes) -> bool:
        return header in self.data


class EnvelopeRecords:
    """Metadata of records of formats 0 and 1, which have no headers.

    A row's mark is its envelope.
    """

    def envelope(self, begin: Envelope) -> Envelope:
        return begin

    def keys(self, begins: Sequence[Envelope]) -> list[bytes | None]:
        return [key for key, _, _ in begins]

    def times_ms(self, begins: Sequence[Envelope]) -> I64:
        return np.array([-1 if at_ms is None else at_ms for _, _, at_ms in begins], np.int64)

    def mentions(self, header: bytes) -> bool:
        return False


def varints(octets: U8, at: I64) -> tuple[I64, I64]:
    """Decode zigzag varints (N,) at these indices; return them and where they end."""
    value, more, shift = np.zeros(len(at), np.uint64), np.ones(len(at), bool), 0
    while more.any():
        # the index may be past the end once a number has ended
        octet = octets[np.minimum(at, len(octets) - 1)]
        value |= np.where(more, (octet & 0x7F).astype(np.uint64) << np.uint64(shift), 0).astype(
            np.uint64
        )
        at, more, shift = at + more, more & (octet >= 0x80), shift + 7
    return (value >> np.uint64(1)).view(np.int64) ^ -(value & np.uint64(1)).view(np.int64), at


def headers_at(data: bytes, pos: int) -> tuple[list[tuple[str, bytes | None]], int]:
    """Headers at an index, and where they end.

    ValueError or IndexError if they are malformed.
    """
    from kafka.record.util import decode_varint

    count, pos = decode_varint(data, pos)
    headers: list[tuple[str, bytes | None]] = []
    if count < 0:
        raise ValueError(f"it has {count} headers")
    for _ in range(count):
        size, pos = decode_varint(data, pos)
        if size < 0:
            raise ValueError(f"a header's name has {size} bytes")
        name = data[pos : pos + size].decode()
        size, pos = decode_varint(data, pos + size)
        headers.append((name, data[pos : pos + size] if size >= 0 else None))
        pos += max(size, 0)
    return headers, pos
