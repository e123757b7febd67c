"""`streamer explain`: one alert in full, found by its id; nothing in it can command a terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.cli.explain import bar, plain, sparkline
from streamer.event import Alert, AttentionStep, ChannelPart, ModelRef, RhythmPart, WindowSlice
from tests.cli.calls import call

WHEN = "2024-03-01T10:00:00Z"
ALERT = Alert(
    "a1b2c3",
    "plant:pump-17",
    "opened",
    "open",
    "critical",
    "plant",
    "pump-17",
    {"site": "north"},
    WHEN,
    WHEN,
    None,
    "pump-17 rms is 7.9 mm/s, expected 4.8 to 5.5",
    2.4,
    4e-4,
    1.0,
    [
        ChannelPart("rms", 7.9, 5.1, 4.8, 5.5, "mm/s", 0.74),
        ChannelPart("temp", None, 50, 49, 51, None, 0.07),
    ],
    RhythmPart(1.0, 1.0, 0.8, 1.4, 0.19),
    [AttentionStep(-3, 0.31), AttentionStep(-1, 0.2)],
    ["VALUE_ABOVE_BAND"],
    WindowSlice(WHEN, WHEN, 3, "sensors", 4, 8, 10, [[5.0, 50.0], [5.1, None], [7.9, 50.0]]),
    ModelRef("starter", "litert", "0" * 64),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "alerts.jsonl"
    others = [
        replace(ALERT, alert_id="a1ffff", score=1.1),
        replace(ALERT, alert_id="b00", event="resolved", score=9),
    ]
    path.write_bytes(b"\n".join(map(msgspec.json.encode, [ALERT, *others])) + b"\n")
    return path


def test_the_gravest_opened_alert_is_explained_and_the_others_are_listed(file: Path) -> None:
    done = call("explain", file)
    assert done.exit_code == 0, done.stderr
    for said in (
        "CRITICAL",
        ALERT.summary,
        "4.8 to 5.5",
        "7.9 mm/s",
        "74%",
        "19%",
        "missing",
        "sensors[4] 8..10",
        "site=north",
    ):
        assert said in done.stdout
    assert "1 more" in done.stdout
    assert "a1ffff" in done.stdout


@pytest.mark.parametrize("asked", ["a1f", "a1ffff", "2"])
def test_an_alert_is_found_by_the_beginning_of_its_id_or_its_line(file: Path, asked: str) -> None:
    assert (
        json.loads(call("explain", file, asked, "--format", "json").stdout)["alert_id"] == "a1ffff"
    )


@pytest.mark.parametrize(
    ("asked", "problem"),
    [("zz", "no alert has an id"), ("a1", "2 alerts have ids"), ("9", "no alert")],
)
def test_an_id_that_fits_none_or_several_says_so(file: Path, asked: str, problem: str) -> None:
    done = call("explain", file, asked)
    assert done.exit_code == 1
    assert problem in done.stderr


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "holds no alerts"), (b'{"a":1}\n', ":1: is not an alert"), (b"\xff\n", ":1: is not")],
)
def test_a_file_without_alerts_says_so(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    done = call("explain", path)
    assert done.exit_code == 1
    assert problem in done.stderr


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    done = call("explain", tmp_path / "none.jsonl")
    assert done.exit_code == 1
    assert "No such file" in done.stderr


def test_text_of_an_alert_cannot_command_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    odd = replace(
        ALERT,
        summary="\x1b[2J[bold]x",
        entity="e\x07",
        channels=[replace(ALERT.channels[0], name="a\x1bb")],
    )
    path.write_bytes(msgspec.json.encode(odd))
    said = call("explain", path).stdout
    assert "\x1b[2J" not in said
    assert "\x07" not in said
    assert "[bold]x" in said


@given(st.text())
def test_plain_text_has_no_control_characters(text: str) -> None:
    assert plain(text).isprintable()
    assert len(plain(text)) == len(text)


@given(st.floats(allow_nan=False))
def test_a_bar_never_leaves_its_cells(share: float) -> None:
    assert len(bar(share, 10)) <= 10


@given(st.lists(st.one_of(st.none(), st.floats(-1e30, 1e30)), max_size=80))
def test_a_sparkline_has_a_cell_for_every_value_and_a_gap_where_none_is(
    values: list[float | None],
) -> None:
    drawn = sparkline(values)
    assert len(drawn) == len(values)
    assert [cell == " " for cell in drawn] == [value is None for value in values]
