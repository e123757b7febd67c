"""A thread that asks the brokers for end offsets twice a second.

It detects silent brokers and the end of the topics. The client does not report a broker that is
away, and asking in the reader would block it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streamer.connect.kafka.diagnosis.background import SourceProblem, worded
from streamer.protocols import Clock

EVERY_S = 0.5
ASK_S = 1.0  # a later answer counts as none
SILENT_S = 1.5  # silence after which an outage is reported, so within 3 s
# While records come, a late answer usually means a busy machine; but another broker may be down.
SILENT_WHILE_READING_S = 5.0

Ends = Mapping[Any, int]  # by the client's partition


@dataclass(frozen=True, slots=True)
class Answer:
    """End offsets of the logs, and the time of the request."""

    asked_s: float
    ends: Ends


class EndOffsetPoller:
    """Polls end offsets; `ask(timeout_s)` returns them for all assigned partitions.

    `ask` may raise one of `errors`.
    """

    def __init__(
        self,
        ask: Callable[[float], Ends],
        errors: tuple[type[Exception], ...],
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._ask, self._errors, self._clock = ask, errors, clock
        self._stop = threading.Event()
        self._heard_s = clock()
        self._read_s = float("-inf")
        self._problem = "no answer yet"
        self._cause: BaseException | None = None
        self.answer: Answer | None = None
        self._thread = threading.Thread(target=self._run, name="kafka-pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop asking; does not wait for a request in flight."""
        self._stop.set()

    def records_came(self) -> None:
        """Record that a broker answered a fetch."""
        self._read_s = self._clock()

    def beat(self) -> None:
        """Ask once."""
        asked_s = self._clock()
        try:
            self.answer = Answer(asked_s, self._ask(ASK_S))
        except self._errors as exc:
            self._problem, self._cause = worded(exc), exc
        else:
            self._heard_s = self._clock()

    @property
    def problem(self) -> SourceProblem | None:
        """The problem, once the brokers have been silent too long; else None."""
        now_s = self._clock()
        silent_s = now_s - self._heard_s
        limit_s = SILENT_WHILE_READING_S if now_s - self._read_s < SILENT_S else SILENT_S
        if silent_s <= limit_s:
            return None
        return SourceProblem(f"no answer for {silent_s:.0f} s", self._problem, self._cause)

    def fresh(self, within_s: float) -> Answer | None:
        """Return the last answer, unless it is older than `within_s`."""
        answer = self.answer
        return answer if answer is not None and self._clock() - answer.asked_s <= within_s else None

    def _run(self) -> None:
        while not self._stop.is_set():
            self.beat()
            self._stop.wait(EVERY_S)


def ends_of(consumer: Any) -> Callable[[float], Ends]:
    """Return a function that asks for end offsets of the assignment.

    A member without partitions asks its coordinator instead, as a check that it answers.
    """
    from kafka.structs import TopicPartition

    def ask(timeout_s: float) -> Ends:
        timeout_ms = round(timeout_s * 1000)
        assigned = list(consumer.assignment())
        if assigned:
            ends: Ends = consumer.end_offsets(assigned, timeout_ms=timeout_ms)
            return ends
        for topic in sorted(consumer.subscription() or ())[:1]:
            consumer.committed(TopicPartition(topic, 0), timeout_ms=timeout_ms)
        return {}

    return ask


def client_errors() -> tuple[type[Exception], ...]:
    """Exceptions of a request to the cluster; KeyError means a partition without a leader."""
    from kafka.errors import KafkaError

    return KafkaError, KeyError, RuntimeError
