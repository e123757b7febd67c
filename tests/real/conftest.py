"""The public data sets as the files that a user would have, and the commands run over them, two at
a time.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CONFIGS = Path(__file__).parent / "configs"
# Rows that are enough to see every series scored; bench/quality.py reads them whole.
SHORT_ROWS, WHOLE = 1000, {"nyc_taxi", "art_flatline", "art_daily_perfect_square_wave"}
# Test rows of the long sets that are enough to see the pipeline at work; bench/quality.py reads
# them whole.
ARRAYS = {
    "skab_valve1_0": ("skab/valve1/0", None),
    "asd_omi-1": ("asd/omi-1", 2880),
    "smd_machine-1-6": ("smd/machine-1-6", 3000),
}


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
    """Run the command line as a user would, in its folder."""
    command = [sys.executable, "-m", "streamer.cli", *words]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False
    )
    return Ran(words, done.returncode, done.stdout, done.stderr, folder)


def csv_of(npz: Path, target: Path, rows: int | None) -> None:
    """The test part of a packed set as a CSV with a header; a time column where the set
    has times.
    """
    with np.load(npz) as arrays:
        test = np.ascontiguousarray(arrays["test"])[:rows]
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
def real_data(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with every series as a CSV: links to the NAB files, conversions of the others."""
    folder = tmp_path_factory.mktemp("data")
    for path in sorted((shared / "data" / "nab").rglob("*.csv")):
        (folder / path.name).symlink_to(path)
    for name, (source, rows) in ARRAYS.items():
        csv_of(shared / "data" / f"{source}.npz", folder / f"{name}.csv", rows)
    return folder


@pytest.fixture(scope="session")
def short_data(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder with the beginnings of the series, but for those of which a test wants the
    end.
    """
    folder = tmp_path_factory.mktemp("short")
    for path in real_data.glob("*.csv"):
        with path.open() as file:
            lines = file if path.stem in WHOLE else islice(file, SHORT_ROWS + 1)
            (folder / path.name).write_text("".join(lines))
    return folder


@pytest.fixture(scope="session")
def scored(short_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """`streamer score` without any configuration over every file, by the file's stem."""
    files = sorted(short_data.glob("*.csv"), key=lambda path: -path.stat().st_size)

    def one(path: Path) -> Ran:
        out = tmp_path_factory.mktemp(path.stem)
        wanted = (
            "--scores",
            "scores.csv",
            "--alerts",
            "alerts.jsonl",
            "--plot",
            "plot.png",
            "--format",
            "json",
        )
        return streamer(out, "score", str(path), *wanted)

    with ThreadPoolExecutor(2) as pool:
        return {path.stem: ran for path, ran in zip(files, pool.map(one, files), strict=True)}


@pytest.fixture(scope="session")
def configured(
    real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Ran]:
    """`streamer run` and `streamer backtest` over every configuration beside this file, by
    (command, name).
    """

    def one(job: tuple[str, Path]) -> Ran:
        command, config = job
        out = tmp_path_factory.mktemp(f"{command}-{config.stem}")
        words = (
            ("--until-idle", "5s")
            if command == "run"
            else (
                "--scores",
                "scores.csv",
                "--alerts",
                "alerts.jsonl",
                "--plot",
                "plot.png",
                "--format",
                "json",
            )
        )
        return streamer(
            out, command, "-c", str(config), *words, REAL_DATA=str(real_data), REAL_OUT=str(out)
        )

    jobs = [
        (command, config)
        for config in sorted(CONFIGS.glob("*.yaml"))
        for command in ("run", "backtest")
    ]
    with ThreadPoolExecutor(2) as pool:
        return {
            (command, config.stem): ran
            for (command, config), ran in zip(jobs, pool.map(one, jobs), strict=True)
        }


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def alerts_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
