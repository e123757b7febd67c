"""Failpoints: they strike once, at their time, and cost nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAM = (
    "from streamer.failpoints import failpoint\nfor i in range(4): print(i, flush=True); "
    "failpoint('here')"
)

CALL = re.compile(r'\bfailpoint\("(\w+)"\)')


def _run(failpoint: str) -> tuple[int, list[str]]:
    env = {"STREAMER_FAILPOINT": failpoint}
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, check=False, capture_output=True, text=True
    )
    return told.returncode, told.stdout.split()


def test_a_failpoint_kills_at_its_count_and_nowhere_else() -> None:
    assert _run("here:3") == (-9, ["0", "1", "2"])
    assert _run("here") == (-9, ["0"])
    assert _run("elsewhere") == _run("here:5") == (0, ["0", "1", "2", "3"])


def test_a_failpoint_with_a_duration_hangs_and_goes_on() -> None:
    started = time.monotonic()
    assert _run("here:2:0.3s") == (0, ["0", "1", "2", "3"])
    assert time.monotonic() - started >= 0.3


def test_the_document_lists_every_failpoint_that_there_is_and_no_other() -> None:
    called = {
        name
        for path in (ROOT / "streamer").rglob("*.py")
        for name in CALL.findall(path.read_text())
    }
    rows = (ROOT / "docs" / "delivery.md").read_text().partition("## Failpoints")[2].splitlines()
    listed = {
        name
        for row in rows
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert called == listed
