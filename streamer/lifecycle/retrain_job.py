"""One retrain job, or one evaluation: lock, history, child process, registry.

It holds the training lock while it works. Publishing checks the lock's fence right before. So a
process that lost the lock, however late it continues, changes nothing.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from streamer import artifact, signing
from streamer.artifact import Bundle
from streamer.config import Config, Retrain
from streamer.connect.storage.training_lock import LockHold, TrainingLock
from streamer.errors import BackendError, GateRefused, StoreError, StreamerError
from streamer.lifecycle import evaluation, promotion, subprocess_runner, training_data
from streamer.lifecycle.evaluation import (
    EVALUATED,
    Evaluation,
    keep_refusal,
    last_attempt,
    last_evaluation,
    note,
    shelf,
)
from streamer.lifecycle.schedule import (
    SCHEDULE,
    Known,
    RetrainDecision,
    evaluation_of,
    judge,
    plan_of,
    too_few,
)
from streamer.lifecycle.subprocess_runner import Ended, Limits
from streamer.lifecycle.training_data import Past, Recorded
from streamer.lifecycle.training_request import RequestWriter
from streamer.protocols import Clock, Registry
from streamer.runtime.model import trust_for, trusted
from streamer.timefmt import compact

if TYPE_CHECKING:
    from streamer.journal import Journal
    from streamer.offline.series import Series

log = structlog.get_logger()

PUBLISHED, REFUSED, NOT_DUE, BUSY, FAILED, STOPPED = (
    "published",
    "refused",
    "not_due",
    "busy",
    "failed",
    "stopped",
)
REQUEST = "request"  # a request of an operator, which needs no other reason
OUTCOMES = (PUBLISHED, REFUSED, NOT_DUE, BUSY, FAILED, STOPPED)
EVALUATIONS = (EVALUATED, NOT_DUE, BUSY, FAILED, STOPPED)
COMMAND = (sys.executable, "-P", "-m", "models.retrain")
REVIEW = (sys.executable, "-P", "-m", "models.review")
KEEP_S = 10.0  # seconds between renewals of the lock
MOVES = 5  # attempts to move an alias that others move too


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome in one word and in a sentence."""

    outcome: str
    words: str
    version: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a retrain job needs. `stop` ends it early, `hear` receives its progress."""

    config: Config
    retrain: Retrain
    registry: Registry
    turns: TrainingLock
    journal: Journal | None = None
    recorded: Recorded = field(default_factory=dict)
    stop: Callable[[], bool] = lambda: False
    hear: subprocess_runner.Hear = lambda event: None
    clock: Clock = time.time
    command: tuple[str, ...] = COMMAND
    reviewer: tuple[str, ...] = REVIEW

    def look(self, *, drift: str | None = None) -> RetrainDecision:
        """Return whether a retrain job is due, with its rows counted; nothing is changed."""
        return self._judged(self._past(), drift)

    def run(self, *, cause: str | None = None, why: str = "") -> Result:
        """Train if it is due, or for a given `cause`.

        Only the cause REQUEST trains with too few rows. A StreamerError says why it cannot train.
        """
        turn = self.turns.take()
        if turn is None:
            return Result(BUSY, "another process is training; nothing was done")
        try:
            past = self._past()
            verdict = self._judged(past, None)
            if cause is None and verdict.cause is None:
                return Result(NOT_DUE, verdict.why)
            if cause != REQUEST and (count := training_data.counted(past)) < self.retrain.min_rows:
                return Result(NOT_DUE, too_few(why or f"{cause}", count, self.retrain.min_rows))
            return self._attempt(turn, past, cause or verdict.cause or "", why or verdict.why)
        finally:
            turn.end()

    def evaluate(self, *, cause: str | None = None) -> Evaluation:
        """Evaluate the champion on recent rows and store the report.

        The report is compared with the evaluation before; no model changes. With the cause SCHEDULE
        it runs only if it is due, because another member may have evaluated since.
        """
        turn = self.turns.take()
        if turn is None:
            return Evaluation(BUSY, "another process trains or evaluates; nothing was done")
        try:
            past = self._past()
            verdict = self._evaluation_judged(past) if cause == SCHEDULE else None
            if verdict is not None and not verdict.due:
                return Evaluation(NOT_DUE, verdict.why)
            return self._evaluation(turn, past)
        finally:
            turn.end()

    def _evaluation_judged(self, past: Mapping[str, list[Series]]) -> RetrainDecision | None:
        plan = evaluation_of(self.retrain, deployment(self.config))
        known = Known(
            self.clock(), last_evaluation(self.turns).at_s, rows=training_data.counted(past)
        )
        return None if plan is None else judge(plan, known)

    def _evaluation(self, turn: LockHold, past: Mapping[str, list[Series]]) -> Evaluation:
        began_s, before = self.clock(), last_evaluation(self.turns).figures
        told = {"at": began_s, "state": "running", "figures": dict(before)}
        note(self.turns, turn, evaluation=told)
        try:
            report = self._reviewed(turn, past, before)
            told |= {"state": EVALUATED, "figures": evaluation.figures_of(report, began_s)}
        finally:
            if told["state"] != EVALUATED:
                told["state"] = FAILED
            note(self.turns, turn, evaluation=told)
        return Evaluation(EVALUATED, evaluation.words(report), report)

    def _reviewed(
        self, turn: LockHold, series: Mapping[str, list[Series]], before: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the report of models.review with its changes, stored in the folder of reports."""
        with tempfile.TemporaryDirectory(prefix="streamer-review-") as folder:
            room, champion = Path(folder), self._champion()
            past = training_data.gathered(self.config, series, champion.spec, self.journal)
            ended = self._run(
                turn, self._request(room, champion, past, "review", {}), self.reviewer
            )
            if ended.code != 0 or ended.by_us is not None:
                raise failure(ended, "evaluation")
            report = evaluation.compared(json.loads((room / "bundle").read_text()), before)
        at = compact(self.clock())
        kept = shelf(Path(self.retrain.reports)) / f"{at}-review.json"
        kept.write_text(json.dumps(report, indent=1) + "\n")
        return {**report, "report": str(kept)}

    def _past(self) -> dict[str, list[Series]]:
        return training_data.past_of(
            self.config,
            self.retrain,
            now_s=self.clock(),
            journal=self.journal,
            recorded=self.recorded,
            stop=self.stop,
        )

    def _judged(self, past: Mapping[str, list[Series]], drift: str | None) -> RetrainDecision:
        known = Known(
            self.clock(),
            last_attempt(self.turns),
            champion_trained(self.registry),
            rows=training_data.counted(past),
            drift=drift,
        )
        return judge(plan_of(self.retrain, deployment(self.config)), known)

    def _attempt(
        self, turn: LockHold, series: Mapping[str, list[Series]], cause: str, why: str
    ) -> Result:
        began_s = self.clock()
        note(self.turns, turn, at=began_s, state="running", cause=cause, version=None)
        result = Result(FAILED, "it ended by an error", cause=cause)
        try:
            with tempfile.TemporaryDirectory(prefix="streamer-retrain-") as room:
                result = self._trained(turn, Path(room), series, cause, why)
        finally:
            note(
                self.turns,
                turn,
                at=began_s,
                state=result.outcome,
                cause=cause,
                version=result.version,
            )
        return result

    def _trained(
        self, turn: LockHold, room: Path, series: Mapping[str, list[Series]], cause: str, why: str
    ) -> Result:
        champion = self._champion()
        past = training_data.gathered(self.config, series, champion.spec, self.journal)
        version = self._version(turn)
        request = self._request(
            room, champion, past, version, {"cause": cause, "why": why, "parent": champion.version}
        )
        log.info(
            "retrain_started",
            version=version,
            cause=cause,
            rows=past.count,
            champion=champion.version,
        )
        ended = self._run(turn, request, self.command)
        if ended.code == GateRefused.exit_code and ended.by_us is None:
            return Result(REFUSED, self._refusal(room, version), version, cause)
        if ended.by_us == "stop":
            return Result(STOPPED, ended.problem, version, cause)
        if ended.code != 0 or ended.by_us is not None:
            raise failure(ended)
        self._publish(turn, room, version, why)
        return Result(
            PUBLISHED,
            f"{version} is published and challenges {champion.version}: {why}",
            version,
            cause,
        )

    def _champion(self) -> Bundle:
        """Load the champion verified, because what is trained from it is signed again."""
        return trusted(promotion.champion(self.registry), trust_for(self.config.model))

    def _version(self, turn: LockHold) -> str:
        """Return a version name ordered by time, unique by the lock's fence."""
        at = compact(self.clock())
        return f"{at}-{turn.fence}"

    def _request(
        self, room: Path, champion: Bundle, past: Past, version: str, training: Mapping[str, Any]
    ) -> Path:
        writer = RequestWriter(self.config, self.retrain, self.registry)
        return writer.write(room, champion, past, version, training, now_s=self.clock())

    def _run(self, turn: LockHold, request: Path, command: tuple[str, ...]) -> Ended:
        limits = self.retrain.limits
        allowed = Limits(
            float(limits.time), int(limits.memory), max(limits.nice - os.nice(0), 0), limits.threads
        )
        held = ProlongedHold(turn, self.stop)
        ended = subprocess_runner.run(
            [*command, "--request", str(request)],
            allowed,
            stop=held.lost_or_stopped,
            hear=self.hear,
        )
        if held.lost:
            raise StoreError(
                "another process took the turn to train while we trained; nothing was published"
            )
        return ended

    def _publish(self, turn: LockHold, room: Path, version: str, why: str) -> None:
        """Publish both bundles, then move the alias; StoreError if the lock was lost."""
        for bundle in (room / "bundle", room / "bundle-edge"):
            if bundle.is_dir():
                self._sign(bundle)
                self.registry.publish(bundle)
        for _ in range(MOVES):
            if not turn.keep():
                raise StoreError(
                    f"another process took the turn; {version} is published but challenges nobody"
                )
            before = self.registry.aliases().get("challenger")
            if self.registry.move(
                {"challenger": version}, expected={"challenger": before}, why=f"retrain: {why}"
            ):
                return
        raise StoreError(
            f"the alias challenger moved {MOVES} times meanwhile; {version} is published but not "
            f"named"
        )

    def _sign(self, bundle: Path) -> None:
        if self.retrain.sign is not None:
            signature = signing.sign(
                (bundle / artifact.MANIFEST).read_bytes(), Path(self.retrain.sign)
            )
            (bundle / artifact.SIGNATURE).write_bytes(signature)

    def _refusal(self, room: Path, version: str) -> str:
        return keep_refusal(room / "bundle-refused", Path(self.retrain.reports), version)


