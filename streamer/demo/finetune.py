"""Fine-tuning during the show: a child process trains the champion on the plant's history.

The child has low priority and one core, and its time is bounded. Its bundle is verified by hashes
before it is offered. A failure is reported and does not affect the show.
"""

from __future__ import annotations

import enum
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from streamer import artifact
from streamer.backends import open_scorer
from streamer.errors import StreamerError
from streamer.event import F64
from streamer.lifecycle.hot_swap import Successor
from streamer.runtime.model import LoadedModel

NICE = 15
# One thread, because the show runs beside it.
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
PATIENCE_S = 20.0  # beyond the child's own limit, before it is stopped
LEAST_ROWS = 320  # of an entity, for a training


class State(enum.StrEnum):
    """The state of the training."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class Tuning:
    """One training in a child process. Used by one thread; `step` never waits."""

    def __init__(self, seconds: float, seed: int, *, clock: Callable[[], float]) -> None:
        self.state, self.told = State.WAITING, ""
        self.improved: bool | None = None
        self._seconds, self._seed, self._clock = seconds, seed, clock
        self._began = 0.0
        self._room: tempfile.TemporaryDirectory[str] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._read = 0

    def start(self, values: Any, time_s: F64) -> None:
        """Start on values (E, T, C) and times (E, T).

        Skipped, with the reason in `told`, if it cannot run.
        """
        if why := self._obstacle(values.shape[1]):
            self.state, self.told = State.SKIPPED, why
            return
        self._room = tempfile.TemporaryDirectory(prefix="streamer-demo-")
        self._data.write_bytes(artifact.pack_arrays({"values": values, "time_s": time_s}))
        self._began, self.state, self.told = self._clock(), State.RUNNING, "starting"
        self._child = self._spawn()

    def _obstacle(self, rows: int) -> str:
        if importlib.util.find_spec("tensorflow") is None:
            return "tensorflow is not installed (pip install 'streamer[train]')"
        return (
            f"only {rows} events of history, {LEAST_ROWS} are needed" if rows < LEAST_ROWS else ""
        )

    def _spawn(self) -> subprocess.Popen[bytes]:
        # -P: do not import a folder `models` of the current directory.
        command = [
            sys.executable,
            "-P",
            "-m",
            "models.finetune",
            "--bundle",
            str(artifact.PRETRAINED),
            "--data",
            str(self._data),
            "--out",
            str(self._out),
            "--seconds",
            f"{self._seconds:.1f}",
            "--seed",
            str(self._seed),
        ]
        with self._log.open("wb") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=os.environ | QUIET,
                start_new_session=True,
            )
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, child.pid, NICE)
        return child

    def step(self) -> Successor | None:
        """Look after the child; its network once, when it has one."""
        if self.state is not State.RUNNING or self._child is None:
            return None
        self._listen()
        code = self._child.poll()
        if code is None:
            if self._clock() - self._began > self._seconds + PATIENCE_S:
                self._fail(f"stopped after {self._clock() - self._began:.0f} s")
            return None
        return self._finished(code)

    def _finished(self, code: int) -> Successor | None:
        self._listen()
        if code:
            self._fail(
                self.told
                if self.told.startswith("failed")
                else f"the training ended with exit code {code}"
            )
            return None
        try:
            bundle = artifact.load(self._out)
            loaded = LoadedModel(open_scorer(bundle), bundle.spec, bundle.calibration)
        except StreamerError as exc:
            self._fail(str(exc))
            return None
        self.state = State.DONE
        return Successor(loaded, why=self.told)

    def _fail(self, why: str) -> None:
        self.state, self.told = State.FAILED, why
        self._kill()

    def _listen(self) -> None:
        with self._log.open("rb") as log:
            log.seek(self._read)
            blob = log.read()
        whole = blob.rfind(b"\n") + 1
        self._read += whole
        for line in blob[:whole].splitlines():
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return  # a line of a library
        if not isinstance(event, dict):
            return
        self.improved = event.get("improved", self.improved)
        self.told = _sentence(event) or self.told

    def close(self) -> None:
        """Stop the child and remove its files. Idempotent."""
        self._kill()
        if self._room is not None:
            self._room.cleanup()
            self._room = None

    def _kill(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()

    @property
    def _directory(self) -> Path:
        assert self._room is not None
        return Path(self._room.name)

    @property
    def _data(self) -> Path:
        return self._directory / "rows.npz"

    @property
    def _out(self) -> Path:
        return self._directory / "bundle"

    @property
    def _log(self) -> Path:
        return self._directory / "progress.jsonl"


def _sentence(event: Mapping[str, Any]) -> str:
    """Return a progress event of the child in words."""
    kind = event.get("event")
    if kind == "epoch":
        return f"round {event.get('number')}, held-out loss {float(event.get('validation', 0)):.4f}"
    if kind == "trained":
        change = f"{float(event.get('before', 0)):.4f} -> {float(event.get('after', 0)):.4f}"
        return f"held-out loss {change}" + (
            "" if event.get("improved") else ", no better: the weights stay"
        )
    return f"failed: {event.get('error')}" if kind == "failed" else ""
