"""What stands beside the values of records and few ask for: keys, times and headers, read where a row begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from streamer.event import I64

Headers = Sequence[tuple[str, bytes | None]]
Envelope = tuple[bytes | None, Headers, int | None]  # key, headers, time in ms


class Beside(Protocol):
    """The rest of the records of a batch; `begins` are the marks of some of its rows."""

    def envelope(self, begin: Any) -> Envelope: ...

    def keys(self, begins: Sequence[Any]) -> list[bytes | None]: ...

    def times_ms(self, begins: Sequence[Any]) -> I64:
        """(N,), below zero: none."""

    def mentions(self, header: bytes) -> bool:
        """Whether some record may have a header of that name. False is certain."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch of format 2: a row's mark is the place in `data` where its record begins."""

    batch: Any  # of the client
    data: bytes

    def envelope(self, begin: int) -> Envelope:
        from kafka.record.util import decode_varint

        key, pos = _key_at(self.data, begin)
        size, pos = decode_varint(self.data, pos)
        headers, _ = headers_at(self.data, pos + max(size, 0))
        return key, headers, int(self.times_ms([begin])[0])

    def keys(self, begins: Sequence[int]) -> list[bytes | None]:
        return [_key_at(self.data, begin)[0] for begin in begins]

    def times_ms(self, begins: Sequence[int]) -> I64:
        if self.batch.timestamp_type == self.batch.LOG_APPEND_TIME:
            return np.full(len(begins), self.batch.max_timestamp, np.int64)
        late = np.fromiter((_late_at(self.data, begin) for begin in begins), np.int64, len(begins))
        return late + self.batch.first_timestamp

    def mentions(self, header: bytes) -> bool:
        return header in self.data


class Kept:
    """Records of formats 0 and 1, which know no headers: a row's mark is its envelope."""

    def envelope(self, begin: Envelope) -> Envelope:
        return begin

    def keys(self, begins: Sequence[Envelope]) -> list[bytes | None]:
        return [key for key, _, _ in begins]

    def times_ms(self, begins: Sequence[Envelope]) -> I64:
        return np.array([-1 if at_ms is None else at_ms for _, _, at_ms in begins], np.int64)

    def mentions(self, header: bytes) -> bool:
        return False


def _late_at(data: bytes, pos: int) -> int:
    """How much later a record is than its batch, ms."""
    from kafka.record.util import decode_varint

    while data[pos] & 0x80:  # its length
        pos += 1
    return int(decode_varint(data, pos + 2)[0])  # behind the attributes


def _key_at(data: bytes, pos: int) -> tuple[bytes | None, int]:
    """The key of a record, and where it ends."""
    from kafka.record.util import decode_varint

    while data[pos] & 0x80:  # its length
        pos += 1
    pos += 2
    while data[pos] & 0x80:  # its time
        pos += 1
    pos += 1
    while data[pos] & 0x80:  # its offset
        pos += 1
    size, pos = decode_varint(data, pos + 1)
    return (data[pos : pos + size], pos + size) if size >= 0 else (None, pos)


def headers_at(data: bytes, pos: int) -> tuple[list[tuple[str, bytes | None]], int]:
    """The headers that begin there, and where they end. ValueError or IndexError if they are not well formed."""
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
