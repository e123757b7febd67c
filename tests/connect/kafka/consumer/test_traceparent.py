"""The trace context of records: which events have one, and that nothing is looked up before
somebody asks.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.json import JsonDecoder
from streamer.connect.kafka.client.columnar_patch import Joined, chunk_of
from streamer.connect.kafka.consumer.decode import decode
from streamer.connect.kafka.consumer.polled_records import Listed, Records
from streamer.connect.kafka.consumer.traceparent import HEADER, VALID, Traces
from streamer.event import Lease
from tests.connect.kafka.consumer.test_source_parts import Row

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOT_ONE = [
    b"",
    b"\xff",
    TRACE.upper(),
    TRACE + b"-x",
    b"ff" + TRACE[2:],
    TRACE[:3] + b"0" * 32 + TRACE[35:],
    TRACE[:36] + b"0" * 16 + TRACE[52:],
]
headers = st.lists(
    st.tuples(
        st.sampled_from([HEADER, "other", "é"]), st.none() | st.sampled_from([TRACE, b"", b"no"])
    ),
    max_size=3,
)
VALUE = b'{"x": 1}'


def packed(rows: list[list[tuple[str, bytes | None]]], first: int = 0, cut: int = 0) -> Joined:
    """Records with these headers as the broker sends them, in two batches, without the
    first `cut`.
    """
    chunks, at = [], first
    for part in (rows[::2], rows[1::2]):
        builder = MemoryRecordsBuilder(2, 0, 1 << 20, offset=at)
        for head in part:
            builder.append(5, None, VALUE, head)
        builder.close()
        if part:
            chunk, problem = chunk_of(MemoryRecords(builder.buffer()).next_batch())
            assert problem is None
            chunks.append(chunk.rows(min(cut, len(chunk)), len(chunk)))
        at += len(part)
    return Joined.of(chunks)


def listed(rows: list[list[tuple[str, bytes | None]]]) -> Listed:
    return Listed.of(
        [Row(at, VALUE, headers=tuple(head)) for at, head in enumerate([*rows[::2], *rows[1::2]])]
    )


def expected(rows: list[list[tuple[str, bytes | None]]]) -> dict[int, str]:
    found = enumerate([*rows[::2], *rows[1::2]])
    return {at: TRACE.decode() for at, head in found if (HEADER, TRACE) in head}


@given(st.lists(headers, min_size=1, max_size=12))
def test_an_event_has_the_trace_of_its_record(rows: list[list[tuple[str, bytes | None]]]) -> None:
    kinds: list[Records] = [packed(rows), listed(rows)]
    for records in kinds:
        assert dict(Traces.of(records) or {}) == expected(rows)


@given(st.lists(headers, min_size=2, max_size=8), st.integers(0, 3))
def test_a_part_of_a_batch_keeps_its_offsets(
    rows: list[list[tuple[str, bytes | None]]], cut: int
) -> None:
    part = packed(rows, cut=cut)
    left = {at: trace for at, trace in expected(rows).items() if at in part.offsets}
    assert dict(Traces.of(part) or {}) == left if len(part) else True


@pytest.mark.parametrize("text", NOT_ONE)
def test_what_is_no_trace_context_is_none(text: bytes) -> None:
    assert VALID.fullmatch(text) is None
    assert dict(Traces.of(packed([[(HEADER, text)]])) or {}) == {}


@pytest.mark.parametrize("text", [TRACE, b"01" + TRACE[2:], b"01" + TRACE[2:] + b"-more"])
def test_a_later_version_may_say_more(text: bytes) -> None:
    assert dict(Traces.of(packed([[(HEADER, text)]])) or {}) == {0: text.decode()}


class Watched(Joined):
    """Counts what is looked up."""

    looked_up = 0

    def envelope(self, row: int) -> dict[str, Any]:
        Watched.looked_up += 1
        return super().envelope(row)


def batch_of(records: Records) -> Any:
    decoder = JsonDecoder(RecordFields(("x",)), stream="s")
    return decode(records, decoder, Lease("t", 0))[0]


def test_nothing_is_looked_up_before_somebody_asks() -> None:
    records = packed([[(HEADER, TRACE)]] * 50)
    batch = batch_of(Watched(records.chunks, records.offsets, records.values))
    assert Watched.looked_up == 0
    assert batch.rows(slice(10, 20)).traces.get(12) == TRACE.decode()
    assert Watched.looked_up == 1


def test_records_without_the_header_are_not_kept() -> None:
    assert batch_of(packed([[], [("other", TRACE)]])).traces is None
