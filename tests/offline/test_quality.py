"""Laws of evaluation: what is counted, what is never adjusted, and what a random score gets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import InputError
from streamer.offline.label_files import json_windows, read_scores, read_windows
from streamer.offline.quality import average_precision, judge, windows_of
from streamer.timefmt import seconds

HOUR = 3600.0
TIMES = np.arange(48, dtype=np.float64) * HOUR
WINDOWS = [(10 * HOUR, 14 * HOUR), (30 * HOUR, 33 * HOUR)]


def fired(*rows: int) -> np.ndarray:
    alarms = np.zeros(48, bool)
    alarms[list(rows)] = True
    return alarms


def test_a_window_is_caught_once_and_its_delay_counts_from_its_start() -> None:
    quality = judge(TIMES, np.zeros(48), fired(12, 13, 20), WINDOWS)
    assert (quality.caught, quality.windows, quality.recall) == (1, 2, 0.5)
    assert (quality.alarms, quality.false_alarms) == (3, 1)
    assert quality.median_delay_s == 2 * HOUR
    assert quality.precision == pytest.approx(2 / 3)


def test_false_alarms_are_counted_per_day_outside_the_windows() -> None:
    quality = judge(TIMES, np.zeros(48), fired(0, 47), WINDOWS)
    assert quality.days == pytest.approx((47 - 4 - 3) / 24)
    assert quality.false_alarms_per_day == pytest.approx(2 / quality.days)


def test_overlapping_windows_are_not_subtracted_twice() -> None:
    quality = judge(TIMES, np.zeros(48), fired(), [(10 * HOUR, 20 * HOUR), (15 * HOUR, 25 * HOUR)])
    assert quality.days == pytest.approx((47 - 15) / 24)


def test_one_hit_never_counts_for_the_rest_of_its_window() -> None:
    label = np.zeros(100, bool)
    label[40:60] = True
    score = np.zeros(100)
    score[45] = 1.0
    found = average_precision(label, score)
    assert found == pytest.approx(1 / 20 + 19 / 20 * 20 / 100)  # the hit, then all the rest at once


def test_without_labels_or_alarms_nothing_is_divided() -> None:
    quality = judge(TIMES, np.zeros(48), fired(), [])
    assert quality.recall is None
    assert quality.precision is None
    assert quality.average_precision is None
    assert quality.median_delay_s is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=60))
def test_average_precision_lies_between_zero_and_one_and_a_constant_score_gets_the_base_rate(
    rows: list[tuple[bool, int]],
) -> None:
    label, score = np.array([row[0] for row in rows]), np.array([float(row[1]) for row in rows])
    found = average_precision(label, score)
    if not label.any():
        assert found is None
        return
    assert found is not None
    assert 0 < found <= 1 + 1e-12
    assert average_precision(label, np.zeros(len(label))) == pytest.approx(label.mean())
    assert average_precision(label, label.astype(float)) == pytest.approx(1)


@given(st.lists(st.booleans(), max_size=40))
def test_windows_and_labels_are_the_same_thing(flags: list[bool]) -> None:
    label, axis = np.array(flags, bool), np.arange(len(flags), dtype=float)
    windows = windows_of(axis, label)
    inside = np.array([any(start <= at <= end for start, end in windows) for at in axis], bool)
    assert np.array_equal(inside, label)


SCORES = (
    "row,time,entity,score,alarm,status,share_a,share_rhythm\n"
    "0,2024-01-01T00:00:00Z,x,0.5,0.2,scored,1,0\n"
    "1,,,0,0,rejected,0,0\n"
    "2,2024-01-01T02:00:00Z,x,3,1.5,scored,1,0\n"
)


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    path = tmp_path / "scores.csv"
    path.write_text(SCORES)
    return path


def test_rejected_rows_are_not_rated_but_keep_their_labels_row(
    scores: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("when;anomaly\na;0\nb;1\nc;1\n")
    scored = read_scores(scores)
    assert scored.row.tolist() == [0, 2]
    assert scored.by_time
    assert read_windows(labels, scored) == [
        (seconds("2024-01-01T02:00:00Z"), seconds("2024-01-01T02:00:00Z"))
    ]


def test_windows_of_many_files_are_found_by_stem(tmp_path: Path) -> None:
    path = tmp_path / "windows.json"
    path.write_text(
        json.dumps({"cat/x.csv": [["2024-01-01 00:00:00", "2024-01-01 01:00:00"]], "cat/y.csv": []})
    )
    ((start, end),) = json_windows(path, by_time=True, name="x")
    assert end - start == HOUR
    assert json_windows(path, by_time=True, name="y.csv") == []


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        ("{", None, "cannot be read as JSON"),
        ('{"x.csv": []}', None, "say which with --name"),
        ('{"x.csv": []}', "z", "no file named 'z'"),
        ("[[1]]", None, "pairs"),
        ("[3]", None, "pairs"),
        ('[["yesterday", "today"]]', None, "pairs"),
    ],
)
def test_windows_that_cannot_be_read_say_why(
    tmp_path: Path, text: str, name: str | None, problem: str
) -> None:
    path = tmp_path / "windows.json"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        json_windows(path, by_time=True, name=name)


def test_times_have_no_place_among_rows_without_times(tmp_path: Path) -> None:
    path = tmp_path / "windows.json"
    path.write_text('[["2024-01-01", "2024-01-02"]]')
    with pytest.raises(InputError, match="give row numbers"):
        json_windows(path, by_time=False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no scored rows"),
        ("a,b\n1,2\n", "no column alarm, row, score, status, time"),
        (SCORES.replace("0.5,", "high,"), "score is 'high', not a number"),
        (SCORES.replace("2024-01-01T02:00:00Z", "noon"), "'noon' is no time"),
    ],
)
def test_a_file_that_is_no_score_file_says_why(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_scores(path)


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("when,note\n1,2\n1,2\n1,2\n", None, "Say which with --column"),
        ("anomaly\n1\n", None, "1 rows of labels for 3 scored rows"),
        ("anomaly\n1\n1\n1\n", "fault", "has no column 'fault'"),
    ],
)
def test_labels_that_do_not_fit_say_why(
    scores: Path, tmp_path: Path, text: str, column: str | None, problem: str
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_windows(labels, read_scores(scores), column=column)
