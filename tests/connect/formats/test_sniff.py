"""Laws of looking at unknown records: the format is told by the bytes, the shape by the rows."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.formats.sniff import common_format, format_of, lines_of, shape_of
from streamer.errors import ConfigError, InputError
from streamer.event import EventBatch

OBJECTS = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    min_size=1,
)


@given(OBJECTS)
def test_an_object_is_known_however_it_is_written(record: dict[str, object]) -> None:
    assert format_of(json.dumps(record).encode()) == "json"
    assert format_of(msgspec.msgpack.encode(record)) == "msgpack"


@given(st.binary(max_size=64))
def test_any_bytes_have_a_format_or_none(value: bytes) -> None:
    assert format_of(value) in {"json", "msgpack", "avro", "csv", None}


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (b"\0\0\0\0\7abc", "avro"),
        (b"1700000000,pump 1,3.5", "csv"),
        (b"{broken", None),
        (b"", None),
        (b"hello", None),
        (b"\xff\xfe\x00", None),
        (b"[1, 2]", "csv"),
    ],
)
def test_formats_by_their_first_bytes(value: bytes, form: str | None) -> None:
    assert format_of(value) == form


def test_the_format_of_most_wins_and_only_its_records_are_looked_at() -> None:
    values = [b'{"v": 1}', b'{"v": 2}', b"\xff"]
    assert common_format(values) == "json"
    assert lines_of(values, "json", None) == b'{"v": 1}\n{"v": 2}\n'


def test_records_of_no_format_are_told_with_their_first_bytes() -> None:
    with pytest.raises(InputError, match="xff"):
        common_format([b"\xff\xfe\x00"])


def test_avro_without_a_registry_names_its_schemas() -> None:
    with pytest.raises(ConfigError, match="schema 7"):
        lines_of([b"\0\0\0\0\7abc"], "avro", None)


def test_only_commas_separate_the_rows_of_a_topic() -> None:
    with pytest.raises(InputError, match="only commas"):
        lines_of([b"1;2;3", b"4;5;6"], "csv", None)


def batch(entity: list[int], time_s: list[float], values: list[list[float]]) -> EventBatch:
    n = len(entity)
    return EventBatch(
        "s",
        "t",
        0,
        ("a", "b"),
        np.array(entity, np.int32)[:, None],
        np.array(time_s, np.float64),
        np.array(values, np.float32),
        np.arange(n, dtype=np.int64),
    )


def test_the_shape_is_told_per_entity() -> None:
    shape = shape_of([batch([0, 1, 0, 1, 0], [0, 5, 10, 15, 8], [[1, np.nan]] * 5)], ["v", "w"])
    assert (shape.rows, shape.entities, shape.late_s, shape.silent) == (5, 2, 2.0, ("w",))
    assert shape.gap_s == 8.0


def test_no_rows_have_no_shape() -> None:
    with pytest.raises(InputError):
        shape_of([], ["v"])
