"""The supervisor with real processes: signals, crashes, and a parent that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

# Writes its pid under its number; drains at SIGTERM unless it is deaf; crashes at once where a file
# says so.
CHILD = """
import os, pathlib, signal, sys, time
here, number = pathlib.Path(sys.argv[1]), os.environ["STREAMER_WORKER"]
def drain(*_):
    (here / f"drained-{number}").touch()
    if (here / "slow").exists() and len(heard) == 0:
        heard.append(1)
        return
    os._exit(130 if heard else 0)
heard = []
signal.signal(signal.SIGTERM, drain)
(here / f"new-{number}").write_text(str(os.getpid()))
(here / f"new-{number}").rename(here / f"pid-{number}")
if (here / f"crash-{number}").exists():
    sys.exit(7)
while True:
    time.sleep(0.02)
"""
PARENT = """
import sys
from streamer.app.supervisor import Rules, supervise
rules = Rules(stagger_s=0.05, first_s=0.1, most_s=0.2, settled_s=1.0, attempts=3, drain_s=5.0)
sys.exit(supervise(lambda number: [sys.executable, "-c", sys.argv[2], sys.argv[1]], 3, rules))
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), CHILD],
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    yield process
    process.kill()
    process.wait()


def pid_of(folder: Path, number: int, other_than: int | None = None) -> int:
    path = folder / f"pid-{number}"
    eventually(lambda: path.exists() and int(path.read_text()) != other_than)
    return int(path.read_text())


def eventually(fact: Callable[[], bool], within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_every_worker(
    parent: subprocess.Popen[bytes], tmp_path: Path, number: int
) -> None:
    for worker in range(3):
        pid_of(tmp_path, worker)
    parent.send_signal(number)
    assert parent.wait(20) == 0
    assert {path.name for path in tmp_path.glob("drained-*")} == {
        "drained-0",
        "drained-1",
        "drained-2",
    }


def test_the_second_signal_quits(parent: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (tmp_path / "slow").touch()
    for worker in range(3):
        pid_of(tmp_path, worker)
    parent.terminate()
    eventually((tmp_path / "drained-2").exists)
    assert parent.poll() is None
    parent.terminate()
    assert parent.wait(20) == 130


def test_a_killed_worker_comes_back_under_its_number(
    parent: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    first = pid_of(tmp_path, 1)
    os.kill(first, signal.SIGKILL)
    assert pid_of(tmp_path, 1, other_than=first) != first
    assert not gone(pid_of(tmp_path, 0))


def test_a_worker_that_cannot_start_ends_all(
    parent: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (tmp_path / "crash-2").touch()
    assert parent.wait(30) == 7
    assert (tmp_path / "drained-0").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_workers_die_with_their_supervisor(parent: subprocess.Popen[bytes], tmp_path: Path) -> None:
    pids = [pid_of(tmp_path, worker) for worker in range(3)]
    parent.kill()
    for pid in pids:
        eventually(partial(gone, pid))
    assert (tmp_path / "drained-1").exists()
