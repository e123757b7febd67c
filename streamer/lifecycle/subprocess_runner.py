"""Runs a child process with low priority and limits of memory, time and threads.

Its output is read while it runs, and it is ended as a process group.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from streamer.protocols import Clock
from streamer.runtime import cpu_affinity

LOOK_S = 0.2  # seconds until a stop or the end is noticed
FAREWELL_S = 1.0  # seconds between SIGTERM and SIGKILL
# the child's processor time may exceed wall time x threads by this factor
CPU_SLACK = 1.5
MAX_LINE = 1 << 16
TAIL_LINES = 20  # lines of other output, kept to explain a failure

Hear = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a child process."""

    seconds: float
    memory_bytes: int
    nice: int = 15
    threads: int = 1

    def around(self, command: Sequence[str]) -> list[str]:
        """Return the command line that sets the limits and then runs the command."""
        cpu_s = round(self.seconds * self.threads * CPU_SLACK) + 1
        numbers = [str(number) for number in (self.nice, self.memory_bytes, cpu_s)]
        return [
            sys.executable,
            "-P",
            "-m",
            "streamer.lifecycle.subprocess_limits",
            *numbers,
            *command,
        ]

    def environment(self) -> dict[str, str]:
        """Return the environment, with the thread count of all libraries and without a GPU."""
        names = (
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "TF_NUM_INTRAOP_THREADS",
            "TF_NUM_INTEROP_THREADS",
        )
        counted = dict.fromkeys(names, str(self.threads))
        return os.environ | counted | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its exit code (negative: by that signal), and why `run` ended it."""

    code: int
    seconds: float
    by_us: str | None = None  # "time" | "stop"
    tail: tuple[str, ...] = ()

    @property
    def problem(self) -> str:
        """The end in words."""
        last = f": {self.tail[-1]}" if self.tail else ""
        if self.by_us == "time":
            return f"ended after {self.seconds:.0f} s, its limit{last}"
        if self.by_us == "stop":
            return f"stopped after {self.seconds:.0f} s"
        how = (
            f"by signal {-self.code} ({_signal(-self.code)})"
            if self.code < 0
            else f"with exit code {self.code}"
        )
        return f"ended {how}{last}"


def run(
    command: Sequence[str],
    limits: Limits,
    *,
    stop: Callable[[], bool],
    hear: Hear,
    farewell_s: float = FAREWELL_S,
    env: Mapping[str, str] = MappingProxyType({}),
    clock: Clock = time.monotonic,
) -> Ended:
    """Run a command until its end, `limits.seconds` or `stop`; then end its process group.

    Its stdout is discarded. Lines of its stderr that are JSON objects are passed to `hear` at once.
    The calling thread must live as long as the child, because the kernel kills the child with it.
    So a daemon that is killed leaves nothing behind.
    """
    began = clock()
    with cpu_affinity.unbound():
        child = subprocess.Popen(
            limits.around(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**limits.environment(), **env},
            start_new_session=True,
        )
    assert child.stderr is not None
    lines = OutputLines(hear)
    try:
        by_us = _attend(
            child, child.stderr.fileno(), lines, lambda: _why(began, limits, stop, clock)
        )
    finally:
        _end(child, farewell_s)
        child.stderr.close()
    lines.end()
    return Ended(child.returncode, clock() - began, by_us, tuple(lines.tail))


def _why(began: float, limits: Limits, stop: Callable[[], bool], clock: Clock) -> str | None:
    if stop():
        return "stop"
    return "time" if clock() - began > limits.seconds else None


def _attend(
    child: subprocess.Popen[bytes], pipe: int, lines: OutputLines, why: Callable[[], str | None]
) -> str | None:
    """Read output until the child ends; return why it must be ended, or None."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if (reason := why()) is not None:
                return reason
            if selector.select(LOOK_S):
                blob = os.read(pipe, MAX_LINE)
                if not blob:  # every process that held the pipe has closed it
                    selector.unregister(pipe)
                    return _outlasted(child, why)
                lines.take(blob)
            elif child.poll() is not None:  # a grandchild may hold the pipe open
                return None


def _outlasted(child: subprocess.Popen[bytes], why: Callable[[], str | None]) -> str | None:
    """Wait for a child that closed its stderr; return why it must be ended, or None."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            child.wait(LOOK_S)
            return None
        if (reason := why()) is not None:
            return reason


def _end(child: subprocess.Popen[bytes], farewell_s: float) -> None:
    """End the whole group: first SIGTERM, then SIGKILL."""
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(farewell_s)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _signal(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return "unknown"


@dataclass(slots=True)
class OutputLines:
    """The bytes of a stream as lines: JSON events are passed on, other lines are kept as a tail."""

    hear: Hear
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    _rest: bytes = b""

    def take(self, blob: bytes) -> None:
        *whole, self._rest = (self._rest + blob).split(b"\n")
        for line in whole:
            self._line(line)
        if len(self._rest) > MAX_LINE:
            self._rest = b""

    def end(self) -> None:
        self._line(self._rest)
        self._rest = b""

    def _line(self, line: bytes) -> None:
        event = _event(line)
        if event is not None:
            self.hear(event)
            if "error" in event:
                self.tail.append(str(event["error"])[:500])
        elif line.strip():
            self.tail.append(line.decode(errors="replace").strip()[:500])


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None
