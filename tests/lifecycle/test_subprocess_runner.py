"""Limits of a child process, tried on small scripts that want more than they may have."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamer.lifecycle.subprocess_runner import Ended, Limits, OutputLines, run
from tests.servers.child import wait_until

MIB = 2**20
SMALL = Limits(20.0, 200 * MIB, nice=5)
EATER = "held = []\nwhile True:\n    held.append(bytearray(8 << 20))"
FOREVER = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"
)


def child(
    source: str, limits: Limits = SMALL, *, stop: Any = lambda: False
) -> tuple[Ended, list[Mapping[str, Any]]]:
    heard: list[Mapping[str, Any]] = []
    ended = run([sys.executable, "-c", source], limits, stop=stop, hear=heard.append)
    return ended, heard


def dead(pid: int) -> bool:
    """Gone, or waiting for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_child_that_eats_memory_is_stopped_by_its_limit() -> None:
    ended, _ = child(EATER)
    assert ended.code == 1 and ended.by_us is None
    assert ended.tail[-1] == "MemoryError"
    assert ended.problem == "ended with exit code 1: MemoryError"


def test_a_child_that_never_ends_is_ended_at_its_time_though_it_ignores_the_request() -> None:
    ended, _ = child(FOREVER, Limits(0.5, 200 * MIB))
    assert (ended.code, ended.by_us) == (-9, "time")
    assert "its limit" in ended.problem


def test_a_child_ends_when_the_daemon_stops() -> None:
    began = time.monotonic()
    ended, _ = child("import time; time.sleep(60)", stop=lambda: time.monotonic() > began + 0.5)
    assert (ended.code, ended.by_us) == (-15, "stop")


def test_grandchildren_end_with_the_child() -> None:
    source = "import subprocess, sys, json\np = subprocess.Popen(['sleep', '60'])\n"
    source += "sys.stderr.write(json.dumps({'event': 'pid', 'pid': p.pid}) + '\\n')"
    ended, heard = child(source)
    assert ended.code == 0
    wait_until(lambda: dead(heard[0]["pid"]), timeout_s=5.0, what="the grandchild's end")


def test_processor_time_has_a_limit_of_the_kernels_own() -> None:
    source = "import resource, sys, json\nlimit = resource.getrlimit(resource.RLIMIT_CPU)\n"
    source += "sys.stderr.write(json.dumps({'cpu': limit}))"
    assert child(source, Limits(10.0, 200 * MIB, threads=2))[1] == [{"cpu": [31, 36]}]


def test_a_child_has_low_priority_and_its_own_number_of_threads() -> None:
    source = "import os, sys, json\nsys.stderr.write(json.dumps([os.nice(0), 0]) + chr(10))\n"
    source += (
        "sys.stderr.write(json.dumps({'nice': os.nice(0), 'threads': "
        "os.environ['OMP_NUM_THREADS']}))"
    )
    before = os.nice(0)
    ended, heard = child(source, Limits(20.0, 200 * MIB, nice=7, threads=3))
    assert heard == [{"nice": min(before + 7, 19), "threads": "3"}]
    assert ended.tail == (f"[{min(before + 7, 19)}, 0]",)


def test_progress_is_heard_however_the_bytes_are_cut() -> None:
    blob = b'{"event": "epoch", "number": 1}\nno json\n{"event": "done"}'
    for cut in range(len(blob)):
        heard: list[Mapping[str, Any]] = []
        lines = OutputLines(heard.append)
        lines.take(blob[:cut])
        lines.take(blob[cut:])
        lines.end()
        assert [event["event"] for event in heard] == ["epoch", "done"]
        assert list(lines.tail) == ["no json"]


def test_a_command_that_does_not_exist_is_an_end_with_its_reason() -> None:
    ended = run(["/nowhere/python"], SMALL, stop=lambda: False, hear=lambda event: None)
    assert ended.code == 1 and "No such file" in ended.problem
