"""The probe of a new model in a child process, because a corrupt .tflite can crash its process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from streamer.errors import BackendError, ModelError
from streamer.lifecycle import subprocess_runner

MEMORY_BYTES = 4 * 2**30
NICE = 0  # a probe is short, and the swap waits for it


def probe(
    directory: Path, backend: str, *, timeout_s: float, stop: Callable[[], bool] = lambda: False
) -> None:
    """Run the golden vectors of a bundle on a backend.

    ModelError if the outputs differ or the process crashes. BackendError if it was stopped, killed
    from outside or too slow: that is a problem of this machine.
    """
    said: list[str] = []

    def hear(event: Mapping[str, Any]) -> None:
        said.append(str(event.get("problem", "")))

    # -P: do not import a folder `streamer` of the current directory.
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
