"""The public data sets as the files that a user would have, and the commands run over them in this
process. Beginnings of the series are enough to see the pipeline at work: bench/quality.py reads them
whole.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.calls import call

CONFIGS = Path(__file__).parent / "configs"
# Rows of a series, and more where a test wants more: its labels, or what it does in the end.
SHORT_ROWS = 400
ROWS = {
    "nyc_taxi": 10_320,
    "art_flatline": 4032,
    "art_daily_perfect_square_wave": 4032,
    "machine_temperature_system_failure": 1000,
    "skab_valve1_0": 747,
    "asd_omi-1": 600,
    "smd_machine-1-6": 500,
}
BEGINNING = 1000  # rows that `run` and `backtest` read
ARRAYS = {
    "skab_valve1_0": "skab/valve1/0",
    "asd_omi-1": "asd/omi-1",
    "smd_machine-1-6": "smd/machine-1-6",
}
DRAWN = {"nyc_taxi", "art_flatline", "skab_valve1_0"}  # a plot takes a second


@dataclass(frozen=True)
class Ran:
    """One finished command and the folder of its files."""

    command: tuple[str, ...]
    rc: int
    out: str
    err: str
    folder: Path

    def json(self) -> list[dict[str, Any]]:
        """The JSON objects on standard output."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]


def streamer(folder: Path, *words: str, **env: str) -> Ran:
    """Run the command line as a user would; its files are to lie in the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in env.items():
            patch.setenv(name, value)
        done = call(*words)
    return Ran(words, done.exit_code, done.stdout, done.stderr, folder)


def csv_of(npz: Path, target: Path, rows: int) -> None:
    """The test part of a packed set as a CSV with a header; a time column where the set
    has times.
    """
    with np.load(npz) as arrays:
        test = np.ascontiguousarray(arrays["test"][:rows])
        names = (
            arrays["columns"].tolist()
            if "columns" in arrays
            else [f"metric_{i:02d}" for i in range(test.shape[1])]
        )
        clock = [arrays["test_time"][:rows].tolist()] if "test_time" in arrays else []
    with target.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["time"] * len(clock) + names)
        out.writerows(zip(*clock, *test.T.tolist(), strict=True))


@pytest.fixture(scope="session")
def data(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with the beginnings of every series as a CSV."""
    folder = tmp_path_factory.mktemp("data")
    for path in sorted((shared / "data" / "nab").rglob("*.csv")):
        rows = ROWS.get(path.stem, SHORT_ROWS)
        with path.open() as file:
            (folder / path.name).write_text("".join(islice(file, rows + 1)))
    for name, source in ARRAYS.items():
        csv_of(shared / "data" / f"{source}.npz", folder / f"{name}.csv", ROWS[name])
    return folder


@pytest.fixture(scope="session")
def scored(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ran]:
    """`streamer score` without any configuration over a file, named by its stem; once."""

    @functools.cache
    def score(name: str) -> Ran:
        out = tmp_path_factory.mktemp(name)
        plot = ["--plot", "plot.png"] if name in DRAWN else []
        files = ["--scores", "scores.csv", "--alerts", "alerts.jsonl", *plot]
        return streamer(out, "score", str(data / f"{name}.csv"), *files, "--format", "json")

    return score


@pytest.fixture(scope="session")
def beginnings(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, with at most BEGINNING rows of every series."""
    folder = tmp_path_factory.mktemp("beginnings")
    for path in data.glob("*.csv"):
        with path.open() as file:
            (folder / path.name).write_text("".join(islice(file, BEGINNING + 1)))
    return folder


def over(config: str, command: str, folder: Path, data: Path) -> Ran:
    """`streamer run` or `streamer backtest` over a configuration beside this file, to its end."""
    files = ["--scores", "scores.csv", "--alerts", "alerts.jsonl", "--format", "json"]
    words = ["--until-idle", "1s"] if command == "run" else files
    path = str(CONFIGS / f"{config}.yaml")
    own = {"REAL_DATA": str(data), "REAL_OUT": str(folder)}
    return streamer(folder, command, "-c", path, *words, **own)


@pytest.fixture(scope="session")
def configured(
    beginnings: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Ran]:
    """`over` by command and configuration; once."""

    @functools.cache
    def run(command: str, config: str) -> Ran:
        return over(config, command, tmp_path_factory.mktemp(f"{command}-{config}"), beginnings)

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def alerts_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
