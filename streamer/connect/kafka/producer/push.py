"""A plain producer for bounded work: every record's fate is looked at, and only so many are on
their way at once.
"""

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
    """Sends to one topic. Always sent = acked + failed + pending; used by one thread."""

    def __init__(
        self, kafka: Kafka, topic: str, *, most: int = ON_THEIR_WAY, clock: Clock = time.monotonic
    ) -> None:
        """BrokerError if the broker cannot be reached or has no such topic."""
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
        """Hand one record over; False, and nothing done, where too many are on their way: look
        again a little later.
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
        """Count what is decided, in order."""
        while self._pending and self._pending[0].is_done:
            future = self._pending.popleft()
            if future.exception is None:
                self.acked += 1
            else:
                self._fail(future.exception)

    def flush(self, timeout_s: float) -> int:
        """Wait for what is on its way; how many records are still undecided."""
        end = self._clock() + timeout_s
        self.settle()
        while self._pending and self._clock() < end:
            time.sleep(LOOK_S)
            self.settle()
        return self.pending

    def close(self) -> None:
        """Leave; what is still undecided is given up. Idempotent."""
        self._producer.close(timeout=0 if self._pending else 1)

    def _fail(self, exc: Exception) -> None:
        self.failed += 1
        self.problem = self.problem or f"{type(exc).__name__}: {exc}"