class ProlongedHold:
    """A lock that is renewed during a wait; `lost` once another process has it."""

    def __init__(
        self, turn: LockHold, stop: Callable[[], bool], clock: Clock = time.monotonic
    ) -> None:
        self.lost = False
        self._turn, self._stop, self._clock, self._kept_at = turn, stop, clock, clock()

    def lost_or_stopped(self) -> bool:
        if self._clock() - self._kept_at > KEEP_S:
            self._kept_at = self._clock()
            self.lost = self.lost or not self._keep()
        return self.lost or self._stop()

    def _keep(self) -> bool:
        try:
            return self._turn.keep()
        # the store is away; whether the lock was lost is checked again before publishing
        except StoreError as exc:
            log.warning("retrain_turn_unsure", problem=str(exc))
            return True


def champion_trained(registry: Registry) -> float | None:
    """Return when the champion was trained; None without a champion or a date."""
    if "champion" not in registry.aliases():
        return None
    return promotion.trained_at(manifest_of(registry.path("champion")))


def manifest_of(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / artifact.MANIFEST).read_text())
    return found


def deployment(config: Config) -> str:
    """Return the name that all replicas of a configuration share: their groups or streams."""
    return ",".join(
        getattr(stream.source, "group", stream.name) or stream.name for stream in config.streams
    )


def failure(ended: Ended, what: str = "training") -> StreamerError:
    """Return the error for a child process that failed."""
    kind = BackendError if ended.code == BackendError.exit_code else StreamerError
    return kind(f"the {what} {ended.problem}; the champion stays")
