"""Records by columns: an override of the client's private unpacker of record batches.

The client's own unpacker makes one object per record. The override is installed only for the exact
version it was written for. Other versions use the client's unpacker, with the same results; the
source then says that it is slower.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import structlog

from streamer.connect.kafka.client.packed_columns import (
    Envelope,
    EnvelopeRecords,
    Headers,
    Packed,
    PackedMetadata,
    headers_at,
)
from streamer.event import I64

log = structlog.get_logger()

WRITTEN_FOR = "3.0.12"  # version of kafka-python
ONE_BYTE, TWO_BYTES = (1 << 7) - 1, (1 << 14) - 1  # largest numbers of one and two bytes


@dataclass(slots=True)
class Chunk:
    """Rows of one record batch.

    Metadata beside the values is read on demand, from where a row begins.
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
        """Key, headers and timestamp_ms of a row, named as in Rejected."""
        return envelope(*self.beside.envelope(self.begins[row]))


def envelope(key: bytes | None, headers: Headers, timestamp_ms: int | None) -> dict[str, Any]:
    """Metadata of a record, named as in Rejected; a negative time means none."""
    kept = tuple((name, value or b"") for name, value in headers)
    return {
        "key": key,
        "headers": kept,
        "timestamp_ms": None if (timestamp_ms or 0) < 0 else timestamp_ms,
    }


@dataclass(slots=True)
class Joined:
    """Chunks of one partition, joined; implements polled_records.Records."""

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
    """Chunks in the form the client passes on.

    Its length is in records, because the client counts records.
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
    """Make a KafkaConsumer return chunks instead of records.

    Return False, with nothing changed, for another version; the first such call logs a warning.
    """
    problem = degraded()
    if problem is not None:
        _warn(problem)
        return False
    consumer._fetcher.PartitionRecords = _columnar()
    return True


def degraded() -> str | None:
    """Why this client reads record by record, in words; None where it reads by columns."""
    import kafka

    if kafka.__version__ == WRITTEN_FOR:
        return None
    return f"kafka-python {kafka.__version__} is not {WRITTEN_FOR}: records are read one by one"


@cache
def _warn(problem: str) -> None:
    """Log once a process, however many sources there are."""
    fix = f"pip install 'kafka-python=={WRITTEN_FOR}'"
    log.warning("kafka_columns_off", problem=problem, fix=fix)


def chunk_of(batch: Any) -> tuple[Chunk, Exception | None]:
    """Rows of a batch of format 2 before the first malformed record, and that record's error."""
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
    """Fill the columns row by row; return where the last row ends.

    This loop runs for every record, so numbers of one and two bytes are decoded inline, which
    halves its time. A zigzag number is even for 0, 1, 2 .. and odd for -1, -2 ..: a length is half
    of it, and an odd one means null.
    """
    for _ in range(count):
        begins.append(pos)
        number, pos = data[pos], pos + 1  # bytes of the record after this number
        if number > ONE_BYTE:
            number, pos = number + (data[pos] << 7) - 128, pos + 1
            if number > TWO_BYTES:
                number, pos = _longer(data, pos)
        end = pos + (number >> 1 ^ -(number & 1))
        pos += 1  # attributes: none are defined
        while data[pos] > ONE_BYTE:  # the time, decoded on demand
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
    """Decode the zigzag number whose third byte is at `pos`; return it and where it ends."""
    from kafka.record.util import decode_varint

    number, pos = decode_varint(data, pos - 2)
    return number << 1 ^ number >> 63, pos


def _check_headers(data: bytes, pos: int, end: int) -> None:
    _, pos = headers_at(data, pos)
    if pos != end:
        raise ValueError(f"it is {pos - end} bytes longer than it says")


# `_columnar` replaces this base by the client's class at run time, so that Kafka is imported only
# when used.
_PartitionRecords: Any = object


class _Columnar(_PartitionRecords):  # type: ignore[misc] # the library has no types
    """Same order, offsets and errors as the client's class, but one step is a batch."""

    def __init__(self, fetch_offset: int, tp: Any, records: Any, **more: Any) -> None:
        super().__init__(fetch_offset, tp, records, **more)
        self._next_inline_exception: Exception | None = None
        self._left: deque[Chunk] = deque()  # unpacked and not yet taken
        self.record_iterator = self._chunks(records)

    def take(self, n: int | None = None) -> Taken:
        """Take chunks of at most n records together.

        An error after some records is raised by the next call. After an error nothing is left: the
        client would otherwise ask for more forever.
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
        """Yield chunks as the client's `_unpack_records` yields records."""
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
        """Whether a batch holds records to return: no marker, not of an aborted transaction."""
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
        """Drop rows before the requested offset; a batch may begin before it."""
        first = int(np.searchsorted(chunk.offsets, self.fetch_offset))
        if first < len(chunk):
            yield chunk.rows(first, len(chunk)) if first else chunk

    def _old(self, batch: Any) -> Iterator[Chunk]:
        """Unpack formats 0 and 1, of logs begun before 2017, record by record."""
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
    """Return the class with the client's base, which is imported here."""
    from kafka.consumer.fetcher import Fetcher

    return type("Columnar", (_Columnar, Fetcher.PartitionRecords), {})
