"""Keys and times of packed records by columns: the same as record by record, whatever they are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.record.util import encode_varint

from streamer.connect.kafka.client.columnar_patch import Chunk, chunk_of
from streamer.connect.kafka.client.packed_columns import varints

blobs = st.none() | st.binary(max_size=300)
rows = st.lists(st.tuples(st.integers(0, 2**45), blobs, blobs), min_size=1, max_size=20)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_numbers_by_columns_are_the_numbers_that_were_written(numbers: list[int]) -> None:
    written, begins = bytearray(), []
    for number in numbers:
        begins.append(len(written))
        encode_varint(number, written.append)
    found, ends = varints(np.frombuffer(bytes(written), np.uint8), np.array(begins))
    assert (found.tolist(), ends.tolist()) == (numbers, [*begins[1:], len(written)])


def packed(records: list[tuple[int, bytes | None, bytes | None]]) -> Chunk:
    builder = MemoryRecordsBuilder(2, 0, 1 << 20, offset=40)
    for at_ms, key, value in records:
        builder.append(at_ms, key, value, [("h", b"x")])
    builder.close()
    chunk, problem = chunk_of(MemoryRecords(builder.buffer()).next_batch())
    assert problem is None
    return chunk


@given(rows)
def test_keys_and_times_are_those_of_each_record(
    records: list[tuple[int, bytes | None, bytes | None]],
) -> None:
    chunk = packed(records)
    assert chunk.beside.keys(chunk.begins) == [key for _, key, _ in records]
    assert chunk.beside.times_ms(chunk.begins).tolist() == [at_ms for at_ms, _, _ in records]
    assert [chunk.beside.envelope(at) for at in chunk.begins] == [
        (key, [("h", b"x")], t) for t, key, _ in records
    ]


def test_where_the_topic_keeps_the_brokers_time_every_record_has_it() -> None:
    chunk = packed([(5, None, b"a"), (9, b"k", b"b")])
    batch = getattr(chunk.beside, "batch")  # noqa: B009 - of this kind of chunk only
    header = list(batch._header_data)
    header[5] |= batch.TIMESTAMP_TYPE_MASK
    batch._header_data = tuple(header)
    assert batch.timestamp_type == batch.LOG_APPEND_TIME
    assert chunk.beside.times_ms(chunk.begins).tolist() == [9, 9]
    assert [chunk.beside.envelope(at)[2] for at in chunk.begins] == [9, 9]
