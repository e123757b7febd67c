"""Starting costs milliseconds: measured in processes of their own, best of five."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUNS = 5
# The promise is for an idle machine; a shared two-core one in the middle of a test run gets this
# much more.
SLACK = 3.0
HEAVY = (
    "tensorflow",
    "keras",
    "ai_edge_litert",
    "matplotlib",
    "pydantic",
    "kafka",
    "redis",
    "uvicorn",
    "starlette",
)


COMMAND = Path(sys.executable).with_name("streamer")


def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(args, capture_output=True, text=True, timeout=60, check=True)


@functools.cache
def loaded_by(statement: str) -> set[str]:
    return set(
        run(sys.executable, "-c", f"import sys\n{statement}\nprint(*sys.modules)").stdout.split()
    )


def import_ms() -> float:
    """What `import streamer` adds to a bare interpreter, by the interpreter's own account."""
    lines = run(sys.executable, "-X", "importtime", "-c", "import streamer").stderr.splitlines()
    return (
        next(int(line.split("|")[1]) for line in lines if line.split("|")[-1].strip() == "streamer")
        / 1e3
    )


def wall_ms(*args: str | Path) -> float:
    started = time.perf_counter()
    run(*args)
    return (time.perf_counter() - started) * 1e3


def report(what: str, measured_ms: float, promised_ms: float) -> None:
    print(f"{what}: {measured_ms:.0f} ms, promised {promised_ms:.0f} ms, {os.cpu_count()} cores")
    assert measured_ms < promised_ms * SLACK


@pytest.mark.parametrize("heavy", HEAVY)
def test_import_streamer_loads_nothing_heavy(heavy: str) -> None:
    assert heavy not in loaded_by("import streamer")


@pytest.mark.parametrize("heavy", [*HEAVY, "numpy"])
def test_the_command_line_starts_without_anything_heavy(heavy: str) -> None:
    assert heavy not in loaded_by("import streamer.cli.main")


@pytest.mark.parametrize("heavy", ["tensorflow", "keras", "kafka", "redis", "matplotlib"])
def test_the_backends_and_the_detector_need_no_tensorflow(heavy: str) -> None:
    assert heavy not in loaded_by(
        "import streamer.backends, streamer.artifact, streamer.detect.pipeline"
    )


@pytest.mark.integration
@pytest.mark.alone
def test_import_streamer_takes_less_than_150_ms() -> None:
    report("import streamer", min(import_ms() for _ in range(RUNS)), 150)


@pytest.mark.integration
@pytest.mark.alone
def test_help_takes_less_than_250_ms() -> None:
    report("streamer --help", min(wall_ms(COMMAND, "--help") for _ in range(RUNS)), 250)
