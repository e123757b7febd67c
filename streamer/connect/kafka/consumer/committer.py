"""Sends commits without blocking the poll, and waits for the last one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from streamer.connect.kafka.consumer.assignment import Commits, offsets_of
from streamer.connect.kafka.diagnosis.background import SourceProblem, worded
from streamer.event import Lease, Position
from streamer.failpoints import failpoint
from streamer.protocols import Clock

FAILING_S = 2.0  # a rebalance fails commits briefly; longer is reported as a problem
LAST_TRY_S = 1.0


class Committer:
    """Sends due commits. Used by the reader's thread only."""

    def __init__(
        self, consumer: Any, commits: Commits, timeout_s: float, clock: Clock = time.monotonic
    ) -> None:
        self._consumer, self._commits, self._timeout_s, self._clock = (
            consumer,
            commits,
            timeout_s,
            clock,
        )
        self._sent: dict[Lease, Position] = {}
        self._sent_s = 0.0
        self._failing_since_s: float | None = None
        self._problem = ""
        self._cause: BaseException | None = None

    def send(self) -> None:
        """Send what is due; never waits."""
        from kafka.errors import KafkaError

        if self._sent and self._clock() - self._sent_s > 2 * self._timeout_s:
            self._failed("no answer to a commit")
        due = self._commits.due(self._clock())
        if not due:
            return
        failpoint("before_commit")
        self._sent, self._sent_s = due, self._clock()
        try:
            self._consumer.commit_async(
                offsets_of(due), callback=lambda _, answer: self._answered(due, answer)
            )
        except KafkaError as exc:
            self._failed(worded(exc), exc)

    @property
    def problem(self) -> SourceProblem | None:
        since_s = self._failing_since_s
        if since_s is None or self._clock() - since_s < FAILING_S:
            return None
        what = f"positions cannot be committed for {self._clock() - since_s:.0f} s"
        return SourceProblem(what, self._problem, self._cause)

    def last(self, turn: Callable[[], None]) -> str | None:
        """Commit everything owed and wait; return the problem, or None.

        `turn` lets a rebalance proceed between the attempts.
        """
        from kafka.errors import KafkaError

        end_s = self._clock() + self._timeout_s
        while owed := self._commits.owed():
            left_s = end_s - self._clock()
            if left_s <= 0:
                return self._problem or "no time left"
            failpoint("before_commit")
            try:
                self._consumer.commit(
                    offsets_of(owed), timeout_ms=round(1000 * min(left_s, LAST_TRY_S))
                )
            except KafkaError as exc:
                self._failed(worded(exc), exc)
                turn()
            else:
                self._answered(owed, None)
        return None

    def _answered(self, sent: Mapping[Lease, Position], answer: object) -> None:
        """Handle the answer; called inside the reader's next poll, or inside a revocation."""
        if isinstance(answer, Exception):
            self._failed(worded(answer), answer)
            return
        self._sent, self._failing_since_s = {}, None
        self._commits.confirm(sent)
        failpoint("after_commit")

    def _failed(self, problem: str, cause: BaseException | None = None) -> None:
        self._sent, self._problem, self._cause = {}, problem, cause
        if self._failing_since_s is None:
            self._failing_since_s = self._clock()
        self._commits.fail()
