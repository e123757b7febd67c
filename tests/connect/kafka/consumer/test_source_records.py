"""Records by columns against the client's own unpacker: the same records, offsets and errors from
the same bytes.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass, field
from typing import Any

import kafka
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, KafkaError
from kafka.protocol.consumer import IsolationLevel
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.record.util import calc_crc32c, decode_varint
from structlog.testing import capture_logs

from streamer.connect.kafka.client.columnar_patch import (
    WRITTEN_FOR,
    _columnar,
    chunk_of,
    degraded,
    install,
)
from streamer.connect.kafka.consumer.polled_records import Listed, gathered

TP = TopicPartition("t", 0)
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = [NONE, GZIP, SNAPPY, LZ4, ZSTD]
START = 100  # offset of the first record

blobs = st.none() | st.binary(max_size=200)
headers = st.lists(st.tuples(st.text(max_size=5), blobs), max_size=2)
record = st.tuples(st.integers(0, 2**45), blobs, blobs, headers, st.integers(1, 3))


@dataclass
class Log:
    """Batches one after the other, as a fetch brings them, and the transactions that
    were aborted.
    """

    data: bytes = b""
    next: int = START
    aborted: list[Any] = field(default_factory=list)

    def batch(
        self, records: list[Any], codec: int = NONE, producer: int = -1, magic: int = 2
    ) -> None:
        epoch = 0 if producer >= 0 else -1
        builder = MemoryRecordsBuilder(
            magic,
            codec,
            1 << 23,
            offset=self.next,
            transactional=producer >= 0,
            producer_id=producer,
            producer_epoch=epoch,
            base_sequence=epoch,
        )
        for at_ms, key, value, head, step in records:
            builder.append(at_ms, key, value, head if magic == 2 else None)
            builder.skip(step - 1)
        builder.close()
        self.next = builder._next_offset
        self.data += builder.buffer()

    def end_transaction(self, producer: int, commit: bool, began: int) -> None:
        """A control batch of one marker."""
        builder = DefaultRecordBatchBuilder(2, NONE, True, producer, 0, -1, 1 << 10)
        builder.append(0, 1, struct.pack(">hh", 0, int(commit)), b"\0" * 6, [])
        marker = bytearray(builder.build())
        struct.pack_into(">q", marker, 0, self.next)
        struct.pack_into(">i", marker, 12, 7)  # of the leader
        marker[DefaultRecordBatch.ATTRIBUTES_OFFSET + 1] |= DefaultRecordBatch.CONTROL_MASK
        _seal(marker)
        self.data, self.next = self.data + bytes(marker), self.next + 1
        if not commit:
            self.aborted.append(_Aborted(producer, began))


@dataclass(frozen=True)
class _Aborted:
    producer_id: int
    first_offset: int


def _seal(batch: bytearray) -> None:
    crc = calc_crc32c(memoryview(bytes(batch))[DefaultRecordBatch.ATTRIBUTES_OFFSET :])
    struct.pack_into(">I", batch, DefaultRecordBatch.CRC_OFFSET, crc)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    log = Log()
    for _ in range(draw(st.integers(0, 5))):
        records, codec = (
            draw(st.lists(record, min_size=1, max_size=6)),
            draw(st.sampled_from(CODECS)),
        )
        producer = draw(st.sampled_from([-1, 1, 2]))
        began = log.next
        log.batch(records, codec, producer)
        if producer >= 0:
            log.end_transaction(producer, draw(st.booleans()), began)
    return log


def _unpacker(kind: type, log: Log, fetch_offset: int, level: Any, crcs: bool = True) -> Any:
    records = MemoryRecords(log.data)
    aborted = list(log.aborted)
    return kind(
        fetch_offset,
        TP,
        records,
        check_crcs=crcs,
        isolation_level=level,
        aborted_transactions=aborted,
    )


def _rows(taken: Any) -> list[tuple[Any, ...]]:
    """Offset, value, key, headers and time of each record."""
    if not len(taken):
        return []
    got = gathered(list(taken))
    return [
        (int(got.offsets[i]), got.values[i], *got.envelope(i).values()) for i in range(len(got))
    ]


def _all(part: Any, sizes: list[int]) -> list[Any]:
    """What every take brings, and where the next fetch would go on."""
    found: list[Any] = []
    for size in sizes:
        if not part:
            break
        try:
            rows: Any = _rows(part.take(size))
        except KafkaError as exc:
            found.append(type(exc))
            break
        found.append((rows, part.next_fetch_offset, part.leader_epoch))
    return found


@given(
    logs(),
    st.integers(0, 40),
    st.lists(st.integers(1, 7), max_size=40),
    st.sampled_from(list(IsolationLevel)),
)
def test_by_columns_or_one_by_one_the_records_are_the_same(
    log: Log, skip: int, sizes: list[int], level: Any
) -> None:
    takes = [*sizes, 10_000, 10_000]
    stock = _unpacker(Fetcher.PartitionRecords, log, START + skip, level)
    ours = _unpacker(_columnar(), log, START + skip, level)
    assert _all(ours, takes) == _all(stock, takes)
    assert bool(ours) == bool(stock)


@given(st.lists(record, min_size=1, max_size=6), st.data())
def test_a_batch_that_is_not_well_formed_is_an_error_both_ways(
    records: list[Any], data: st.DataObject
) -> None:
    log = Log()
    log.batch(records)
    batch = bytearray(log.data)
    places = set(range(DefaultRecordBatch.HEADER_STRUCT.size, len(batch))) - _attributes(log.data)
    place = data.draw(st.sampled_from(sorted(places)))
    batch[place] ^= data.draw(st.integers(1, 255))
    torn = Log(bytes(batch))
    with pytest.raises(CorruptRecordError):
        _unpacker(_columnar(), torn, START, IsolationLevel.READ_UNCOMMITTED).take(100)
    _seal(batch)
    sealed = Log(bytes(batch))
    stock = _all(
        _unpacker(Fetcher.PartitionRecords, sealed, 0, IsolationLevel.READ_UNCOMMITTED), [100, 100]
    )
    ours = _all(_unpacker(_columnar(), sealed, 0, IsolationLevel.READ_UNCOMMITTED), [100, 100])
    if _may_differ(stock) or any(
        batch[place] & 0x80 for place in _attributes(bytes(batch)) if place < len(batch)
    ):
        return
    assert ours == stock


@pytest.mark.parametrize("size", [63, 64, 8191, 8192, 70_000, 1_100_000])
def test_lengths_of_one_two_three_and_four_bytes_are_read(size: int) -> None:
    log = Log()
    log.batch(
        [
            (1, b"k" * (size % 10_000), b"v" * (size - 5), [], 1),
            (1, b"k" * size, b"v" * size, [], 20_000),
        ]
    )
    log.batch([(1, None, b"last", [], 1)])
    stock, ours = (
        _unpacker(kind, log, START, IsolationLevel.READ_UNCOMMITTED)
        for kind in (Fetcher.PartitionRecords, _columnar())
    )
    assert _all(ours, [100, 100]) == _all(stock, [100, 100])


def _attributes(batch: bytes) -> set[int]:
    """Where the attributes of each record stand: a byte without a meaning, which the client reads
    as a varint.
    """
    chunk, _ = chunk_of(DefaultRecordBatch(batch))
    return {decode_varint(batch, begin)[1] for begin in chunk.begins}


def _may_differ(found: list[Any]) -> bool:
    """Offsets that do not rise are no log, and what stands behind them is not looked for in the
    same order.
    """
    offsets = [row[0] for each in found if isinstance(each, tuple) for row in each[0]]
    return any(a >= b for a, b in itertools.pairwise(offsets))


@pytest.mark.parametrize("magic", [0, 1])
def test_old_formats_are_read_too(magic: int) -> None:
    log = Log()
    log.batch([(5, b"k", b"one", [], 1), (6, None, None, [], 1)], magic=magic)
    takes = [1, 10, 10]
    stock = _unpacker(Fetcher.PartitionRecords, log, START, IsolationLevel.READ_UNCOMMITTED)
    ours = _unpacker(_columnar(), log, START, IsolationLevel.READ_UNCOMMITTED)
    assert _all(ours, takes) == _all(stock, takes)


def test_after_an_error_nothing_is_left_to_ask_for() -> None:
    """The client would ask for more until there is some."""
    log = Log()
    log.batch([(1, None, b"good", [], 1)])
    log.batch([(1, None, b"bad", [], 1)])
    log.data = log.data[:-3] + b"xxx"
    part = _unpacker(_columnar(), log, START, IsolationLevel.READ_UNCOMMITTED)
    assert _rows(part.take(10))[0][1] == b"good" and part
    with pytest.raises(CorruptRecordError):
        part.take(10)
    assert not part


class Versioned:
    """What `install` needs of a consumer."""

    def __init__(self) -> None:
        self._fetcher = type("Fetcher", (), {"PartitionRecords": Fetcher.PartitionRecords})()


def test_another_version_keeps_the_clients_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Versioned(), Versioned()
    assert install(one) == (kafka.__version__ == WRITTEN_FOR)
    monkeypatch.setattr(kafka, "__version__", "3.0.13")
    assert not install(other) and other._fetcher.PartitionRecords is Fetcher.PartitionRecords


def test_another_version_is_told_once_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (degraded() is None) == (kafka.__version__ == WRITTEN_FOR)
    monkeypatch.setattr(kafka, "__version__", "3.0.99")
    with capture_logs() as lines:
        assert not install(Versioned()) and not install(Versioned())
    problem = f"kafka-python 3.0.99 is not {WRITTEN_FOR}: records are read one by one"
    assert degraded() == problem
    assert lines == [
        {
            "event": "kafka_columns_off",
            "log_level": "warning",
            "problem": problem,
            "fix": f"pip install 'kafka-python=={WRITTEN_FOR}'",
        }
    ]


def test_records_one_by_one_are_gathered_as_they_are() -> None:
    log = Log()
    log.batch([(1, b"k", b"v", [("h", None)], 1)])
    taken = _unpacker(Fetcher.PartitionRecords, log, START, IsolationLevel.READ_UNCOMMITTED).take(1)
    got = gathered(taken)
    assert isinstance(got, Listed) and got.envelope(0) == {
        "key": b"k",
        "headers": (("h", b""),),
        "timestamp_ms": 1,
    }
