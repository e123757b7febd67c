"""`streamer run --workers N` as a daemon of several processes: who they are, and the books of all
of them together.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

from streamer.app.supervisor import WORKER_VARIABLE
from tests.integration.history import Books
from tests.integration.runner import Daemon
from tests.servers.child import wait_until


def start_team(daemon: Daemon, workers: int) -> None:
    """Until every worker of it lives. A single one works by itself, without a supervisor."""
    daemon.start(STREAMER_WORKERS=str(workers))
    wait_until(
        lambda: workers == 1 or len(pids(daemon)) == workers,
        timeout_s=30.0,
        what=f"{workers} workers",
    )


def pids(daemon: Daemon) -> dict[int, int]:
    """The process of each worker that lives now, by its number."""
    boss = daemon.child.pid
    children = (
        Path(f"/proc/{boss}/task/{boss}/children").read_text().split() if daemon.running else []
    )
    numbered = {_number(int(pid)): int(pid) for pid in children}
    return {number: pid for number, pid in numbered.items() if number is not None}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def books(daemon: Daemon, stream: str) -> Books:
    """Of all workers of a run that ended by itself, as one account. What moved between them may be
    judged twice.
    """
    stopped = daemon.logged("service_stopped")
    account = Counter[str]()
    for line in stopped:
        account.update(line["conservation"][stream])
    assert stopped and all(line["clean"] for line in stopped), stopped
    return Books(dict(account))


def _number(pid: int) -> int | None:
    """What the supervisor called it; None of a process that is gone, or not yet a worker."""
    with suppress(OSError):
        for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            name, _, value = variable.partition(b"=")
            if name == WORKER_VARIABLE.encode():
                return int(value)
    return None
