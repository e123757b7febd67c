"""`streamer score` without any configuration over every series of the public data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.real.conftest import ARRAYS, DRAWN, Ran, alerts_of, rows_of, streamer

pytestmark = [pytest.mark.slow, pytest.mark.integration]
Scored = Callable[[str], Ran]
FILES = (
    sorted(path.stem for path in (SHARED / "data" / "nab").rglob("*.csv")) + sorted(ARRAYS)
    if SHARED.is_dir()
    else []
)


def test_the_public_data_is_there(shared: Path) -> None:
    assert len(FILES) == 29 + len(ARRAYS)


@pytest.mark.parametrize("name", FILES)
def test_any_series_is_scored_row_by_row_without_configuration(
    scored: Scored, data: Path, name: str
) -> None:
    ran = scored(name)
    assert ran.rc == 0, ran.err
    (told,) = ran.json()
    rows = rows_of(ran.folder / "scores.csv")
    with (data / f"{name}.csv").open() as file:
        lines = sum(1 for line in file if line.strip()) - 1
    assert told["rows"] == lines == len(rows)
    assert [int(row["row"]) for row in rows] == list(range(lines))
    assert told["alarms"] == sum(float(row["alarm"]) >= 1 for row in rows)
    assert told["alerts"] == sum(
        alert["event"] == "opened" for alert in alerts_of(ran.folder / "alerts.jsonl")
    )
    assert all(0 <= float(row["score"]) < 1e6 for row in rows)
    if name in DRAWN:
        assert (ran.folder / "plot.png").stat().st_size > 10_000


def test_a_constant_series_never_alarms(scored: Scored) -> None:
    (told,) = scored("art_flatline").json()
    assert told["alarms"] == 0


def test_a_perfect_square_wave_is_soon_taken_for_normal(scored: Scored) -> None:
    rows = rows_of(scored("art_daily_perfect_square_wave").folder / "scores.csv")
    late = [row for row in rows[len(rows) // 2 :] if float(row["alarm"]) >= 1]
    assert (
        len(late) <= 14
    )  # as many as days in that half: at most one alarm a day of a clean rhythm


@pytest.mark.parametrize("name", ["nyc_taxi"])
def test_labels_rate_the_scores(scored: Scored, shared: Path, name: str) -> None:
    folder = scored(name).folder
    windows = shared / "data" / "nab" / "windows.json"
    ran = streamer(
        folder,
        "eval",
        "--scores",
        "scores.csv",
        "--labels",
        str(windows),
        "--name",
        name,
        "--format",
        "json",
    )
    assert ran.rc == 0, ran.err
    quality = json.loads(ran.out)
    assert quality["windows"] == 5
    assert quality["caught"] >= 1
    assert quality["average_precision"] > 0
