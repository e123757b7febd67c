"""Records by columns: an override of the client's private unpacker, which makes an object of each
record.

Only for the exact version it was written against; any other keeps the client's own way, with the
same results.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from streamer.connect.kafka.client.packed_columns import (
    Envelope,
    EnvelopeRecords,
    Headers,
    Packed,
    PackedMetadata,
    headers_at,
)
from streamer.event import I64

WRITTEN_FOR = "3.0.12"  # of kafka-python
ONE_BYTE, TWO_BYTES = (1 << 7) - 1, (1 << 14) - 1  # largest numbers


@dataclass(slots=True)
class Chunk:
    """Rows of one record batch. Few ask for what stands beside the values: it is read where a row
    begins.
    """

    offsets: I64
    values: Sequence[bytes | None]
    begins: Sequence[Any]
    beside: PackedMetadata

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, start: int, stop: int) -> Chunk:
        part = slice(start, stop)
        return Chunk(self.offsets[part], self.values[part], self.begins[part], self.beside)

    def envelope(self, row: int) -> dict[str, Any]:
        """Key, headers and timestamp_ms of a row, as a Rejected names them."""
        return envelope(*self.beside.envelope(self.begins[row]))


def envelope(key: bytes | None, headers: Headers, timestamp_ms: int | None) -> dict[str, Any]:
    """As a Rejected names them; a time below zero is none."""
    kept = tuple((name, value or b"") for name, value in headers)
    return {
        "key": key,
        "headers": kept,
        "timestamp_ms": None if (timestamp_ms or 0) < 0 else timestamp_ms,
    }


@dataclass(slots=True)
class Joined:
    """Chunks of one partition as one: `decode.Records`."""

    chunks: Sequence[Chunk]
    offsets: I64
    values: list[bytes | None]

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> Joined:
        values = [value for chunk in chunks for value in chunk.values]
        return cls(chunks, np.concatenate([chunk.offsets for chunk in chunks]), values)

    def __len__(self) -> int:
        return len(self.values)

    def envelope(self, row: int) -> dict[str, Any]:
        for chunk in self.chunks:
            if row < len(chunk):
                return chunk.envelope(row)
            row -= len(chunk)
        raise IndexError(row)

    def keys(self) -> list[bytes | None]:
        return [key for chunk in self.chunks for key in chunk.beside.keys(chunk.begins)]

    def times_ms(self) -> I64:
        return np.concatenate([chunk.beside.times_ms(chunk.begins) for chunk in self.chunks])

    def mentions(self, header: str) -> bool:
        return any(chunk.beside.mentions(header.encode()) for chunk in self.chunks)


class Taken:
    """Chunks as the client hands them on: its length is in records, which is what the client
    counts.
    """

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._records = 0

    def add(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self._records += len(chunk)

    def __len__(self) -> int:
        return self._records

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self._chunks)


def install(consumer: Any) -> bool:
    """Let a KafkaConsumer bring chunks instead of records; False, and nothing done, for another
    version.
    """
    import kafka

    if kafka.__version__ != WRITTEN_FOR:
        return False
    consumer._fetcher.PartitionRecords = _columnar()
    return True


def chunk_of(batch: Any) -> tuple[Chunk, Exception | None]:
    """The rows of a batch of format 2, up to the first that is not well formed, and what is wrong
    with that one.
    """
    from kafka.errors import CorruptRecordError

    batch._maybe_uncompress()
    data, pos, base = bytes(batch._buffer), batch._pos, batch.base_offset
    begins: list[int] = []
    deltas: list[int] = []
    values: list[bytes | None] = []
    problem: Exception | None = None
    try:
        pos = _unpack(data, pos, batch.records_count, begins, deltas, values)
    except (ValueError, IndexError) as exc:
        problem = CorruptRecordError(f"a record of the batch at {base} is not well formed: {exc!r}")
    else:
        if pos != len(data):
            problem = CorruptRecordError(
                f"{len(data) - pos} bytes are left after the records of the batch at {base}"
            )
    offsets = np.array(deltas, np.int64) + base
    return Chunk(offsets, values, begins[: len(values)], Packed(batch, data)), problem


def _unpack(
    data: bytes,
    pos: int,
    count: int,
    begins: list[int],
    deltas: list[int],
    values: list[bytes | None],
) -> int:
    """Fill the columns row by row; where the last one ends.

    Everything here is paid for by every record, so numbers of one and two bytes are read in place:
    half the time. A number as it is written is even for 0, 1, 2 .. and odd for -1, -2 ..: half of
    it is a length, or there is none.
    """
    for _ in range(count):
        begins.append(pos)
        number, pos = data[pos], pos + 1  # bytes behind it
        if number > ONE_BYTE:
            number, pos = number + (data[pos] << 7) - 128, pos + 1
            if number > TWO_BYTES:
                number, pos = _longer(data, pos)
        end = pos + (number >> 1 ^ -(number & 1))
        pos += 1  # attributes: none are defined
        while data[pos] > ONE_BYTE:  # the time, which few ask for
            pos += 1
        number, pos = data[pos + 1], pos + 2  # offset
        if number > ONE_BYTE:
            number, pos = number + (data[pos] << 7) - 128, pos + 1
            if number > TWO_BYTES:
                number, pos = _longer(data, pos)
        delta = number >> 1 ^ -(number & 1)
        number, pos = data[pos], pos + 1  # bytes of the key
        if number > ONE_BYTE:
            number, pos = number + (data[pos] << 7) - 128, pos + 1
            if number > TWO_BYTES:
                number, pos = _longer(data, pos)
        pos += 0 if number & 1 else number >> 1
        number, pos = data[pos], pos + 1  # bytes of the value
        if number > ONE_BYTE:
            number, pos = number + (data[pos] << 7) - 128, pos + 1
            if number > TWO_BYTES:
                number, pos = _longer(data, pos)
        begin = pos
        pos += 0 if number & 1 else number >> 1
        if data[pos] or pos + 1 != end:
            _check_headers(data, pos, end)
        values.append(None if number & 1 else data[begin:pos])
        deltas.append(delta)
        pos = end
    return pos


def _longer(data: bytes, pos: int) -> tuple[int, int]:
    """The number, as it is written, whose third byte is at `pos`, and where it ends."""
    from kafka.record.util import decode_varint

    number, pos = decode_varint(data, pos - 2)
    return number << 1 ^ number >> 63, pos


def _check_headers(data: bytes, pos: int, end: int) -> None:
    _, pos = headers_at(data, pos)
    if pos != end:
        raise ValueError(f"it is {pos - end} bytes longer than it says")


# The client's own stands in its place at run time (`_columnar`): it is imported only where there is
# a Kafka.
_PartitionRecords: Any = object


class _Columnar(_PartitionRecords):  # type: ignore[misc] # the library has no types
    """Same order, same offsets, same errors as the client's own; one step is a batch,
    not a record.
    """

    def __init__(self, fetch_offset: int, tp: Any, records: Any, **more: Any) -> None:
        super().__init__(fetch_offset, tp, records, **more)
        self._next_inline_exception: Exception | None = None
        self._left: deque[Chunk] = deque()  # unpacked and not yet taken
        self.record_iterator = self._chunks(records)

    def take(self, n: int | None = None) -> Taken:
        """Chunks of at most n records together. An error behind some records is raised by the next
        call.

        After an error there is nothing left: the client would ask its own for more, in a loop
        without end.
        """
        from kafka.errors import KafkaError

        taken = Taken()
        problem: Exception | None = self._next_inline_exception
        try:
            while problem is None and (n is None or len(taken) < n) and self._advance():
                self._take(taken, n)
        except KafkaError as exc:
            problem = exc
        if problem is not None and not len(taken):
            self.drain()
            raise problem
        self._next_inline_exception = problem
        return taken

    def drain(self) -> None:
        self._left.clear()
        super().drain()

    def _advance(self) -> bool:
        if not self._left:
            self._left.extend(
                chunk for chunk in [next(self.record_iterator, None)] if chunk is not None
            )
        return bool(self._left)

    def _take(self, taken: Taken, n: int | None) -> None:
        chunk = self._left.popleft()
        room = len(chunk) if n is None else n - len(taken)
        if room < len(chunk):
            self._left.append(chunk.rows(room, len(chunk)))
            chunk = chunk.rows(0, room)
        taken.add(chunk)
        self.records_read += len(chunk)
        self.next_fetch_offset = int(chunk.offsets[-1]) + 1

    def _chunks(self, records: Any) -> Iterator[Chunk]:
        """What the client's `_unpack_records` does, a batch at a time."""
        from kafka.errors import CorruptRecordError

        last, batch = None, records.next_batch()
        while batch is not None:
            last = batch
            if self.check_crcs and not batch.validate_crc():
                raise CorruptRecordError(
                    f"the batch of {self.topic_partition} at offset {batch.base_offset} fails its "
                    f"checksum"
                )
            if batch.magic != 2:
                yield from self._old(batch)
            elif self._is_for_us(batch):
                self.bytes_read += batch.size_in_bytes
                chunk, problem = chunk_of(batch)
                yield from self._wanted(chunk)
                if problem is not None:
                    raise problem
            else:
                self.next_fetch_offset = batch.next_offset
            batch = records.next_batch()
        if last is not None and last.magic == 2:
            self.next_fetch_offset = last.next_offset
        self.drain()

    def _is_for_us(self, batch: Any) -> bool:
        """Neither a marker nor of an aborted transaction."""
        from kafka.protocol.consumer import IsolationLevel

        self.leader_epoch = batch.leader_epoch
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return False
        return not batch.is_control_batch

    def _wanted(self, chunk: Chunk) -> Iterator[Chunk]:
        """A batch may begin before the offset that was asked for."""
        first = int(np.searchsorted(chunk.offsets, self.fetch_offset))
        if first < len(chunk):
            yield chunk.rows(first, len(chunk)) if first else chunk

    def _old(self, batch: Any) -> Iterator[Chunk]:
        """Formats 0 and 1, of logs begun before 2017: record by record, as the client does."""
        from kafka.errors import CorruptRecordError

        for record in batch:
            if self.check_crcs and not record.validate_crc():
                raise CorruptRecordError(
                    f"the record of {self.topic_partition} at offset {record.offset} fails its "
                    f"checksum"
                )
            self.bytes_read += record.size_in_bytes
            kept: Envelope = record.key, record.headers, record.timestamp
            yield from self._wanted(
                Chunk(
                    np.array([record.offset], np.int64), [record.value], [kept], EnvelopeRecords()
                )
            )


@cache
def _columnar() -> type:
    """The class with its base, which is imported only where there is a Kafka."""
    from kafka.consumer.fetcher import Fetcher

    return type("Columnar", (_Columnar, Fetcher.PartitionRecords), {})
