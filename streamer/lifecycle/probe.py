"""A new model's first steps, in a process of their own: a corrupt .tflite can take its process
along.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from streamer.errors import BackendError, ModelError
from streamer.lifecycle import subprocess_runner

MEMORY_BYTES = 4 * 2**30
NICE = 0  # it is short, and somebody waits


def probe(
    directory: Path, backend: str, *, timeout_s: float, stop: Callable[[], bool] = lambda: False
) -> None:
    """Run the golden vectors of a bundle on a backend. ModelError if they come out otherwise, or
    its process crashes.

    BackendError where it was stopped, killed from outside or not through in time: that tells of
    this machine.
    """
    said: list[str] = []

    def hear(event: Mapping[str, Any]) -> None:
        said.append(str(event.get("problem", "")))

    # -P: a folder `streamer` where the daemon was started is not ours.
    command = [
        sys.executable,
        "-P",
        "-m",
        "streamer.lifecycle.probe_child",
        str(directory),
        backend,
    ]
    ended = subprocess_runner.run(
        command, subprocess_runner.Limits(timeout_s, MEMORY_BYTES, NICE), stop=stop, hear=hear
    )
    if ended.by_us is not None or ended.code == -signal.SIGKILL:
        raise BackendError(
            f"{directory}: not through its probe on backend {backend} here: {ended.problem}"
        )
    if ended.code != 0:
        why = said[-1] if said else ended.problem
        raise ModelError(f"{directory}: failed its probe on backend {backend}: {why}")
