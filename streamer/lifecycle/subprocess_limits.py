"""Runs a command under limits, between fork and exec of a process with one thread.

Usage: `python -P -m streamer.lifecycle.subprocess_limits NICE DATA_BYTES CPU_S COMMAND...`. A
daemon with many threads cannot set limits safely. Memory is limited by RLIMIT_DATA, not by
addresses: TensorFlow reserves four times what it uses (measured while training: 2.6 GiB of
addresses, 0.6 GiB of data, 0.8 GiB resident with the libraries' files).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main(nice: int, data_bytes: int, cpu_s: int, command: list[str]) -> None:
    """Set the limits on this process, and replace it by the command."""
    die_with_parent()
    os.nice(nice)
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # if memory runs out all the same, the kernel kills this process and not the daemon
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    os.execvp(command[0], command)


def die_with_parent() -> None:
    """End this process when its parent dies (Linux only), so that no training is left behind."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
