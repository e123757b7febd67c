"""Avro: schemas, their evolution, logical types, and a registry that is away."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.formats.avro import HEAD, AvroDecoder, Schemas
from streamer.connect.formats.columns import RecordFields
from streamer.errors import RetryLater
from streamer.event import Lease
from tests.connect.formats.records import (
    FIELDS,
    MAYBE,
    SCHEMA,
    Record,
    Registry,
    avro,
    decode,
    framed,
    reasons,
)

GOOD = framed(
    {"ts": 1.0, "who": "p", "v": {"rms": 2.5}, "temp": 3.0, "tags": ["a", None, {"b": b""}]}
)


def logical(type_: str, name: str, **more: Any) -> Record:
    return {"type": type_, "logicalType": name, **more}


def reading(**types: Any) -> Record:
    return {
        "type": "record",
        "name": "R",
        "fields": [{"name": name, "type": kind} for name, kind in types.items()],
    }


@pytest.mark.parametrize("unit", ["auto", "s", "ms", "us", "ns", "iso"])
@pytest.mark.parametrize("kind", ["timestamp-millis", "timestamp-micros", "local-timestamp-millis"])
def test_an_avro_timestamp_is_a_time_in_any_unit(kind: str, unit: str) -> None:
    schema = reading(ts=["null", logical("long", kind)], x="int")
    moment = datetime(2026, 1, 1, 12, 30, 15, 250_000, None if kind.startswith("local") else UTC)
    batch, rejected = decode(
        avro(Registry(schema), RecordFields(("x",), (), "ts", unit)),
        framed({"ts": moment, "x": 1}, schema),
    )
    assert not rejected and batch.time_s[0] == pytest.approx(
        moment.replace(tzinfo=UTC).timestamp(), abs=1e-5
    )


def test_an_avro_time_without_logical_type_has_the_configured_unit() -> None:
    schema = reading(ts="long", x="int")
    batch, _ = decode(
        avro(Registry(schema), RecordFields(("x",), (), "ts", "ms")),
        framed({"ts": 5000, "x": 1}, schema),
    )
    assert batch.time_s.tolist() == [5]


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_avro_timestamp_is_a_time_or_refused(number: int) -> None:
    schema = reading(ts="long", x="int", other="long")
    wire = framed({"ts": number, "x": 1, "other": number}, schema)
    told = reading(
        ts=logical("long", "timestamp-micros"), x="int", other=logical("long", "timestamp-millis")
    )
    batch, rejected = decode(avro(Registry(told), RecordFields(("x",), (), "ts")), wire)
    assert len(batch) + len(rejected) == 1 and [one.reason for one in rejected] in (
        [],
        ["bad_time"],
    )
    assert len(batch) == (0 <= number <= 4_102_444_800_000_000)


def test_a_date_is_a_time_and_a_time_of_day_is_none() -> None:
    schema = reading(ts=logical("int", "date"), x="int")
    wire = framed({"ts": datetime(2026, 1, 1, tzinfo=UTC).date(), "x": 1}, schema)
    batch, _ = decode(avro(Registry(schema), RecordFields(("x",), (), "ts", "s")), wire)
    assert batch.time_s[0] == datetime(2026, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("kind", [{"type": "bytes"}, {"type": "fixed", "name": "F", "size": 8}])
def test_a_decimal_is_a_number(kind: Record) -> None:
    schema = reading(x=["null", {**kind, "logicalType": "decimal", "scale": 2, "precision": 10}])
    batch, rejected = decode(
        avro(Registry(schema), RecordFields(("x",))), framed({"x": Decimal("-12.75")}, schema)
    )
    assert not rejected and batch.values.tolist() == [[-12.75]]


def test_an_enum_names_an_entity() -> None:
    schema = reading(who={"type": "enum", "name": "W", "symbols": ["pump", "fan"]}, x="int")
    batch, _ = decode(
        avro(Registry(schema), RecordFields(("x",), ("who",))),
        framed({"who": "fan", "x": 1}, schema),
    )
    assert batch.keys == ("fan",)


def test_bytes_name_nothing() -> None:
    schema = reading(who="bytes", x="int")
    told = reasons(
        avro(Registry(schema), RecordFields(("x",), ("who",))),
        framed({"who": b"p", "x": 1}, schema),
    )
    assert told == [("wrong_type", "who: b'p' is not a name (text or whole number)")]


kinds = st.sampled_from(
    ["int", "long", "float", "double", MAYBE, ["null", "int"], ["boolean", "null"], "string"]
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["x", "y", "z", "extra"]), kinds, max_size=4),
        min_size=1,
        max_size=4,
    )
)
def test_every_schema_of_a_topic_s_history_is_read(history: list[dict[str, Any]]) -> None:
    """By its writer's schema: a channel that is there has its value, others are missing, texts are
    refused.
    """
    schemas = [reading(who="string", **types) for types in history]
    decoder = avro(Registry(*schemas), RecordFields(("x", "y"), ("who",)))
    wires, expected = [], []
    for number, (types, schema) in enumerate(zip(history, schemas, strict=True)):
        record = {
            name: "t" if kind == "string" else True if "boolean" in kind else number
            for name, kind in types.items()
        }
        wires.append(framed({"who": "p", **record}, schema, number))
        expected.append([record.get(name) for name in ("x", "y")])
    batch, rejected = decode(decoder, *wires)
    good = [n for n, pair in enumerate(expected) if "t" not in pair and pair != [None, None]]
    assert batch.offset.tolist() == good and len(rejected) == len(history) - len(good)
    wanted = [[np.nan if cell is None else float(cell) for cell in expected[n]] for n in good]
    assert np.array_equal(
        batch.values, np.array(wanted, dtype=np.float32).reshape(-1, 2), equal_nan=True
    )


def test_a_schema_is_asked_for_once_and_shared_by_the_leases_of_a_stream() -> None:
    registry = Registry(SCHEMA)
    schemas = Schemas(registry, FIELDS)
    for partition in range(3):
        decoder = AvroDecoder(FIELDS, schemas, stream="s", lease=Lease("raw", partition))
        assert decode(decoder, GOOD, GOOD)[0].partition == partition
    assert registry.asked == [0]


def test_a_record_of_an_unknown_schema_is_refused_and_the_others_are_read() -> None:
    batch, rejected = decode(avro(Registry(SCHEMA)), GOOD, HEAD.pack(0, 9) + b"x", GOOD)
    assert batch.offset.tolist() == [0, 2] and [one.reason for one in rejected] == [
        "unknown_schema"
    ]


UNUSABLE: dict[str, tuple[Record, str]] = {
    "another language": (
        {"schema": "message X {}", "schemaType": "PROTOBUF"},
        "schema 0 is PROTOBUF, not Avro",
    ),
    "no schema": ({"schema": '{"type": "rekord"}'}, "schema 0 cannot be read"),
    "too deep": ({"schema": "[" * 5000}, "schema 0 cannot be read"),
    "lists of nothing": (
        {"schema": json.dumps(reading(x={"type": "array", "items": "null"}))},
        "fill the memory",
    ),
    "wrong references": ({"schema": '"long"', "references": [3]}, "has references without"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_records_of_a_schema_of_no_use_are_refused(name: str) -> None:
    found, detail = UNUSABLE[name]
    registry = Registry(found)
    told = reasons(avro(registry), HEAD.pack(0, 0) + b"\x00", HEAD.pack(0, 0) + b"\x02")
    assert [reason for reason, _ in told] == ["unknown_schema"] * 2 and detail in told[0][1]
    assert registry.asked == [0]


def test_a_list_of_records_without_fields_that_hold_themselves_is_of_no_use() -> None:
    inner = {"type": "record", "name": "I", "fields": [{"name": "n", "type": "null"}]}
    schema = reading(x="int", more={"type": "map", "values": {"type": "array", "items": inner}})
    assert (
        "fill the memory"
        in reasons(avro(Registry(schema), RecordFields(("x",))), HEAD.pack(0, 0))[0][1]
    )
    tree = reading(x="int", more={"type": "array", "items": "R"})
    assert (
        decode(
            avro(Registry(tree), RecordFields(("x",))),
            framed({"x": 1, "more": [{"x": 2, "more": []}]}, tree),
        )[0].values
        == 1
    )


def test_what_is_not_framed_or_not_of_its_schema_is_bad_avro() -> None:
    told = reasons(avro(Registry(SCHEMA)), b"", b'{"ts":1}', b"\x01" * 40, GOOD[:-3], GOOD + b"xy")
    assert [reason for reason, _ in told] == ["bad_avro"] * 5
    assert (
        "no zero and four bytes of a schema id" in told[1][1]
        and "2 bytes are left over" in told[4][1]
    )


def test_while_the_registry_is_away_nothing_is_judged_and_later_everything() -> None:
    other = reading(who="string", temp="double", ts="double")
    registry = Registry(SCHEMA, other)
    decoder = avro(registry)
    wires = (GOOD, framed({"who": "q", "temp": float("nan"), "ts": 2.0}, other, 1), b"bad")
    registry.down = True
    for _ in range(2):
        with pytest.raises(RetryLater, match="down"):
            decode(decoder, *wires)
    assert not decoder.counts
    registry.down = False
    batch, rejected = decode(decoder, *wires)
    assert (
        batch.offset.tolist() == [0, 1] and len(rejected) == 1 and decoder.counts["non_finite"] == 1
    )


def test_types_of_other_subjects_are_found_by_reference() -> None:
    pump = {
        "type": "record",
        "name": "plant.Pump",
        "fields": [{"name": "name", "type": "plant.Kind"}],
    }
    kind = {"type": "enum", "name": "plant.Kind", "symbols": ["a", "b"]}
    whole = reading(pump="plant.Pump", ts=logical("long", "timestamp-millis"), x="int")
    registry = Registry(
        {
            "schema": json.dumps(whole),
            "references": [{"name": "plant.Pump", "subject": "p", "version": 1}],
        }
    )
    registry.subjects["p", 1] = {
        "schema": json.dumps(pump),
        "references": [{"name": "k", "subject": "k", "version": 4}],
    }
    registry.subjects["k", 4] = {"schema": json.dumps(kind)}
    inline = reading(pump={**pump, "fields": [{"name": "name", "type": kind}]}, ts="long", x="int")
    wire = framed({"pump": {"name": "b"}, "ts": 1_700_000_000_500, "x": 1}, inline)
    batch, rejected = decode(avro(registry, RecordFields(("x",), ("pump.name",), "ts")), wire)
    assert not rejected and batch.keys == ("b",) and batch.time_s.tolist() == [1_700_000_000.5]
