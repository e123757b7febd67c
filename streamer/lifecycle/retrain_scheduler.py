"""The loop that starts a retrain job or an evaluation when one is due, and reports its outcome.

Both run in a process of their own, `streamer retrain`. It takes the lock, reads the history, trains
and publishes, or evaluates the champion and stores the report. This loop only writes the recorded
rows of sources that cannot be read again into a file for that process.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from streamer.connect.storage.training_lock import TrainingLock
from streamer.errors import ConfigError, StreamerError
from streamer.lifecycle import row_recorder, subprocess_runner
from streamer.lifecycle.evaluation import Remembered, last_attempt, last_evaluation
from streamer.lifecycle.retrain_job import (
    BUSY,
    EVALUATIONS,
    FAILED,
    NOT_DUE,
    OUTCOMES,
    REFUSED,
    STOPPED,
    champion_trained,
)
from streamer.lifecycle.row_recorder import Recorder
from streamer.lifecycle.schedule import Known, RetrainDecision, RetrainPlan, judge
from streamer.lifecycle.subprocess_runner import Ended, Limits
from streamer.protocols import Clock, Registry

log = structlog.get_logger()

LOOK_S = 10.0  # seconds between looks whether anything is due
REST_S = 600.0  # seconds before another attempt if the last one could not start
GATHER_S = 900.0  # for reading history, in addition to the job's own time
FAREWELL_S = 2.5  # the process has to end its own child first
CODES = {4: REFUSED}


@dataclass(frozen=True, slots=True)
class Opened:
    """Functions that open registry and lock.

    They are called for each look, so that an outage in between does no harm.
    """

    registry: Callable[[], Registry]
    turns: Callable[[], TrainingLock]


def command_of(config: Path, sets: Sequence[str]) -> tuple[str, ...]:
    """Return the command line of a retrain job with the daemon's configuration."""
    words = [sys.executable, "-P", "-m", "streamer.cli", "retrain", "-c", str(config.resolve())]
    words += [word for setting in sets for word in ("--set", setting)]
    return (*words, "--set", "log.format=json", "--set", "log.level=info")


@dataclass(frozen=True, slots=True)
class Errand:
    """What a process is started for; `name` is the prefix of its log events."""

    name: str
    why: str
    words: tuple[str, ...]  # of the command line
    outcomes: Counter[str]


@dataclass(frozen=True, slots=True)
class DueErrands:
    """What is due, and the newest evaluation by any member."""

    evaluated: Remembered
    training: RetrainDecision
    evaluation: RetrainDecision | None  # None if no evaluation is planned


class Plans:
    """Decides when to train and to evaluate, from what all members know."""

    def __init__(
        self,
        training: RetrainPlan,
        evaluation: RetrainPlan | None,
        opened: Opened,
        drift: Callable[[], str | None],
        clock: Clock,
    ) -> None:
        self._training, self._evaluation, self._opened = training, evaluation, opened
        self._drift, self._clock, self._since_s = drift, clock, clock()

    def ask(self) -> DueErrands:
        """Read registry and lock, and decide; StreamerError if they do not answer."""
        with closing(self._opened.registry()) as registry, closing(self._opened.turns()) as turns:
            now_s, evaluated = self._clock(), last_evaluation(turns)
            attempted_s, trained_s = last_attempt(turns), champion_trained(registry)
        known = Known(now_s, attempted_s, trained_s, self._since_s, drift=self._drift())
        training = judge(self._training, known)
        if self._evaluation is None:
            return DueErrands(evaluated, training, None)
        known = Known(now_s, evaluated.at_s, since_s=self._since_s)
        return DueErrands(evaluated, training, judge(self._evaluation, known))


