"""N worker processes of one consumer group: started one after the other, restarted when they crash,
drained together.

What to do when a worker ends is a pure function of its history (`after_end`); the loop only carries
it out.
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
UNREACHED = 5  # a server did not answer at the start, however long that took
WATCH_S = 0.1
KILL_S = 2.0  # a worker that was told to quit has so long
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Rules:
    """When a worker is started, started again, and given up."""

    # between first starts: every start makes the group share its partitions anew
    stagger_s: float = 0.5
    first_s: float = 0.5  # before the first restart, doubling ...
    most_s: float = 30.0  # ... up to this
    settled_s: float = 10.0  # who lived so long had started
    attempts: int = 5  # of a worker that never settled
    finite: bool = False  # workers may end by themselves; else one that does is started again
    drain_s: float = 45.0  # after the first signal; then the rest is killed


@dataclass(frozen=True, slots=True)
class WorkerHistory:
    """What a worker went through so far."""

    failures: int = 0  # in a row
    settled: bool = False  # it ran for a while at least once


class Step(enum.Enum):
    """What to do about a worker that ended."""

    DONE = "done"
    RESTART = "restart"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Decision:
    """The step, the wait before it, and the history to go on with."""

    step: Step
    history: WorkerHistory
    wait_s: float = 0.0


def after_end(
    history: WorkerHistory, code: int, lived_s: float, *, stopping: bool, rules: Rules
) -> Decision:
    """What happens to a worker that ended with `code` (-N: by signal N) after `lived_s` seconds."""
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
    """A worker's code for the account: a signal of ours is no failure, another one is."""
    if code >= 0:
        return code
    return 0 if stopping and -code == signal.SIGTERM else FAILED  # it had not even begun


def worst(codes: Sequence[int]) -> int:
    """The exit code of all: the gravest of the workers', 0 of none."""
    return max(codes, default=0)


class Process(Protocol):
    """A running worker, as `subprocess.Popen` is one."""

    pid: int

    def poll(self) -> int | None: ...

    def send_signal(self, sig: int, /) -> None: ...


@dataclass(slots=True)
class WorkerProcess:
    """One place of the N, with the process that fills it, if one does."""

    number: int
    start_at: float
    process: Process | None = None
    started_at: float = 0.0
    history: WorkerHistory = WorkerHistory()
    code: int | None = None  # final; None: it runs, or will

    @property
    def over(self) -> bool:
        return self.code is not None


Launch = Callable[[int], Process]


@dataclass(slots=True)
class Supervisor:
    """Keeps `workers` processes running until a signal, their end, or one that cannot
    start at all.
    """

    launch: Launch
    workers: int
    rules: Rules = Rules()
    clock: Clock = time.monotonic
    _labels_heard: int = field(default=0, init=False)  # signals
    _told: int = field(default=0, init=False)  # signals forwarded
    _give_up_at: float = field(default=float("inf"), init=False)
    # exit code of a worker that was given up: then all drain
    _failed: int = field(default=0, init=False)
    _places: list[WorkerProcess] = field(default_factory=list, init=False)

    def run(self, wait: Callable[[float], object] = time.sleep) -> int:
        """Until all workers are done; returns the exit code."""
        self.begin()
        while not self.tick():
            wait(WATCH_S)
        return self.finish()

    def finish(self) -> int:
        """The exit code once all is over: 130 after a second signal, else the worst of the
        workers'.
        """
        codes = [place.code or 0 for place in self._places]
        log.info("workers_stopped", codes=codes)
        return QUIT if self._labels_heard > 1 else worst([self._failed, *codes])

    def begin(self) -> None:
        now = self.clock()
        self._places = [
            WorkerProcess(i, now + i * self.rules.stagger_s) for i in range(self.workers)
        ]

    def stop(self) -> None:
        """Drain at the first call, quit at the second. Only counts: safe in a signal handler."""
        self._labels_heard += 1

    @property
    def stopping(self) -> bool:
        return self._wanted > 0

    @property
    def _wanted(self) -> int:
        """How many signals the workers should have heard by now."""
        return max(self._labels_heard, int(self._failed > 0))

    def tick(self) -> bool:
        """Start who is due, look after who ended, pass signals on; True once all is over."""
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
        """Each worker hears SIGTERM once to drain and once more to quit; who hears neither is
        killed in the end.
        """
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
    """Run the command of each worker under a supervisor that listens to SIGTERM and SIGINT. Main
    thread only.
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
    """Start a worker in a session of its own, so that Ctrl-C reaches it once and through us, and
    let it die with us.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        env=environment_of(number, os.environ),
        start_new_session=True,
        preexec_fn=_die_with(parent) if sys.platform == "linux" else None,  # noqa: PLW1509 - this process has one thread
    )


def environment_of(number: int, mine: Mapping[str, str]) -> dict[str, str]:
    """The variables of worker `number`: ours, its number, and none that would make it a supervisor
    itself.
    """
    return {name: value for name, value in mine.items() if name != "STREAMER_WORKERS"} | {
        WORKER_VARIABLE: str(number)
    }


def _die_with(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None)

    def in_child() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # drain: what was read is judged and committed
        if os.getppid() != parent:  # it died before we asked
            os._exit(FAILED)

    return in_child
