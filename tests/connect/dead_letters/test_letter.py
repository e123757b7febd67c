"""Dead letters come back as they were sent, through headers and through files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.dead_letters.letter import (
    NAMES,
    LetterFile,
    letter_headers,
    letter_of,
    letter_of_line,
    line_of,
    origin,
    own_headers,
    read_letters,
    why_not_replayed,
)
from streamer.errors import InputError, SinkError
from streamer.event import Lease, Rejected
from streamer.protocols import DeadLetters, Letter

names = st.one_of(st.sampled_from(NAMES), st.text(max_size=8))
offsets = st.integers(0, 2**62)
records = st.builds(
    Rejected,
    offsets,
    st.text(min_size=1, max_size=8),
    st.text(max_size=40),
    st.binary(max_size=40),
    st.none() | st.builds(Lease, st.text(min_size=1, max_size=8), st.integers(0, 1000), st.just(0)),
    st.none() | st.binary(max_size=8),
    st.lists(st.tuples(names, st.binary(max_size=8)), max_size=4).map(tuple),
    st.none() | offsets,
)
letters = st.builds(
    Letter, st.text(min_size=1, max_size=8), records, st.just("2026-01-01T00:00:00Z")
)
values = st.none() | st.binary(max_size=8) | st.integers(-9, 9).map(lambda n: str(n).encode())
any_headers = st.lists(st.tuples(names, values), max_size=4).flatmap(
    lambda more: st.tuples(*(st.tuples(st.just(name), values) for name in NAMES)).map(
        lambda ours: [*ours, *more]
    )
)
PLAIN = Letter(
    "s",
    Rejected(7, "bad_json", "d", b"{\x00", Lease("t", 3), b"k", (("a", b"1"),), 1_700_000_000_000),
    "at",
)


@given(letters)
def test_a_letter_comes_back_from_its_headers(letter: Letter) -> None:
    assert letter_of(letter.record.raw, letter.record.key, letter_headers(letter)) == letter


@given(letters)
def test_a_letter_comes_back_from_its_line(letter: Letter) -> None:
    assert b"\n" not in line_of(letter) and letter_of_line(line_of(letter)) == letter


def test_headers_are_readable_and_stand_behind_the_record_s_own() -> None:
    assert letter_headers(PLAIN) == (
        ("a", b"1"),
        ("x-dlq-reason", b"bad_json"),
        ("x-dlq-detail", b"d"),
        ("x-dlq-stream", b"s"),
        ("x-dlq-topic", b"t"),
        ("x-dlq-partition", b"3"),
        ("x-dlq-offset", b"7"),
        ("x-dlq-timestamp", b"1700000000000"),
        ("x-dlq-at", b"at"),
    )


@given(any_headers)
def test_any_headers_are_a_letter_or_none(headers: list[tuple[str, bytes | None]]) -> None:
    letter = letter_of(b"", None, headers)
    assert letter is None or letter_of(b"", None, letter_headers(letter)) == letter


def test_a_lone_surrogate_in_a_detail_is_written_out() -> None:
    odd = Letter("s", Rejected(0, "r", "\ud800", b""), "at")
    assert letter_of_line(line_of(odd)).record.detail == "\\ud800"
    assert dict(letter_headers(odd))["x-dlq-detail"] == b"\\ud800"


def test_a_file_is_continued_and_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "dlq.jsonl"
    for offset in range(3):
        file: DeadLetters = LetterFile(path)
        file.send(Letter("s", Rejected(offset, "r", "d", b"\xff"), "at"))
        assert file.flush(0.0) == 0
        file.close()
        file.close()
    assert [(line, letter.record.offset) for line, letter in read_letters(path)] == [
        (1, 0),
        (2, 1),
        (3, 2),
    ]
    assert json.loads(path.read_text().splitlines()[0])["value"] == "/w=="


def test_half_a_line_left_by_a_crash_costs_no_other_letter(tmp_path: Path) -> None:
    path, damaged = tmp_path / "dlq.jsonl", list[int]()
    path.write_bytes(line_of(PLAIN) + b"\n" + line_of(PLAIN)[:20])
    file = LetterFile(path)
    file.send(PLAIN)
    file.close()
    assert [line for line, _ in read_letters(path, damaged.append)] == [1, 3] and damaged == [2]


def test_what_is_sent_after_close_is_refused(tmp_path: Path) -> None:
    file = LetterFile(tmp_path / "x")
    file.close()
    with pytest.raises(SinkError, match="is closed"):
        file.send(PLAIN)


def test_a_file_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(read_letters(tmp_path / "none"))


def test_two_letters_about_one_record_have_one_origin() -> None:
    again = Letter(
        "s", replace(PLAIN.record, detail="other", lease=Lease("t", 3, epoch=9)), "later"
    )
    assert origin(again) == origin(PLAIN) == ("s", "t", 3, 7, 1_700_000_000_000)
    assert origin(Letter("s", replace(PLAIN.record, timestamp_ms=1), "at")) != origin(PLAIN)


def test_what_was_cut_or_empty_cannot_be_sent_again() -> None:
    cut = replace(PLAIN.record, headers=(("a", b"1"), ("x-dlq-cut", b"99")))
    for record in (
        cut,
        replace(PLAIN.record, reason="too_long"),
        replace(PLAIN.record, reason="tombstone"),
    ):
        assert why_not_replayed(Letter("s", record, "at"))
    assert why_not_replayed(PLAIN) is None and own_headers(Letter("s", cut, "at")) == (("a", b"1"),)
