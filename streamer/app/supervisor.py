"""N worker processes of one consumer group, restarted when they crash and drained together.

What to do when a worker ends is a pure function of its history (`after_end`); the loop executes it.
"""

from __future__ import annotations

import ctypes
import enum
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol

import structlog

from streamer.backoff import delay_s
from streamer.protocols import Clock

log = structlog.get_logger()

WORKER_VARIABLE = "STREAMER_WORKER"
FAILED, QUIT = 1, 130
REFUSED = frozenset({2, 3})  # usage and configuration: another attempt changes nothing
UNREACHED = 5  # a server did not answer at the start, after any time
WATCH_S = 0.1
KILL_S = 2.0  # time for a worker to exit after the second signal, before SIGKILL
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Rules:
    """When a worker is started, restarted and given up."""

    # between first starts, because every start makes the group rebalance
    stagger_s: float = 0.5
    first_s: float = 0.5  # before the first restart; doubles with each further one
    most_s: float = 30.0  # the longest pause before a restart
    settled_s: float = 10.0  # a worker that lived this long has started successfully
    attempts: int = 5  # failures in a row before a worker that never settled is given up
    finite: bool = False  # if True, a worker that exits with 0 is not restarted
    drain_s: float = 45.0  # after the first signal; then the remaining workers are killed


@dataclass(frozen=True, slots=True)
class WorkerHistory:
    """The failures of a worker so far."""

    failures: int = 0  # in a row
    settled: bool = False  # it ran for a while at least once


class Step(enum.Enum):
    """What to do about a worker that ended."""

    DONE = "done"
    RESTART = "restart"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Decision:
    """The step, the wait before it, and the new history."""

    step: Step
    history: WorkerHistory
    wait_s: float = 0.0


def after_end(
    history: WorkerHistory, code: int, lived_s: float, *, stopping: bool, rules: Rules
) -> Decision:
    """Return what to do about a worker that ended with `code` (-N: by signal N)."""
    if stopping or (code == 0 and rules.finite):
        return Decision(Step.DONE, history)
    lasted = lived_s >= rules.settled_s and code != UNREACHED
    now = WorkerHistory(
        failures=1 if lasted else history.failures + 1, settled=history.settled or lasted
    )
    if code in REFUSED or (not now.settled and now.failures >= rules.attempts):
        return Decision(Step.GIVE_UP, now)
    return Decision(
        Step.RESTART, now, delay_s(now.failures, first_s=rules.first_s, most_s=rules.most_s)
    )


def exit_code_of(code: int, *, stopping: bool) -> int:
    """Return a worker's code for the total: SIGTERM while stopping is 0, another signal FAILED."""
    if code >= 0:
        return code
    return 0 if stopping and -code == signal.SIGTERM else FAILED  # it had not started yet


def worst(codes: Sequence[int]) -> int:
    """Return the highest of the workers' exit codes; 0 for none."""
    return max(codes, default=0)


class Process(Protocol):
    """A running worker; `subprocess.Popen` fits."""

    pid: int

    def poll(self) -> int | None: ...

    def send_signal(self, sig: int, /) -> None: ...


@dataclass(slots=True)
class WorkerProcess:
    """One of the N places, and its process while there is one."""

    number: int
    start_at: float
    process: Process | None = None
    started_at: float = 0.0
    history: WorkerHistory = WorkerHistory()
    code: int | None = None  # final exit code; None while it runs or will run

    @property
    def over(self) -> bool:
        return self.code is not None


Launch = Callable[[int], Process]


