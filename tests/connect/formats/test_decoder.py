"""Lines to columns: every kind of bad record has its reason, every good one its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.csv import CsvDecoder, join_quoted
from streamer.connect.formats.decoder import MAX_NAME, RAW_KEPT, Decoder
from streamer.connect.formats.json import JsonDecoder
from streamer.connect.formats.objects import split_path
from streamer.connect.formats.times import AUTO_LIMITS, LATEST_S, seconds_of_numbers, unit_of
from streamer.connect.formats.times import seconds_of_text as seconds_of
from streamer.errors import ConfigError, InputError
from streamer.event import EventBatch, Rejected

FIELDS = RecordFields(("rms", "temp"), ("who",), "ts")
COLUMNS = ("ts", "who", "rms", "temp")
GOOD_CSV, GOOD_JSON = (
    b"1700000000,pump,1.5,20",
    b'{"ts":1700000000,"who":"pump","rms":1.5,"temp":20}',
)


def csv_decoder(separator: str = ",", fields: RecordFields = FIELDS, limit: int = 1000) -> Decoder:
    return CsvDecoder(fields, COLUMNS, stream="s", separator=separator, max_line_bytes=limit)


def json_decoder(fields: RecordFields = FIELDS, limit: int = 1000) -> Decoder:
    return JsonDecoder(fields, stream="s", max_line_bytes=limit)


def decode(decoder: Decoder, *lines: bytes) -> tuple[EventBatch, list[Rejected]]:
    return decoder.decode(lines, np.arange(len(lines), dtype=np.int64))


def names(batch: EventBatch) -> list[str]:
    return [batch.keys[i] for i in batch.entity[:, 0]]


@pytest.mark.parametrize(
    ("decoder", "line"), [(csv_decoder(), GOOD_CSV), (json_decoder(), GOOD_JSON)]
)
def test_a_good_line_becomes_a_row(decoder: Decoder, line: bytes) -> None:
    batch, rejected = decode(decoder, line)
    assert rejected == [] and names(batch) == ["pump"]
    assert batch.time_s.tolist() == [1.7e9] and batch.values.tolist() == [[1.5, 20.0]]


BAD_CSV = {
    b"1700000000,pump,fast,20": ("wrong_type", "rms: 'fast' is not a number"),
    b"1700000000,pump,1 000,20": ("wrong_type", "rms"),
    b"1700000000,pump,1_000,20": ("wrong_type", "'1_000' is not a number"),
    b'1700000000,pump,"1,000",20': ("wrong_type", "'1,000' is not a number"),
    "1700000000,pump,\u0661,20".encode(): ("wrong_type", "rms"),
    b"1700000000,pump": ("missing_field", "rms: the row has 2 of 4 cells"),
    b"1700000000,pump,1,2,3": ("bad_csv", "5 cells for 4 columns"),
    b'1700000000,"pump,1,2': ("bad_csv", "unexpected end of data"),
    b"1700000000,pu\xffmp,1,2": ("not_utf8", "byte 0xff at 13"),
    b",pump,1,2": ("bad_time", "ts: ''"),
    b"yesterday,pump,1,2": ("bad_time", "ts: 'yesterday' is no time between 1970 and 2100"),
    b"-5,pump,1,2": ("bad_time", "'-5'"),
    b"nan,pump,1,2": ("bad_time", "'nan'"),
    b"inf,pump,1,2": ("bad_time", "'inf'"),
    b"5000000000,pump,1,2": ("bad_time", "'5000000000'"),
    b"2101-01-01 00:00:00,pump,1,2": ("bad_time", "2101"),
    b"now,pump,1,2": ("bad_time", "'now'"),
    b"1700000000,,1,2": ("bad_entity", "who: is empty"),
    b"1700000000," + b"x" * (MAX_NAME + 1) + b",1,2": ("bad_entity", "longer than 256"),
    b"1700000000,pump,1," + b"2" * 1000: ("too_long", "longer than 1000 bytes"),
}
BAD_JSON = {
    b"": ("bad_json", "truncated"),
    b"{": ("bad_json", "truncated"),
    b"nonsense": ("bad_json", "malformed"),
    b"[1]": ("wrong_type", "[1]"),
    b"3": ("wrong_type", "not an object"),
    b'{"ts":1,"who":"p","rms":"7.5"}': ("wrong_type", "rms: '7.5' is not a number"),
    b'{"ts":1,"who":"p","rms":[1]}': ("wrong_type", "rms"),
    b'{"ts":1,"rms":1}': ("missing_field", "who: missing; the record has 'ts, rms'"),
    b'{"who":"p","rms":1}': ("missing_field", "ts: missing"),
    b'{"ts":1,"who":"p","volts":1}': (
        "missing_field",
        "none of 'rms, temp' in it; it has 'ts, who, volts'",
    ),
    b'{"ts":1,"who":null,"rms":1}': ("wrong_type", "who: None is not a name"),
    b'{"ts":null,"who":"p","rms":1}': ("wrong_type", "ts: None is not a time"),
    b'{"ts":true,"who":"p","rms":1}': ("wrong_type", "ts: True"),
    b'{"ts":1,"who":1.5,"rms":1}': ("wrong_type", "who: 1.5"),
    b'{"ts":1,"who":"","rms":1}': ("bad_entity", "who: is empty"),
    b'{"ts":"soon","who":"p","rms":1}': ("bad_time", "ts: 'soon'"),
    b'{"ts":-1,"who":"p","rms":1}': ("bad_time", "ts: -1"),
    b'{"ts":1' + b"0" * 400 + b',"who":"p","rms":1}': ("bad_time", "ts: 1000"),
    b'{"ts":NaN,"who":"p","rms":1}': ("bad_time", "ts: nan"),
    b'{"ts":1,"who":"\xff","rms":1}': ("not_utf8", "0xff"),
    b'{"ts":1,"who":"\\ud800","rms":1}': ("bad_json", "surrogate"),
    b'{"ts":1,"who":"\\ud800","rms":NaN}': ("bad_json", ""),
    b'{"ts":1,"who":"p","rms":1,"x":"' + b"y" * 1000 + b'"}': (
        "too_long",
        "longer than 1000 bytes",
    ),
}


@pytest.mark.parametrize("line", BAD_CSV, ids=lambda line: line[:24].decode(errors="replace"))
def test_a_bad_csv_line_is_refused_with_its_reason(line: bytes) -> None:
    check_refused(csv_decoder(), GOOD_CSV, line, *BAD_CSV[line])


@pytest.mark.parametrize("line", BAD_JSON, ids=lambda line: line[:40].decode(errors="replace"))
def test_a_bad_json_line_is_refused_with_its_reason(line: bytes) -> None:
    check_refused(json_decoder(), GOOD_JSON, line, *BAD_JSON[line])


def check_refused(decoder: Decoder, good: bytes, line: bytes, reason: str, detail: str) -> None:
    batch, rejected = decode(decoder, good, line, good)
    assert batch.offset.tolist() == [0, 2]
    assert [(record.offset, record.reason, record.raw) for record in rejected] == [
        (1, reason, line)
    ]
    assert detail in rejected[0].detail


def test_deep_nesting_is_refused_and_not_fatal() -> None:
    deep = b'{"ts":1,"who":"p","rms":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with_nan = deep.replace(b'"rms":1', b'"rms":NaN')
    _, rejected = decode(json_decoder(limit=1 << 20), deep, with_nan)
    assert [record.reason for record in rejected] == ["too_deep", "too_deep"]


def test_of_an_overlong_line_only_the_start_is_kept() -> None:
    _, rejected = decode(csv_decoder(limit=10), b"x" * (2 * RAW_KEPT))
    assert rejected[0].raw == b"x" * RAW_KEPT


EMPTY = ["", "NA", "n/a", "null", "None", "-", "?", "  "]


@pytest.mark.parametrize("cell", EMPTY)
def test_an_empty_cell_is_a_missing_value(cell: str) -> None:
    decoder = csv_decoder()
    batch, rejected = decode(decoder, f"1,pump,{cell},2".encode())
    assert rejected == [] and np.isnan(batch.values[0, 0]) and decoder.counts["non_finite"] == 0


@pytest.mark.parametrize("number", ["nan", "NaN", "inf", "-Infinity", "1e39", "1e999"])
def test_a_value_that_is_not_finite_is_missing_and_counted(number: str) -> None:
    decoder = csv_decoder()
    batch, rejected = decode(decoder, GOOD_CSV, f"1,pump,{number},2".encode(), b"1,pump,,2")
    assert rejected == [] and np.isnan(batch.values[1, 0])
    assert decoder.counts["non_finite"] == 1


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e39", "1e999", "1" + "0" * 400]
)
def test_a_json_value_that_is_not_finite_is_missing_and_counted(number: str) -> None:
    decoder = json_decoder()
    line = '{"ts":1,"who":"p","rms":' + number + ',"temp":2}'
    batch, rejected = decode(decoder, GOOD_JSON, line.encode())
    assert rejected == [] and np.isnan(batch.values[1, 0]) and batch.values[1, 1] == 2
    assert decoder.counts["non_finite"] == 1


def test_null_and_an_absent_channel_are_missing_true_and_false_are_numbers() -> None:
    batch, rejected = decode(
        json_decoder(),
        b'{"ts":1,"who":"p","rms":null}',
        b'{"ts":1,"who":"p","rms":true,"temp":false}',
    )
    assert rejected == [] and np.isnan(batch.values[0]).all() and batch.values[1].tolist() == [1, 0]


def test_the_last_of_doubled_json_keys_counts() -> None:
    batch, _ = decode(json_decoder(), b'{"ts":1,"who":"p","rms":1,"rms":2}')
    assert batch.values[0, 0] == 2


def test_a_name_may_be_a_number_and_loses_its_spaces() -> None:
    lines = [
        b'{"ts":1,"who":17,"rms":1}',
        b'{"ts":1,"who":"17","rms":1}',
        b'{"ts":1,"who":" 17 ","rms":1}',
    ]
    batch, _ = decode(json_decoder(), *lines)
    assert batch.keys == ("17",) and batch.entity.tolist() == [[0], [0], [0]]


def test_nested_fields_are_read_by_their_path() -> None:
    fields = RecordFields(("v.rms", r"v.a\.b"), ("meta.who",), "meta.ts")
    line = b'{"meta":{"ts":1,"who":"p"},"v":{"rms":1.5,"a.b":2}}'
    batch, rejected = decode(
        json_decoder(fields), line, b'{"meta":{"ts":1,"who":"p"}}', b'{"meta":3,"v":{"rms":1}}'
    )
    assert batch.values.tolist() == [[1.5, 2]] and names(batch) == ["p"]
    assert [record.reason for record in rejected] == ["missing_field", "missing_field"]


def test_a_parent_that_is_no_object_is_named() -> None:
    _, rejected = decode(json_decoder(RecordFields(("v.rms",), (), "ts")), b'{"ts":1,"v":7}')
    assert (rejected[0].reason, rejected[0].detail) == ("wrong_type", "v: 7 is not an object")


def test_without_entity_the_stream_is_one_entity_and_without_time_rows_are_seconds() -> None:
    batch, _ = decode(json_decoder(RecordFields(("rms",))), b'{"rms":1}', b'{"rms":2}')
    assert batch.keys == ("s",) and batch.time_s.tolist() == [0.0, 1.0]


def test_an_event_may_have_several_entities() -> None:
    batch, _ = decode(
        json_decoder(RecordFields(("x",), ("card", "shop"))), b'{"card":"c","shop":"s","x":1}'
    )
    assert [batch.keys[i] for i in batch.entity[0]] == ["c", "s"]


def test_quoted_cells_may_hold_separators_quotes_and_line_breaks() -> None:
    batch, rejected = decode(csv_decoder(), b'1,"a, ""b""\nc",1,2', GOOD_CSV)
    assert rejected == [] and batch.keys == ('a, "b"\nc', "pump")


def test_windows_line_ends_and_trailing_separators_do_not_matter() -> None:
    batch, rejected = decode(csv_decoder(";"), b"1;pump;1;2\r", b"1;pump;1;2;;\r")
    assert rejected == [] and batch.values.tolist() == [[1, 2], [1, 2]]


def test_a_row_may_end_before_columns_that_nobody_reads() -> None:
    decoder = CsvDecoder(RecordFields(("x",)), ("x", "comment"), stream="s")
    batch, rejected = decode(decoder, b"1,hello", b"2")
    assert rejected == [] and batch.values.tolist() == [[1], [2]]


cells = st.one_of(st.floats(width=32), st.text(max_size=5), st.integers(-5, 5)).map(str)
line_texts = (
    st.lists(cells, min_size=1, max_size=6)
    .map(",".join)
    .map(lambda text: text.replace("\n", " ").encode())
)
records = st.dictionaries(
    st.sampled_from(["ts", "who", "rms", "temp", "other"]),
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.lists(st.integers(), max_size=2),
    ),
)
json_texts = st.one_of(records.map(json.dumps).map(str.encode), st.binary(max_size=30))


@given(st.lists(line_texts, max_size=20))
def test_csv_conserves_records_and_every_line_is_judged_alone(lines: list[bytes]) -> None:
    check_alone(csv_decoder, lines)


@given(st.lists(json_texts, max_size=20))
def test_json_conserves_records_and_every_line_is_judged_alone(lines: list[bytes]) -> None:
    check_alone(json_decoder, lines)


def check_alone(make: object, lines: list[bytes]) -> None:
    """The verdict over a line does not depend on its neighbours (fast and slow ways agree), and
    none is lost.
    """
    assert callable(make)
    batch, rejected = decode(make(), *lines)
    assert sorted([*batch.offset.tolist(), *(record.offset for record in rejected)]) == list(
        range(len(lines))
    )
    row = 0
    for number, line in enumerate(lines):
        alone, refused = decode(make(), line)
        if refused:
            assert [(r.reason, r.detail) for r in rejected if r.offset == number] == [
                (refused[0].reason, refused[0].detail)
            ]
            continue
        assert np.array_equal(alone.values[0], batch.values[row], equal_nan=True)
        assert alone.time_s[0] == batch.time_s[row] and names(alone)[0] == names(batch)[row]
        row += 1


MOMENT = datetime(2014, 4, 1, 12, 30, 15, 250_000, tzinfo=UTC)
SPELLINGS = [
    "1396355415.25",
    "1396355415250",
    "1396355415250000",
    "1396355415250000000",
    "2014-04-01T12:30:15.25Z",
    "2014-04-01 12:30:15.25",
    "2014-04-01T14:30:15.250+02:00",
    "2014-04-01T07:30:15.25-0500",
    "2014/04/01 12:30:15.250",
    "20140401T123015.250",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_moment_is_known_in_every_spelling(text: str) -> None:
    assert seconds_of([text], "auto")[0] == pytest.approx(MOMENT.timestamp(), abs=1e-5)


def test_mixed_spellings_of_one_column_are_read_one_by_one() -> None:
    assert np.ptp(seconds_of(SPELLINGS, "auto")) < 1e-5


@pytest.mark.parametrize(("unit", "number"), [("s", 5e8), ("ms", 5e11), ("us", 5e14), ("ns", 5e17)])
def test_a_given_unit_is_not_guessed(unit: str, number: float) -> None:
    assert seconds_of([str(number)], unit)[0] == 5e8
    assert seconds_of(["12345"], unit)[0] == 12345 * 5e8 / number


@given(st.floats(0, LATEST_S).map(lambda s: round(s, 3)))
def test_every_time_survives_its_iso_spelling(seconds: float) -> None:
    text = datetime.fromtimestamp(seconds, UTC).isoformat()
    assert seconds_of([text, text], "iso").tolist() == pytest.approx([seconds] * 2, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "today",
        "NaT",
        "2014-13-01",
        "2014-04-01 25:00",
        "12:30",
        "1_396_355_415",
        "April",
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert np.isnan(seconds_of([text], "auto")[0])


def test_numbers_are_no_iso_times() -> None:
    assert np.isnan(seconds_of(["1700000000"], "iso")[0])
    _, rejected = decode(
        json_decoder(RecordFields(("x",), (), "ts", "iso")), b'{"ts":1700000000,"x":1}'
    )
    assert rejected[0].reason == "bad_time"


WRONG_FIELDS = [
    ((), {}, "channels"),
    (("x",), {"time": "x"}, "two roles"),
    (("x",), {"time_unit": "h"}, "must be one of"),
]


@pytest.mark.parametrize(("channels", "more", "problem"), WRONG_FIELDS)
def test_a_wrong_mapping_is_refused_by_its_path(
    channels: tuple[str, ...], more: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        RecordFields(channels, **more)  # type: ignore[arg-type]


def test_a_field_cannot_be_a_value_and_an_object() -> None:
    with pytest.raises(ConfigError, match="a value and an object"):
        json_decoder(RecordFields(("a", "a.b")))
    with pytest.raises(ConfigError, match="empty step"):
        split_path("a..b")


def test_an_unknown_column_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="no column 'tmep'; did you mean 'temp'"):
        CsvDecoder(RecordFields(("tmep",)), COLUMNS, stream="s")


def test_a_quote_that_never_closes_swallows_at_most_the_limit() -> None:
    records, held = join_quoted([b'"a', b"b", b"c" * 20, b"d"], b",", 10)
    assert records == [b'"a', b"b", b"c" * 20, b"d"] and held == []


def test_a_quote_inside_a_cell_is_just_a_character() -> None:
    assert join_quoted([b'5" pipe,1', b"x,2"], b",", 1000) == ([b'5" pipe,1', b"x,2"], [])


@pytest.mark.parametrize("limit", AUTO_LIMITS)
@pytest.mark.parametrize("beside", [0.5, 1.0, 2.0])
def test_an_epoch_number_is_read_in_the_unit_that_it_is_said_to_have(
    limit: float, beside: float
) -> None:
    number = limit * beside
    unit = unit_of([f"{number:.0f}"])
    told, read = (seconds_of_numbers(np.array([number]), each)[0] for each in (unit, "auto"))
    np.testing.assert_equal(read, told)
