"""Laws of a replay: when a row is due, which time it bears, and that every row is pushed once."""

from __future__ import annotations

import json
import math
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.files.rows import FileRows, FileSurvey, rows_of, survey
from streamer.offline.replay import Account, ReplayPlan, RowPace, moments, push_all, shift_s

T0 = 1_700_000_000


@pytest.fixture
def rows(tmp_path: Path) -> FileRows:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(
            json.dumps({"ts": T0 + 10 * i, "device": f"d{i % 2}", "v": i}) + "\n" for i in range(5)
        )
    )
    return rows_of(path)[0]


def times(rows: FileRows, plan: ReplayPlan, now_s: float, count: int = 99) -> list[float]:
    moved = moments(rows, plan, survey(rows, plan.limit), now_s, Account())
    return [row.record["ts"] for row, _ in zip(moved, range(count), strict=False)]


def test_without_a_shift_times_stay(rows: FileRows) -> None:
    assert times(rows, ReplayPlan(), 9e8) == [T0, T0 + 10, T0 + 20, T0 + 30, T0 + 40]


def test_flat_out_the_last_row_bears_the_present(rows: FileRows) -> None:
    assert times(rows, ReplayPlan(shift=True), T0 + 1040)[-1] == T0 + 1040


def test_at_its_own_speed_every_row_bears_the_moment_of_its_pushing(rows: FileRows) -> None:
    assert times(rows, ReplayPlan(speed=1.0, shift=True), T0 + 500) == [
        T0 + 500 + 10 * i for i in range(5)
    ]


@given(st.floats(0.1, 1e4), st.floats(0, 1e6))
def test_no_shifted_time_lies_in_the_future_of_its_pushing(speed: float, at: float) -> None:
    known = FileSurvey(10, T0, T0 + 1e6, 1.0)
    now_s = 1.9e9
    if speed >= 1:
        assert T0 + at + shift_s(known, now_s=now_s, speed=speed) <= now_s + at / speed + 1e-3


def test_a_loop_goes_on_in_time(rows: FileRows) -> None:
    seen = times(rows, ReplayPlan(loop=True), 0, count=12)
    assert [b - a for a, b in pairwise(seen)] == [10] * 11


def test_a_limit_counts_rows_of_each_round(rows: FileRows) -> None:
    assert times(rows, ReplayPlan(limit=2), 0) == [T0, T0 + 10]


def test_the_pace_is_a_multiple_of_the_recorded_one() -> None:
    now = [100.0]
    pace = RowPace(10.0, lambda: now[0])
    assert pace.due_in(T0) == 0
    assert pace.due_in(T0 + 50) == pytest.approx(5)
    now[0] = 104
    assert pace.due_in(T0 + 50) == pytest.approx(1)
    assert pace.due_in(T0 + 20) < 0


def test_rows_without_a_time_are_due_at_once() -> None:
    assert RowPace(1.0, lambda: 0.0).due_in(math.nan) == 0
    assert RowPace(math.inf, lambda: 0.0).due_in(1e9) == 0


class Slow:
    """Takes every other offer."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes | None, bytes]] = []
        self._offers = 0

    def send(self, value: bytes, key: bytes | None = None, timestamp_ms: int | None = None) -> bool:
        self._offers += 1
        if self._offers % 2:
            return False
        self.taken.append((key, value))
        return True


def encode(record: dict[str, Any]) -> tuple[bytes, bytes]:
    return str(record["device"]).encode(), str(record["v"]).encode()


def pushed(rows: FileRows, plan: ReplayPlan, stop: threading.Event) -> tuple[Slow, Account]:
    push, account = Slow(), Account()
    pace = RowPace(plan.speed, lambda: 0.0)
    due = moments(rows, plan, None, 0.0, account)
    push_all(due, push, encode, pace=pace, stop=stop, account=account, tell=lambda: None)
    return push, account


def test_every_row_is_pushed_once_and_in_order_however_often_it_is_offered(rows: FileRows) -> None:
    push, account = pushed(rows, ReplayPlan(), threading.Event())
    assert push.taken == [(b"d0", b"0"), (b"d1", b"1"), (b"d0", b"2"), (b"d1", b"3"), (b"d0", b"4")]
    assert account.rows == 5


def test_a_stop_ends_a_loop(rows: FileRows) -> None:
    stop = threading.Event()
    stop.set()
    push, account = pushed(rows, ReplayPlan(loop=True), stop)
    assert (push.taken, account.rows) == ([], 0)
