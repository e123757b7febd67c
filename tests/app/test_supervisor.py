"""Laws of the supervisor: who is started again, who is given up, and how signals reach every
worker.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.app.supervisor import (
    Rules,
    Step,
    Supervisor,
    WorkerHistory,
    after_end,
    environment_of,
    exit_code_of,
    worst,
)

RULES = Rules(stagger_s=0.5, first_s=0.5, most_s=30, settled_s=10, attempts=5)
CODES = st.integers(-31, 130)


def test_a_crash_is_restarted_later_each_time() -> None:
    history, waits = WorkerHistory(settled=True), []
    for _ in range(9):
        decision = after_end(history, 1, 0.1, stopping=False, rules=RULES)
        assert decision.step is Step.RESTART
        history = decision.history
        waits.append(decision.wait_s)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_worker_that_ran_for_a_while_starts_its_count_anew() -> None:
    decision = after_end(
        WorkerHistory(failures=7, settled=True), -9, 60, stopping=False, rules=RULES
    )
    assert (decision.step, decision.wait_s, decision.history.failures) == (Step.RESTART, 0.5, 1)


@pytest.mark.parametrize(("code", "lived_s"), [(1, 1.0), (-9, 9.9), (5, 60.0)])
def test_a_worker_that_never_settles_is_given_up_at_its_last_attempt(
    code: int, lived_s: float
) -> None:
    history, steps = WorkerHistory(), []
    for _ in range(RULES.attempts):
        decision = after_end(history, code, lived_s, stopping=False, rules=RULES)
        history = decision.history
        steps.append(decision.step)
    assert steps == [Step.RESTART] * 4 + [Step.GIVE_UP]


@pytest.mark.parametrize("code", [2, 3])
def test_what_another_attempt_cannot_change_is_given_up_at_once(code: int) -> None:
    assert (
        after_end(WorkerHistory(settled=True), code, 99, stopping=False, rules=RULES).step
        is Step.GIVE_UP
    )


@given(st.integers(0, 50), st.booleans(), CODES, st.floats(0, 1e6))
def test_nobody_is_restarted_while_stopping(
    failures: int, settled: bool, code: int, lived_s: float
) -> None:
    assert (
        after_end(WorkerHistory(failures, settled), code, lived_s, stopping=True, rules=RULES).step
        is Step.DONE
    )


def test_an_end_without_failure_is_final_only_where_workers_may_end() -> None:
    finite = Rules(finite=True)
    assert after_end(WorkerHistory(), 0, 1, stopping=False, rules=finite).step is Step.DONE
    assert after_end(WorkerHistory(), 0, 1, stopping=False, rules=RULES).step is Step.RESTART


@given(st.lists(CODES.map(lambda code: exit_code_of(code, stopping=False)), min_size=1))
def test_the_exit_code_is_zero_only_if_all_are(codes: list[int]) -> None:
    assert (worst(codes) == 0) == (set(codes) == {0})
    assert worst(codes) in codes


def test_our_own_signal_is_no_failure_and_another_is() -> None:
    assert exit_code_of(-signal.SIGTERM, stopping=True) == 0
    assert exit_code_of(-signal.SIGTERM, stopping=False) == 1
    assert exit_code_of(-signal.SIGSEGV, stopping=True) == 1


def test_a_worker_knows_its_number_and_does_not_supervise() -> None:
    mine = {"PATH": "/bin", "STREAMER_WORKERS": "4", "STREAMER_WORKER": "9"}
    assert environment_of(2, mine) == {"PATH": "/bin", "STREAMER_WORKER": "2"}


@dataclass
class Scripted:
    """A process that ends when told to, and remembers what it heard."""

    pid: int
    code: int | None = None
    heard: list[int] = field(default_factory=list)

    def poll(self) -> int | None:
        return self.code

    def send_signal(self, sig: int, /) -> None:
        self.heard.append(sig)


@dataclass
class Stage:
    """A supervisor of scripted processes under a clock in hand."""

    workers: int
    rules: Rules = RULES
    now: float = 0.0
    started: list[tuple[float, int, Scripted]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(self.launch, self.workers, self.rules, clock=lambda: self.now)
        self.supervisor.begin()

    def launch(self, number: int) -> Scripted:
        process = Scripted(1000 + len(self.started))
        self.started.append((self.now, number, process))
        return process

    def until(self, time_s: float) -> bool:
        """Ticks of 0.1 s up to the given time; whether all is over."""
        over = False
        while self.now < time_s and not over:
            over = self.supervisor.tick()
            self.now = round(self.now + 0.1, 6)
        return over

    def process(self, number: int) -> Scripted:
        """The latest one of a worker."""
        return next(process for _, n, process in reversed(self.started) if n == number)

    def end(self) -> int:
        """The exit code, once all is over."""
        return self.supervisor.finish()


def test_workers_start_one_after_the_other() -> None:
    stage = Stage(3)
    stage.until(5)
    assert [(round(at, 1), number) for at, number, _ in stage.started] == [
        (0.0, 0),
        (0.5, 1),
        (1.0, 2),
    ]


def test_only_the_crashed_worker_is_started_again() -> None:
    stage = Stage(3)
    stage.until(20)
    stage.process(1).code = -9
    stage.until(25)
    assert [number for _, number, _ in stage.started] == [0, 1, 2, 1]


def test_the_first_signal_drains_every_worker_once() -> None:
    stage = Stage(2)
    stage.until(5)
    stage.supervisor.stop()
    stage.until(8)
    assert [process.heard for _, _, process in stage.started] == [[signal.SIGTERM]] * 2
    for _, _, process in stage.started:
        process.code = 0
    assert stage.until(9)
    assert stage.end() == 0


def test_the_second_signal_quits() -> None:
    stage = Stage(2)
    stage.until(5)
    stage.supervisor.stop()
    stage.supervisor.stop()
    stage.until(5.4)
    assert stage.process(0).heard == [signal.SIGTERM] * 2
    for _, _, process in stage.started:
        process.code = 130
    assert stage.until(9)
    assert stage.end() == 130


def test_a_worker_that_does_not_start_stops_all_others_and_fails() -> None:
    stage = Stage(2)
    while not stage.process(0).heard if stage.started else True:
        stage.until(stage.now + 0.1)
        if len(stage.started) > 1:
            stage.process(1).code = -11
    assert sum(number == 1 for _, number, _ in stage.started) == RULES.attempts
    stage.process(0).code = 0
    assert stage.until(stage.now + 5)
    assert stage.end() == 1


def test_a_signal_after_a_failed_start_still_drains() -> None:
    stage = Stage(2)
    stage.until(2)
    stage.process(1).code = 3
    stage.until(3)
    stage.supervisor.stop()
    stage.until(4)
    assert stage.process(0).heard == [signal.SIGTERM]
    stage.process(0).code = 0
    stage.until(5)
    assert stage.end() == 3


def test_a_worker_that_hears_nothing_is_killed_in_the_end() -> None:
    stage = Stage(1)
    stage.until(5)
    stage.supervisor.stop()
    stage.until(5 + RULES.drain_s - 1)
    assert signal.SIGKILL not in stage.process(0).heard
    stage.until(5 + RULES.drain_s + 1)
    assert stage.process(0).heard == [signal.SIGTERM, signal.SIGKILL]
    stage.process(0).code = -9
    assert stage.until(99)
    assert stage.end() == 1


def test_no_worker_is_started_after_a_signal() -> None:
    stage = Stage(3)
    stage.until(0.2)
    stage.supervisor.stop()
    stage.until(1)
    stage.process(0).code = 0
    assert stage.until(5)
    assert [number for _, number, _ in stage.started] == [0]
    assert stage.end() == 0
