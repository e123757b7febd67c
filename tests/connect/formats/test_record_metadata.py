"""Entity and time from beside the values of records: the laws of `@` fields, in every format."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer import config
from streamer.config import ConfigErrors, config_from
from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.csv import CsvDecoder
from streamer.connect.formats.decoder import Decoder
from streamer.connect.formats.factory import decoder_for, fields_of
from streamer.connect.formats.json import JsonDecoder
from streamer.connect.formats.msgpack import MsgpackDecoder
from streamer.connect.formats.record_metadata import RecordMetadata
from streamer.connect.kafka.consumer.decode import decode
from streamer.connect.kafka.consumer.polled_records import Listed
from streamer.event import Lease
from tests.connect.formats.records import Registry, avro, framed
from tests.connect.kafka.consumer.test_source_parts import Row

LEASE = Lease("plant.a", 3, 1)
T0_MS = 1_700_000_000_000
OUTSIDE = RecordFields(
    ("x",), ("@key", "who"), "@timestamp", outside=frozenset({"@key", "@timestamp"})
)
SCHEMA = {
    "type": "record",
    "name": "R",
    "fields": [{"name": "x", "type": "double"}, {"name": "who", "type": "string"}],
}
FORMATS: dict[str, tuple[Decoder, Any]] = {
    "json": (
        JsonDecoder(OUTSIDE, stream="s"),
        lambda x, who: json.dumps({"x": x, "who": who}).encode(),
    ),
    "csv": (CsvDecoder(OUTSIDE, ("who", "x"), stream="s"), lambda x, who: f"{who},{x}".encode()),
    "msgpack": (
        MsgpackDecoder(OUTSIDE, stream="s"),
        lambda x, who: msgspec.msgpack.encode({"x": x, "who": who}),
    ),
    "avro": (avro(Registry(SCHEMA), OUTSIDE), lambda x, who: framed({"x": x, "who": who}, SCHEMA)),
}


@pytest.mark.parametrize("form", FORMATS)
def test_fields_of_the_value_and_beside_it_make_one_event(form: str) -> None:
    decoder, encode = FORMATS[form]
    rows = [
        Row(7 + i, encode(float(i), "ana"), b"pump %d" % (i % 2), timestamp=T0_MS + i)
        for i in range(4)
    ]
    batch, rejected = decode(Listed.of(rows), decoder, LEASE)
    assert rejected == []
    assert [[batch.keys[code] for code in row] for row in batch.entity] == [
        [f"pump {i % 2}", "ana"] for i in range(4)
    ]
    assert batch.time_s.tolist() == [(T0_MS + i) / 1000 for i in range(4)]
    assert batch.values[:, 0].tolist() == [0, 1, 2, 3]


KEYS = (
    st.none()
    | st.binary(max_size=4)
    | st.sampled_from([b"a", b" a ", b"\x00\x05", "é".encode(), b"k" * 300])
)
TIMES = st.sampled_from([-1, 0, T0_MS, 2**62])
VALUES = st.sampled_from([None, b'{"x": 1, "who": "w"}', b"{", b'{"x": 2}'])


@given(st.lists(st.tuples(KEYS, TIMES, VALUES), max_size=20))
def test_every_record_is_an_event_with_a_name_and_a_time_or_is_refused(
    rows: list[tuple[Any, int, Any]],
) -> None:
    records = [Row(2 * i, value, key, timestamp=at) for i, (key, at, value) in enumerate(rows)]
    batch, rejected = decode(Listed.of(records), JsonDecoder(OUTSIDE, stream="s"), LEASE)
    assert sorted([*batch.offset.tolist(), *(one.offset for one in rejected)]) == [
        row.offset for row in records
    ]
    for offset, codes, time_s in zip(
        batch.offset.tolist(), batch.entity, batch.time_s.tolist(), strict=True
    ):
        row = records[offset // 2]
        assert row.key is not None and batch.keys[codes[0]] == row.key.decode().strip() != ""
        assert time_s == row.timestamp / 1000
    assert {one.reason for one in rejected} <= {
        "tombstone",
        "bad_json",
        "missing_field",
        "bad_entity",
        "bad_time",
    }


@pytest.mark.parametrize(
    ("row", "reason", "told"),
    [
        (
            Row(0, b'{"x": 1, "who": "w"}', None, timestamp=1),
            "bad_entity",
            "@key: the record has none",
        ),
        (
            Row(0, b'{"x": 1, "who": "w"}', b"\0\0\0\5", timestamp=1),
            "bad_entity",
            r"@key: b'\x00\x00\x00\x05' is no",
        ),
        (Row(0, b'{"x": 1, "who": "w"}', b"k"), "bad_time", "@timestamp: -1 is no time"),
        (Row(0, b'{"x": 1}', None, timestamp=1), "missing_field", "who"),
    ],
)
def test_a_refusal_names_what_is_missing(row: Row, reason: str, told: str) -> None:
    _, [one] = decode(Listed.of([row]), JsonDecoder(OUTSIDE, stream="s"), LEASE)
    assert one.reason == reason and told in one.detail and one.raw == row.value


def test_topic_and_partition_are_names_too() -> None:
    fields = RecordFields(
        ("x",), ("@topic", "@partition"), outside=frozenset({"@topic", "@partition"})
    )
    decoder = JsonDecoder(fields, stream="s")
    batch, _ = decoder.decode([b'{"x": 1}'], np.array([5]), RecordMetadata(LEASE))
    assert [batch.keys[code] for code in batch.entity[0]] == ["plant.a", "3"]


def stream(fields: dict[str, Any], source: dict[str, Any] | None = None) -> config.Stream:
    kafka = {"kind": "kafka", "topic": "t"}
    body = {
        "name": "s",
        "source": source or kafka,
        "fields": {"time": None, "channels": ["x"], **fields},
    }
    return config_from({"version": 1, "streams": [body]}, env={}).streams[0]


def test_the_configuration_says_which_fields_stand_beside() -> None:
    found = fields_of(stream({"entity": ["@key", "\\@host", "who"], "time": "\\@timestamp"}).fields)
    assert (found.entity, found.time, found.outside) == (
        ("@key", "@host", "who"),
        "@timestamp",
        frozenset({"@key"}),
    )
    lease_decoder = decoder_for(stream({"entity": "@key", "time": "@timestamp"}), None)(LEASE)
    assert lease_decoder.fields.outside == {"@key", "@timestamp"}


def test_columns_of_csv_may_begin_with_an_at() -> None:
    rows = {"kind": "kafka", "topic": "t", "format": "csv", "columns": ["@host", "x"]}
    assert fields_of(stream({"entity": ["\\@host", "@key"]}, rows).fields).entity == (
        "@host",
        "@key",
    )


@pytest.mark.parametrize(
    ("fields", "source", "told"),
    [
        (
            {"entity": "@key"},
            {"kind": "file", "path": "a.csv"},
            "'@key' stands beside the records of a topic; a file",
        ),
        ({"time": "@timestamp"}, {"kind": "file", "path": "a.csv"}, r"is written '\@timestamp'"),
        ({"entity": "@kye"}, None, "did you mean @key?"),
        ({"entity": "@timestamp"}, None, "'@timestamp' is none of @key, @topic, @partition"),
        ({"time": "@key"}, None, "'@key' is none of @timestamp"),
        (
            {"time": {"path": "@timestamp", "unit": "s"}},
            None,
            "@timestamp is in ms: leave the unit out",
        ),
        ({"channels": ["@key"]}, None, "@key is no number to watch"),
    ],
)
def test_a_field_that_cannot_stand_there_is_an_error_with_its_fix(
    fields: Any, source: Any, told: str
) -> None:
    with pytest.raises(ConfigErrors) as refused:
        stream(fields, source)
    assert told in str(refused.value) and len(refused.value.problems) == 1
