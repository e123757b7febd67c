"""`streamer demo` as a process, and its faces."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from streamer.cli.demo_lines import pace, ruling_words
from streamer.cli.demo_screen import BARS, sparkline
from streamer.connect.simulate.world import Fault
from streamer.demo.referee import Ruling

CONTRACT = {
    "schema",
    "ok",
    "injected",
    "caught",
    "missed",
    "false_alarms",
    "median_delay_events",
    "first_alert_s",
    "rhythm_alert_s",
    "swaps",
    "events",
    "events_per_s",
    "rss_mib",
    "conservation",
}
COMMAND = [sys.executable, "-m", "streamer.cli", "demo"]


def play(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=180, check=False
    )
    return done.returncode, done.stdout, done.stderr


def assert_sound(board: dict[str, Any]) -> None:
    assert set(board) >= CONTRACT
    assert board["schema"] == "streamer.demo/1"
    assert board["injected"] == board["caught"] + board["missed"] == len(board["faults"])
    books = board["conservation"]
    assert books["in"] == sum(count for name, count in books.items() if name != "in")
    assert books["in_flight"] == 0
    assert books["in"] == board["events"] > 1000


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.long
def test_a_minute_keeps_every_promise() -> None:
    code, out, err = play("--format", "json")
    board = json.loads(out)
    assert_sound(board)
    assert board["ok"], [
        name for name, promise in board["promises"].items() if promise["kept"] is False
    ]
    assert code == 0
    assert board["first_alert_s"] <= 15
    assert board["rhythm_alert_s"] <= 40
    assert board["swaps"] >= 1 or "swap" in board["not_checked"]
    assert "SCOREBOARD" in err


@pytest.mark.slow
@pytest.mark.integration
def test_a_short_show_says_which_promises_were_not_checked() -> None:
    code, out, _ = play("--seconds", "12", "--format", "json")
    board = json.loads(out)
    assert_sound(board)
    assert code == 0
    assert {"rhythm_alert", "swap"} <= set(board["not_checked"])
    assert all(board["promises"][name]["told"] for name in board["not_checked"])


@pytest.mark.slow
@pytest.mark.integration
def test_without_a_terminal_the_show_is_plain_lines_and_the_next_commands() -> None:
    code, out, _ = play("--seconds", "10", "--source", "host")
    assert code == 0
    assert "\x1b" not in out
    assert "SCOREBOARD" in out
    assert out.count("streamer ") >= 3


@pytest.mark.integration
def test_a_signal_ends_the_show_with_its_scoreboard_and_no_broken_promise() -> None:
    child = subprocess.Popen(
        [*COMMAND, "--source", "host"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert child.stdout is not None
    line = ""
    deadline = time.monotonic() + 60
    while "events" not in line and time.monotonic() < deadline:
        line = child.stdout.readline()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert "SCOREBOARD" in out


@pytest.mark.parametrize(
    "arguments", [["--seconds", "1"], ["--speed", "0"], ["--source", "kafka"], ["--seed", "-1"]]
)
def test_nonsense_is_refused_as_usage(arguments: list[str]) -> None:
    code, out, err = play(*arguments)
    assert (code, out) == (2, "")
    assert arguments[0] in err


def test_a_sparkline_has_a_bar_per_value_and_a_gap_where_there_is_none() -> None:
    assert sparkline([0, 1, 2]) == f"{BARS[0]}{BARS[4]}{BARS[-1]}"
    assert sparkline([1, math.nan, 1]) == f"{BARS[0]} {BARS[0]}"
    assert sparkline([math.nan]) == " "
    assert sparkline([]) == ""
    assert sparkline([99], low=0, high=5) == BARS[-1]


def test_the_clock_of_a_stream_is_said_in_words() -> None:
    assert pace(1) == "with the clock"
    assert "2 minutes a second" in pace(120)
    assert "1 days a second" in pace(86_400)


def test_what_is_missed_is_called_missed() -> None:
    fault = Fault("shift", "pump-01", 0.0, 1.0, "rms", detail="+9 sigma at once")
    assert ruling_words(Ruling(fault, None, None, over=True)).endswith("MISSED")
    assert "MISSED" not in ruling_words(Ruling(fault, None, None, over=False))
