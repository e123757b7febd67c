"""`run` and `backtest` over real series, each from a configuration: they agree, and they catch what
is labelled.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.real.conftest import BEGINNING, CONFIGS, Ran, alerts_of, over, rows_of, streamer
from tests.real.conftest import ROWS as OF_FILES

pytestmark = [pytest.mark.slow, pytest.mark.integration]
FILES = {
    "machine-temperature": "machine_temperature_system_failure",
    "nyc-taxi": "nyc_taxi",
    "skab-valve1": "skab_valve1_0",
    "asd-omi-1": "asd_omi-1",
    "smd-machine-1-6": "smd_machine-1-6",
}
ROWS = {name: min(OF_FILES[file], BEGINNING) for name, file in FILES.items()}
CHANNELS = {
    "machine-temperature": 1,
    "nyc-taxi": 1,
    "skab-valve1": 8,
    "asd-omi-1": 19,
    "smd-machine-1-6": 38,
}
Both = Callable[[str, str], Ran]


@pytest.mark.parametrize("command", ["run", "backtest"])
@pytest.mark.parametrize("name", ROWS)
def test_every_row_of_a_real_series_gets_a_score(configured: Both, command: str, name: str) -> None:
    ran = configured(command, name)
    assert ran.rc == 0, ran.err
    rows = rows_of(ran.folder / "scores.csv")
    assert [int(row["row"]) for row in rows] == list(range(ROWS[name]))
    shares = [column for column in rows[0] if column.startswith("share_")]
    assert len(shares) == CHANNELS[name] + 1
    scored = [row for row in rows if row["status"] == "scored"]
    assert len(scored) > 0.95 * len(rows)
    assert all(
        abs(sum(float(row[share]) for share in shares) - 1) < 1e-4
        for row in scored
        if float(row["score"]) > 0
    )


@pytest.mark.parametrize("name", ROWS)
def test_run_and_backtest_raise_the_same_alerts(configured: Both, name: str) -> None:
    live, replayed = (
        alerts_of(configured(command, name).folder / "alerts.jsonl")
        for command in ("run", "backtest")
    )
    assert [(a["event"], a["detected_at"], a["summary"]) for a in live] == [
        (a["event"], a["detected_at"], a["summary"]) for a in replayed
    ]


@pytest.mark.parametrize("name", ROWS)
def test_run_and_backtest_give_the_same_scores(configured: Both, name: str) -> None:
    live, replayed = (
        rows_of(configured(command, name).folder / "scores.csv") for command in ("run", "backtest")
    )
    worst = max(
        abs(float(a["score"]) - float(b["score"])) for a, b in zip(live, replayed, strict=True)
    )
    assert worst < 1e-4


@pytest.mark.parametrize("name", ROWS)
def test_a_backtest_accounts_for_every_row(configured: Both, name: str) -> None:
    ran = configured("backtest", name)
    (told,) = ran.json()
    assert told["rows"] == ROWS[name] == sum(told["fates"].values())
    assert told["alerts"] == sum(
        alert["event"] == "opened" for alert in alerts_of(ran.folder / "alerts.jsonl")
    )


def test_a_backtest_draws_what_it_saw(data: Path, tmp_path: Path) -> None:
    own = {"REAL_DATA": str(data), "REAL_OUT": str(tmp_path)}
    path = str(CONFIGS / "skab-valve1.yaml")
    ran = streamer(tmp_path, "backtest", "-c", path, "--plot", "plot.png", **own)
    assert ran.rc == 0, ran.err
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def _windows(shared: Path, file: str) -> list[tuple[datetime, datetime]]:
    table = json.loads((shared / "data" / "nab" / "windows.json").read_text())
    moments = [
        [datetime.fromisoformat(edge).replace(tzinfo=UTC) for edge in pair] for pair in table[file]
    ]
    return [(start, end) for start, end in moments]


@pytest.mark.parametrize(
    ("rows", "failures"), [(5000, 2), pytest.param(22_695, 4, marks=pytest.mark.long)]
)
def test_machine_temperature_failures_alarm_inside_their_windows_within_the_promised_budget(
    shared: Path, tmp_path: Path, rows: int, failures: int
) -> None:
    """Until after the second failure, and the whole series: the failures lie weeks apart."""
    file = "machine_temperature_system_failure.csv"
    lines = (shared / "data/nab/realKnownCause" / file).read_text().splitlines()[: rows + 1]
    (tmp_path / file).write_text("\n".join(lines) + "\n")
    ran = over("machine-temperature", "backtest", tmp_path, tmp_path)
    last = datetime.fromisoformat(lines[-1].split(",")[0]).replace(tzinfo=UTC)
    every = _windows(shared, f"realKnownCause/{file}")
    windows = [window for window in every if window[1] <= last]
    assert len(windows) == failures
    opened = [a for a in alerts_of(ran.folder / "alerts.jsonl") if a["event"] == "opened"]
    moments = [datetime.fromisoformat(alert["detected_at"]) for alert in opened]
    missed = [
        window
        for window in windows
        if not any(window[0] <= moment <= window[1] for moment in moments)
    ]
    outside = [
        moment for moment in moments if not any(start <= moment <= end for start, end in every)
    ]
    (told,) = ran.json()
    days = told["days"] - sum((end - start).total_seconds() for start, end in windows) / 86_400
    print(
        f"caught {len(windows) - len(missed)} of {len(windows)}, {len(outside) / days:.2f} false "
        f"alerts a day"
    )
    assert missed == []
    assert len(outside) <= told["alerts_per_day"]["promised"] * days