@dataclass(slots=True)
class Supervisor:
    """Keeps `workers` processes running until all have ended, after a signal or by themselves.

    A worker that is given up makes all others drain.
    """

    launch: Launch
    workers: int
    rules: Rules = Rules()
    clock: Clock = time.monotonic
    _signals: int = field(default=0, init=False)  # signals received
    _told: int = field(default=0, init=False)  # signals forwarded
    _give_up_at: float = field(default=float("inf"), init=False)
    # exit code of a worker that was given up; then all drain
    _failed: int = field(default=0, init=False)
    _places: list[WorkerProcess] = field(default_factory=list, init=False)

    def run(self, wait: Callable[[float], object] = time.sleep) -> int:
        """Run until all workers are done; return the exit code."""
        self.begin()
        while not self.tick():
            wait(WATCH_S)
        return self.finish()

    def finish(self) -> int:
        """Return the exit code: 130 after a second signal, else the highest of the workers'."""
        codes = [place.code or 0 for place in self._places]
        log.info("workers_stopped", codes=codes)
        return QUIT if self._signals > 1 else worst([self._failed, *codes])

    def begin(self) -> None:
        now = self.clock()
        self._places = [
            WorkerProcess(i, now + i * self.rules.stagger_s) for i in range(self.workers)
        ]

    def stop(self) -> None:
        """Count a signal: the first drains, the second quits. Safe in a signal handler."""
        self._signals += 1

    @property
    def stopping(self) -> bool:
        return self._wanted > 0

    @property
    def _wanted(self) -> int:
        """Number of signals to forward: those received, at least 1 after a failure."""
        return max(self._signals, int(self._failed > 0))

    def tick(self) -> bool:
        """Start and check workers, forward signals; return True once all have ended."""
        self._forward()
        for place in self._places:
            if place.over:
                continue
            if place.process is not None:
                self._look_after(place, place.process)
            elif self.stopping:
                place.code = 0
            elif self.clock() >= place.start_at:
                self._start(place)
        return all(place.over for place in self._places)

    def _start(self, place: WorkerProcess) -> None:
        place.process, place.started_at = self.launch(place.number), self.clock()
        log.info("worker_started", number=place.number, pid=place.process.pid)

    def _look_after(self, place: WorkerProcess, process: Process) -> None:
        code = process.poll()
        if code is None:
            return
        stopping, lived_s = self.stopping, self.clock() - place.started_at
        decision = after_end(place.history, code, lived_s, stopping=stopping, rules=self.rules)
        place.process, place.history = None, decision.history
        tell = log.info if code == 0 or stopping else log.error
        tell(
            "worker_ended",
            number=place.number,
            code=code,
            lived_s=round(lived_s, 1),
            next=decision.step.value,
        )
        if decision.step is Step.RESTART:
            place.start_at = self.clock() + decision.wait_s
            return
        place.code = exit_code_of(code, stopping=stopping)
        if decision.step is Step.GIVE_UP:
            self._failed = max(self._failed, place.code, FAILED)

    def _forward(self) -> None:
        """Send SIGTERM once to drain and once more to quit; SIGKILL after the time limit."""
        if self._wanted > self._told:
            self._told += 1
            self._give_up_at = self.clock() + (self.rules.drain_s if self._told == 1 else KILL_S)
            self._send(signal.SIGTERM)
        elif self.clock() >= self._give_up_at:
            self._give_up_at = self.clock() + KILL_S
            self._failed = max(self._failed, FAILED)
            self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        for place in self._places:
            if place.process is not None:
                with suppress(ProcessLookupError):
                    place.process.send_signal(number)


def supervise(command: Callable[[int], Sequence[str]], workers: int, rules: Rules) -> int:
    """Run the command of each worker until SIGTERM or SIGINT; return the exit code.

    Main thread only.
    """
    parent = os.getpid()
    supervisor = Supervisor(lambda number: spawn(command(number), number, parent), workers, rules)

    def heard(number: int, frame: FrameType | None) -> None:
        supervisor.stop()

    before: dict[int, Any] = {
        number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        return supervisor.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def spawn(command: Sequence[str], number: int, parent: int) -> Process:
    """Start a worker in its own session, which ends with this process (on Linux).

    In its own session it does not get Ctrl-C from the terminal, only the forwarded signal.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        env=environment_of(number, os.environ),
        start_new_session=True,
        preexec_fn=_die_with(parent) if sys.platform == "linux" else None,  # noqa: PLW1509 - this process has one thread
    )


def environment_of(number: int, mine: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of worker `number`.

    It has the worker's number, and no STREAMER_WORKERS, which would start a supervisor again.
    """
    return {name: value for name, value in mine.items() if name != "STREAMER_WORKERS"} | {
        WORKER_VARIABLE: str(number)
    }


def _die_with(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None)

    def in_child() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # drain: what was read is judged and committed
        if os.getppid() != parent:  # the parent ended before prctl was called
            os._exit(FAILED)

    return in_child
