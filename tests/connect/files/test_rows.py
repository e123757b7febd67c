"""Laws of rows on their way into a topic: values keep their kind, times keep their form, nothing is
lost silently.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.files.rows import Row, Skipped, later, plain, rows_of, survey, value_of
from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.times import seconds_of_cell
from streamer.errors import InputError

CSV = """ts,device,rms,note
2024-03-01T00:00:00Z,007,1.5,ok
2024-03-01T00:00:10Z,008,nan,
2024-03-01T00:00:20Z,007
"""
FIELDS = RecordFields(("rms",), ("device",), "ts")


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    path = tmp_path / "plant.csv"
    path.write_text(CSV)
    return path


def test_a_row_of_csv_is_an_object_with_numbers_as_numbers_and_names_as_names(plant: Path) -> None:
    rows, _ = rows_of(plant, FIELDS)
    first, second, third = rows.read()
    assert isinstance(first, Row)
    assert first.record == {"ts": "2024-03-01T00:00:00Z", "device": "007", "rms": 1.5, "note": "ok"}
    assert (
        isinstance(second, Row) and second.record["rms"] is None and second.record["note"] is None
    )
    assert third == Skipped(3, "2 cells where 4 are named")


def test_json_lines_pass_as_they_are_and_others_are_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"t": 17e8, "d": {"id": "a"}, "v": 1}\n[1]\n\n{"d": {"id": "b"}, "v": 2}\n{"t": 17e8, '
        '"v": 3}\n'
    )
    rows, _ = rows_of(path, RecordFields(("v",), ("d.id",), "t"))
    first, second, third, fourth = rows.read()
    assert isinstance(first, Row) and rows.key_of(first.record, "d.id") == "a"
    assert isinstance(second, Skipped) and "no JSON object" in second.why
    assert third == Skipped(3, "t: missing is no time")
    assert isinstance(fourth, Row) and rows.key_of(fourth.record, "d.id") is None


def test_every_read_begins_anew(plant: Path) -> None:
    rows, _ = rows_of(plant)
    assert list(rows.read()) == list(rows.read())


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_cell_of_a_channel_keeps_its_number(number: float) -> None:
    assert value_of(repr(number)) == number
    assert json.loads(json.dumps(value_of(repr(number)))) == number


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("", None),
        ("nan", None),
        ("-inf", None),
        ("007", 7.0),
        ("+1", 1.0),
        ("7", 7),
        ("off", "off"),
    ],
)
def test_a_channel_holds_numbers_nothing_or_what_must_be_refused(cell: str, value: object) -> None:
    assert value_of(cell) == value


@pytest.mark.parametrize(
    ("cell", "value"), [("007", "007"), ("7", 7), ("n/a", None), ("1e999", "1e999"), ("x y", "x y")]
)
def test_another_cell_is_a_number_only_where_json_would_write_it_so(
    cell: str, value: object
) -> None:
    assert plain(cell) == value


@given(
    st.sampled_from(["s", "ms", "us", "ns", "iso"]),
    st.integers(1_400_000_000, 1_900_000_000),
    st.integers(-(10**8), 10**8),
)
def test_a_later_time_has_its_old_form(unit: str, at_s: int, by_s: int) -> None:
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "iso": 0}[unit]
    cell: str | int = (
        at_s * factor if factor else f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
    )
    moved = later(cell, by_s, unit)
    assert type(moved) is type(cell)
    assert seconds_of_cell(moved, unit) == at_s + by_s
    assert not isinstance(moved, str) or moved.endswith("Z")


@pytest.mark.parametrize(
    ("cell", "moved"),
    [
        ("2024-03-01 00:00:00", "2024-03-01 00:00:10"),
        ("2024-03-01T01:00:00+01:00", "2024-03-01T01:00:10+01:00"),
        ("1700000000000", "1700000010000"),
        (1.5e9, 1.5e9 + 10),
    ],
)
def test_forms_of_time_that_stay(cell: str | float, moved: str | float) -> None:
    assert later(cell, 10, "auto") == moved


def test_a_survey_knows_the_span_and_the_usual_gap(plant: Path) -> None:
    found = survey(rows_of(plant)[0])
    assert (found.rows, found.span_s, found.gap_s) == (2, 10, 10)
    assert survey(rows_of(plant)[0], limit=1).span_s == 0


def test_a_pipe_is_refused() -> None:
    with pytest.raises(InputError, match="save it to a file"):
        rows_of(Path("-"))
