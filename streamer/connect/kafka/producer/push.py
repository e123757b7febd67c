"""A simple producer for bounded work, with a limit of records in flight."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from streamer.connect.kafka.client.client import connect
from streamer.connect.kafka.consumer.peek import broker_errors, require_topic
from streamer.protocols import Clock

if TYPE_CHECKING:
    from streamer.config import Kafka

ON_THEIR_WAY = 10_000
LINGER_MS, BATCH_BYTES = 20, 1 << 16
DELIVERY_MS = 60_000
LOOK_S = 0.02


class Push:
    """Sends records to one topic; sent = acked + failed + pending always. Used by one thread."""

    def __init__(
        self, kafka: Kafka, topic: str, *, most: int = ON_THEIR_WAY, clock: Clock = time.monotonic
    ) -> None:
        """Open it; BrokerError if the broker cannot be reached or the topic does not exist."""
        from kafka import KafkaProducer

        self.topic, self.sent, self.acked, self.failed = topic, 0, 0, 0
        self.problem: str | None = None  # of the first record that failed
        self._most, self._clock = most, clock
        self._pending: deque[Any] = deque()
        with broker_errors(kafka):
            require_topic(kafka, topic)
            self._producer = connect(
                KafkaProducer,
                kafka,
                linger_ms=LINGER_MS,
                batch_size=BATCH_BYTES,
                delivery_timeout_ms=DELIVERY_MS,
                max_block_ms=round(kafka.request_timeout * 1000),
                allow_auto_create_topics=False,
            )

    @property
    def pending(self) -> int:
        return len(self._pending)

    def send(self, value: bytes, key: bytes | None = None, timestamp_ms: int | None = None) -> bool:
        """Send one record; False, with nothing sent, if too many are in flight.

        The caller tries again later.
        """
        from kafka.errors import KafkaError

        self.settle()
        if len(self._pending) >= self._most:
            time.sleep(LOOK_S)
            return False
        self.sent += 1
        try:
            self._pending.append(
                self._producer.send(self.topic, value, key, timestamp_ms=timestamp_ms)
            )
        except KafkaError as exc:  # too large, or no metadata in time
            self._fail(exc)
        return True

    def settle(self) -> None:
        """Count decided records, in order."""
        while self._pending and self._pending[0].is_done:
            future = self._pending.popleft()
            if future.exception is None:
                self.acked += 1
            else:
                self._fail(future.exception)

    def flush(self, timeout_s: float) -> int:
        """Wait for records in flight; return how many are undecided."""
        end = self._clock() + timeout_s
        self.settle()
        while self._pending and self._clock() < end:
            time.sleep(LOOK_S)
            self.settle()
        return self.pending

    def close(self) -> None:
        """Close; undecided records are given up. Idempotent."""
        self._producer.close(timeout=0 if self._pending else 1)

    def _fail(self, exc: Exception) -> None:
        self.failed += 1
        self.problem = self.problem or f"{type(exc).__name__}: {exc}"