class Retrainer:
    """A background task of the daemon.

    Any thread may read `outcomes`, `evaluations`, `evaluated` and `told`.
    """

    name = "retrainer"

    def __init__(
        self,
        plan: RetrainPlan,
        limits: Limits,
        command: Sequence[str],
        opened: Opened,
        *,
        evaluation: RetrainPlan | None = None,
        recorders: Mapping[str, Recorder],
        drift: Callable[[], str | None],
        clock: Clock = time.time,
    ) -> None:
        self.outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self.evaluations: Counter[str] = Counter(dict.fromkeys(EVALUATIONS, 0))
        self.evaluated = Remembered()  # of any member
        self.told = "waiting"
        self._plans = Plans(plan, evaluation, opened, drift, clock)
        self._command, self._recorders, self._clock = tuple(command), recorders, clock
        self._limits = replace(limits, seconds=limits.seconds + GATHER_S)
        self._not_before_s = float("-inf")
        self._stop = threading.Event()
        self._result: Mapping[str, Any] = {}

    def run(self, stop: threading.Event) -> None:
        """Look at intervals until `stop`; a process that runs then is ended."""
        self._stop = stop
        while not stop.wait(LOOK_S):
            self.step()

    def step(self) -> None:
        """Look once, and run what is due.

        An error is counted and logged, and the next attempt is delayed.
        """
        if self._clock() < self._not_before_s:
            return
        errand, self._result = None, {}
        try:
            errand = self._due()
            if errand is not None:
                self._carry_out(errand)
        except (StreamerError, OSError) as exc:
            self._count(errand or self._training("", ""), FAILED, str(exc))
            self._not_before_s = self._clock() + REST_S

    def _due(self) -> Errand | None:
        """Return what is due, a retrain job before an evaluation.

        What the job publishes may be the next to be evaluated.
        """
        asked = self._plans.ask()
        self.evaluated, self.told = asked.evaluated, asked.training.why
        if asked.training.cause is not None:
            return self._training(asked.training.cause, asked.training.why)
        if asked.evaluation is None or asked.evaluation.cause is None:
            return None
        return self._evaluating(asked.evaluation.cause, asked.evaluation.why)

    def _training(self, cause: str, why: str) -> Errand:
        return Errand(
            "retrain", f"training: {why}", ("--cause", cause, "--why", why), self.outcomes
        )

    def _evaluating(self, cause: str, why: str) -> Errand:
        return Errand(
            "evaluation", f"evaluating: {why}", ("--evaluate", "--cause", cause), self.evaluations
        )

    def _carry_out(self, errand: Errand) -> None:
        self.told = errand.why
        with tempfile.TemporaryDirectory(prefix="streamer-retrain-") as room:
            words = [*self._command, *errand.words, *self._recorded(Path(room))]
            ended = subprocess_runner.run(
                words,
                self._limits,
                stop=self._stop.is_set,
                hear=self._hear,
                farewell_s=FAREWELL_S,
                env={"TMPDIR": room},
            )
        self._ended(errand, ended)

    def _recorded(self, room: Path) -> list[str]:
        if not self._recorders:
            return []
        path = room / "recorded.npz"
        row_recorder.write(path, {stream: one.series() for stream, one in self._recorders.items()})
        return ["--recorded", str(path)]

    def _hear(self, event: Mapping[str, Any]) -> None:
        if event.get("event") in {"retrain_ended", "evaluation_ended"}:
            self._result = event
        elif event.get("event") == "retrain_progress":
            self.told = f"training: {event.get('step')}"
        if (
            event.get("event") in {"retrain_started", "retrain_progress"}
            or event.get("level") == "warning"
        ):
            fields = {
                name: value
                for name, value in event.items()
                if name not in {"event", "level", "time"}
            }
            log.info(str(event["event"]), **fields)

    def _ended(self, errand: Errand, ended: Ended) -> None:
        outcome, words = self._result.get("outcome"), self._result.get("words")
        if ended.by_us == "stop":
            outcome = STOPPED
        elif ended.by_us is not None or outcome is None:
            outcome = CODES.get(ended.code, FAILED)
        self._count(errand, str(outcome), str(words or ended.problem))
        if outcome in {FAILED, BUSY, NOT_DUE}:
            self._not_before_s = self._clock() + REST_S

    def _count(self, errand: Errand, outcome: str, words: str) -> None:
        errand.outcomes[outcome] += 1
        self.told = f"last: {outcome}: {words}"
        say = log.error if outcome == FAILED else log.warning if outcome == REFUSED else log.info
        report = {"report": self._result["report"]} if self._result.get("report") else {}
        say(f"{errand.name}_done", outcome=outcome, words=words, **report)


def opened_by(registry: Callable[[], Registry | None], turns: Callable[[], TrainingLock]) -> Opened:
    """Return openers for a configuration; ConfigError at use if it has no registry."""

    def there() -> Registry:
        found = registry()
        if found is None:
            raise ConfigError("model.registry", "is needed for retrain")
        return found

    return Opened(there, turns)
