"""Starting costs milliseconds: measured in processes of their own, best of five.

Processor time is measured: it hardly hangs on what else the machine does.
"""

from __future__ import annotations

import functools
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

RUNS = 5
# The promise is for an idle machine; two halves of one busy core get this much more.
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


def cpu_ms(*args: str | Path) -> float:
    """Processor time of a process, the least of some runs."""
    return min(_cpu_ms(*args) for _ in range(RUNS))


def _cpu_ms(*args: str | Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(*args)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


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
def test_import_streamer_takes_less_than_150_ms() -> None:
    bare_ms = cpu_ms(sys.executable, "-c", "pass")
    report("import streamer", cpu_ms(sys.executable, "-c", "import streamer") - bare_ms, 150)


@pytest.mark.integration
def test_help_takes_less_than_250_ms() -> None:
    report("streamer --help", cpu_ms(COMMAND, "--help"), 250)
