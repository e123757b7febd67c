"""Laws of every decoder of records, whatever they are written in."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer import config
from streamer.connect.formats.avro import HEAD, AvroDecoder
from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.csv import CsvDecoder
from streamer.connect.formats.decoder import Decoder
from streamer.connect.formats.factory import decoder_for
from streamer.connect.formats.json import JsonDecoder
from streamer.connect.formats.msgpack import MsgpackDecoder
from streamer.errors import ConfigError
from streamer.event import EventBatch
from tests.connect.formats.records import (
    FIELDS,
    LEASE,
    SCHEMA,
    Record,
    Registry,
    avro,
    decode,
    framed,
    reasons,
)

DECODERS: Mapping[str, Callable[[], Decoder]] = {
    "json": lambda: JsonDecoder(FIELDS, stream="s", lease=LEASE),
    "msgpack": lambda: MsgpackDecoder(FIELDS, stream="s", lease=LEASE),
    "avro": lambda: avro(Registry(SCHEMA)),
    "csv": lambda: CsvDecoder(FIELDS, ("ts", "who", "v.rms", "temp"), stream="s", lease=LEASE),
}


def csv_of(record: Record) -> bytes:
    cells = [record["ts"], record["who"], (record["v"] or {}).get("rms"), record["temp"]]
    return ",".join("" if cell is None else str(cell) for cell in cells).encode()


ENCODERS: Mapping[str, Callable[[Record], bytes]] = {
    "json": lambda record: json.dumps(record).encode(),
    "msgpack": msgspec.msgpack.encode,
    "avro": framed,
    "csv": csv_of,
}
numbers = st.none() | st.floats(width=32)
readings = st.fixed_dictionaries(
    {
        "ts": st.floats(-1, 5e9) | st.just(float("nan")),
        "who": st.text("abc ", max_size=3),
        "v": st.none() | st.fixed_dictionaries({"rms": numbers}),
        "temp": numbers,
        "tags": st.just([]),
    }
)


@given(st.lists(readings, max_size=6))
def test_the_same_records_are_the_same_batch_in_every_format(records: list[Record]) -> None:
    first, refused = decode(DECODERS["json"](), *map(ENCODERS["json"], records))
    assert (first.lease, {one.lease for one in refused} - {LEASE}) == (LEASE, set())
    for name in ("msgpack", "avro"):
        batch, rejected = decode(DECODERS[name](), *map(ENCODERS[name], records))
        assert [(r.offset, r.reason, r.detail) for r in rejected] == [
            (r.offset, r.reason, r.detail) for r in refused
        ]
        check_same(batch, first)


@given(st.lists(readings, max_size=6))
def test_csv_makes_the_same_batch_of_what_has_a_channel(records: list[Record]) -> None:
    present = [record for record in records if record["v"] or record["temp"] is not None]
    first, _ = decode(DECODERS["json"](), *map(ENCODERS["json"], present))
    batch, rejected = decode(DECODERS["csv"](), *map(csv_of, present))
    assert len(batch) + len(rejected) == len(present)
    check_same(batch, first)


def check_same(one: EventBatch, other: EventBatch) -> None:
    assert one.offset.tolist() == other.offset.tolist() and one.lease == other.lease
    assert one.time_s.tolist() == other.time_s.tolist()
    assert np.array_equal(one.values, other.values, equal_nan=True)
    assert [one.keys[i] for i in one.entity[:, 0]] == [other.keys[i] for i in other.entity[:, 0]]


@pytest.mark.parametrize("name", ["json", "msgpack", "avro"])
def test_what_is_not_finite_is_counted_in_every_format(name: str) -> None:
    nan, decoder = float("nan"), DECODERS[name]()
    record = {"ts": 1.0, "who": "p", "v": {"rms": nan}, "temp": float("inf"), "tags": []}
    batch, rejected = decode(
        decoder, ENCODERS[name](record), ENCODERS[name](record | {"v": None, "temp": 1.0})
    )
    assert not rejected and np.array_equal(batch.values, [[nan, nan], [nan, 1]], equal_nan=True)
    assert decoder.counts["non_finite"] == 2


GOOD = {"ts": 1.0, "who": "p", "v": {"rms": 2.5}, "temp": 3.0, "tags": ["a", None, {"b": b""}]}
SEEDS = {
    name: ENCODERS[name](GOOD if name == "avro" else GOOD | {"tags": ["a"]}) for name in ENCODERS
}


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """Random bytes, or a good record with some of its bytes changed, cut or repeated."""
    if draw(st.booleans()):
        return draw(st.sampled_from([b"", HEAD.pack(0, 0)])) + draw(st.binary(max_size=40))
    raw = bytearray(SEEDS[name])
    for place, byte in draw(
        st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=3)
    ):
        raw[place] = byte
    return bytes(raw[: draw(st.integers(0, len(raw)))]) + bytes(
        raw[: draw(st.sampled_from([0, 0, 1, len(raw)]))]
    )


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.data())
def test_any_bytes_end_as_a_row_or_refused_with_a_reason(name: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(damaged(name), max_size=5))
    batch, rejected = decode(DECODERS[name](), *values)
    assert sorted([*batch.offset.tolist(), *(one.offset for one in rejected)]) == list(
        range(len(values))
    )
    assert all(one.reason and one.detail and one.raw == values[one.offset] for one in rejected)
    for number, value in enumerate(values):
        alone = decode(DECODERS[name](), value)[1]
        together = [one for one in rejected if one.offset == number]
        assert [(one.reason, one.detail) for one in alone] == [
            (one.reason, one.detail) for one in together
        ]


@pytest.mark.parametrize("name", ["json", "msgpack"])
def test_a_broken_field_that_nobody_reads_never_raises(name: str) -> None:
    broken = b'{"ts":1,"who":"p","x":' + b"1" * 5000 + b"}"
    if name == "msgpack":
        broken = msgspec.msgpack.encode({"ts": 1, "who": "p", "x": "ab"}).replace(
            b"ab", b"\xff\xff"
        )
    assert len(reasons(DECODERS[name](), broken)) == 1


def test_csv_records_are_rows_without_a_header_and_may_end_with_a_line_end() -> None:
    rows = (b"1,p,2,3\n", b"2,p,2,3\r\n", b"3,p,2,3")
    batch, rejected = decode(DECODERS["csv"](), *rows)
    assert batch.time_s.tolist() == [1, 2, 3] and not rejected


def test_two_rows_in_one_csv_record_are_refused_and_shift_no_other() -> None:
    batch, rejected = decode(DECODERS["csv"](), b"1,p,2,3", b"1,p,2\n3", b"9,p,8,7")
    assert batch.values.tolist() == [[2, 3], [8, 7]] and [one.reason for one in rejected] == [
        "bad_csv"
    ]


def test_an_empty_csv_record_is_judged_the_same_alone_and_among_others() -> None:
    decoder = CsvDecoder(RecordFields(("x",)), ("x",), stream="s")
    assert (
        reasons(decoder, b"")
        == reasons(decoder, b"1", b"", b"2")
        == [("missing_field", "x: the row has 0 of 1 cells")]
    )


def test_msgpack_timestamps_are_times_in_any_unit() -> None:
    moment = datetime(2026, 1, 1, 12, 30, 15, 250_000, UTC)
    for unit in ("auto", "s", "ms", "us", "ns", "iso"):
        decoder = MsgpackDecoder(RecordFields(("x",), (), "ts", unit), stream="s")
        batch, rejected = decode(decoder, msgspec.msgpack.encode({"ts": moment, "x": 1}))
        assert not rejected and batch.time_s[0] == pytest.approx(moment.timestamp(), abs=1e-5)


def stream(**source: Any) -> config.Stream:
    fields = {"channels": ["x"], "entity": "who", "time": {"path": "ts", "unit": "ms"}}
    return config.Stream.model_validate(
        {"name": "s", "source": {"kind": "kafka", "topic": "t", **source}, "fields": fields}
    )


REGISTRY = config.SchemaRegistry.model_validate({"url": "http://127.0.0.1:1"})
FORMATS = {"json": JsonDecoder, "msgpack": MsgpackDecoder, "csv": CsvDecoder, "avro": AvroDecoder}


@pytest.mark.parametrize("name", FORMATS)
def test_the_format_of_a_source_chooses_the_decoder(name: str) -> None:
    columns = {"columns": ["ts", "who", "x"]} if name == "csv" else {}
    decoder = decoder_for(stream(format=name, max_record="2KiB", **columns), REGISTRY)(LEASE)
    assert type(decoder) is FORMATS[name] and (decoder.lease, decoder.max_line_bytes) == (
        LEASE,
        2048,
    )
    assert decoder.fields == RecordFields(("x",), ("who",), "ts", "ms") and decoder.stream == "s"
    assert decode(decoder, b"x" * 2049)[1][0].detail == "the record is longer than 2048 bytes"


def test_a_decoder_that_cannot_be_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match="schema_registry: is needed"):
        decoder_for(stream(format="avro"), None)
    with pytest.raises(ConfigError, match="only records of a topic"):
        decoder_for(config.Stream.model_validate({"name": "s", "source": {"kind": "host"}}), None)


def test_without_fastavro_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastavro", None)
    with pytest.raises(ConfigError, match=r"pip install 'streamer\[avro\]'"):
        decoder_for(stream(format="avro"), REGISTRY)
