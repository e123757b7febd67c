"""The parts of a Kafka source that need no broker: where it starts, its pulse, records
to batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.json import JsonDecoder
from streamer.connect.kafka.consumer.decode import decode
from streamer.connect.kafka.consumer.end_offsets import (
    SILENT_S,
    SILENT_WHILE_READING_S,
    EndOffsetPoller,
)
from streamer.connect.kafka.consumer.polled_records import Listed
from streamer.connect.kafka.consumer.start_offset import EARLIEST, Start, parse_start, start_of
from streamer.errors import ConfigError
from streamer.event import Lease

NOW_S = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("earliest", EARLIEST),
        ("latest", Start("latest")),
        ("-2h", Start("time", 1_699_992_800_000)),
        ("2023-11-14T22:13:20Z", Start("time", 1_700_000_000_000)),
        ("2023-11-15T00:13:20.5+02:00", Start("time", 1_700_000_000_500)),
    ],
)
def test_a_start_is_a_place_or_a_time(text: str, start: Start) -> None:
    assert parse_start(text, NOW_S) == start
    assert start.moves == (text != "earliest")


@pytest.mark.parametrize("text", ["", "newest", "-2", "2023-11-14T22:13:20", "-"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="start"):
        parse_start(text, NOW_S)


def test_latest_jumps_over_nothing_of_a_partition_made_later() -> None:
    known, late = {("t", 0)}, Start("time", 5)
    assert start_of(("t", 0), Start("latest"), known) == Start("latest")
    assert start_of(("t", 1), Start("latest"), known) == EARLIEST
    assert start_of(("t", 1), late, known) == late


class Asked:
    """A cluster that answers or not, and a clock."""

    def __init__(self) -> None:
        self.now, self.away = 0.0, False
        self.pulse = EndOffsetPoller(self.ask, (OSError,), clock=lambda: self.now)

    def ask(self, timeout_s: float) -> Mapping[str, int]:
        if self.away:
            self.now += timeout_s
            raise OSError("nobody there")
        return {"p": 3}


def test_a_pulse_that_is_answered_is_no_trouble_and_its_answer_ages() -> None:
    asked = Asked()
    asked.pulse.beat()
    answer = asked.pulse.fresh(1.0)
    assert answer is not None and answer.ends == {"p": 3} and asked.pulse.problem is None
    asked.now = 1.1
    assert asked.pulse.fresh(1.0) is None and asked.pulse.problem is None


def test_silence_is_trouble_until_the_next_answer() -> None:
    asked = Asked()
    asked.pulse.beat()
    asked.away = True
    while asked.now <= SILENT_S:
        assert asked.pulse.problem is None
        asked.pulse.beat()
    assert "nobody there" in str(asked.pulse.problem) and "for 2 s" in str(asked.pulse.problem)
    asked.away = False
    asked.pulse.beat()
    assert asked.pulse.problem is None


def test_silence_behind_records_takes_longer_to_be_trouble() -> None:
    asked = Asked()
    asked.away = True
    while asked.now < SILENT_WHILE_READING_S:
        asked.pulse.beat()
        asked.pulse.records_came()
        assert (asked.pulse.problem is None) == (asked.now <= SILENT_WHILE_READING_S)
    asked.pulse.beat()
    assert asked.pulse.problem is not None


@dataclass
class Row:
    """A record as the client gives it."""

    offset: int
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: int = -1


VALUES = st.one_of(
    st.none(),
    st.sampled_from([b"{", b"", b'{"ts": 1}', b"\xff", b'{"ts": 1, "x": "' + b"a" * 300 + b'"}']),
    st.integers(0, 99).map(lambda x: b'{"ts": 1, "x": %d}' % x),
)


@given(
    st.lists(st.tuples(VALUES, st.integers(1, 3), st.none() | st.binary(max_size=3)), max_size=30)
)
def test_every_record_is_an_event_or_a_refusal_with_its_own_key(
    rows: list[tuple[bytes | None, int, bytes]],
) -> None:
    offsets = np.cumsum([0, *(step for _, step, _ in rows)])[1:].tolist()  # logs have holes
    records = [
        Row(o, value, key, (("h", None),), o)
        for o, (value, _, key) in zip(offsets, rows, strict=True)
    ]
    lease = Lease("t", 3, 5)
    decoder = JsonDecoder(RecordFields(("x",), (), "ts"), stream="s", max_line_bytes=200)
    batch, rejected = decode(Listed.of(records), decoder, lease)
    assert batch.lease == lease
    assert sorted([*batch.offset.tolist(), *(r.offset for r in rejected)]) == offsets
    assert [r.offset for r in rejected] == sorted(r.offset for r in rejected)
    by_offset = {record.offset: record for record in records}
    for bad in rejected:
        record = by_offset[bad.offset]
        assert (bad.key, bad.headers, bad.timestamp_ms) == (
            record.key,
            (("h", b""),),
            record.offset,
        )
        assert (bad.reason == "tombstone") == (record.value is None) and bad.lease == lease
        assert bad.raw == (record.value or b"")
