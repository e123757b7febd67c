"""A thread that asks the brokers, twice a second, where the logs end: a proof of life, and of
having read everything.

The client says nothing about a broker that is away, and waiting for it would hold up the reader.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streamer.connect.kafka.diagnosis.background import Ailment, worded
from streamer.protocols import Clock

EVERY_S = 0.5
ASK_S = 1.0  # an answer later than that is none
SILENT_S = 1.5  # without an answer: an outage is known within 3 s
# While records come, a late answer means a busy machine; but another broker may be away behind
# them.
SILENT_WHILE_READING_S = 5.0

Ends = Mapping[Any, int]  # by partition of the client


@dataclass(frozen=True, slots=True)
class Answer:
    """Where the logs ended, and when we asked."""

    asked_s: float
    ends: Ends


class Pulse:
    """`ask(timeout_s)` returns the ends of all assigned partitions, or raises one of `errors`."""

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
        """Ask no more; does not wait for a question on its way."""
        self._stop.set()

    def records_came(self) -> None:
        """Some broker lives."""
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
    def problem(self) -> Ailment | None:
        """What the brokers do not answer, once they have been silent too long."""
        now_s = self._clock()
        silent_s = now_s - self._heard_s
        limit_s = SILENT_WHILE_READING_S if now_s - self._read_s < SILENT_S else SILENT_S
        if silent_s <= limit_s:
            return None
        return Ailment(f"no answer for {silent_s:.0f} s", self._problem, self._cause)

    def fresh(self, within_s: float) -> Answer | None:
        """The last answer, unless it is older than that."""
        answer = self.answer
        return answer if answer is not None and self._clock() - answer.asked_s <= within_s else None

    def _run(self) -> None:
        while not self._stop.is_set():
            self.beat()
            self._stop.wait(EVERY_S)


def ends_of(consumer: Any) -> Callable[[float], Ends]:
    """Where all that is assigned ends; a member without partitions asks its coordinator for a sign
    of life.
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
    """What a question to the cluster may raise: its KeyError is a partition without a leader."""
    from kafka.errors import KafkaError

    return KafkaError, KeyError, RuntimeError
