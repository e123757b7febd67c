"""A KafkaSource on a real broker, driven by hand: what its tests share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from confluent_kafka import Producer

from streamer import config
from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.decoder import Decoder
from streamer.connect.formats.json import JsonDecoder
from streamer.connect.kafka.consumer.factory import open_topics
from streamer.connect.kafka.consumer.source import KafkaSource
from streamer.event import Assigned, Expired, Lease, Poll, Position, Rejected
from streamer.protocols import FoundPosition, Restore, Restorer

POLL_S = 0.1


def from_position(found: FoundPosition) -> Restore:
    """No memory, and nothing read again."""
    return Restore(found.position)


def json_decoder(lease: Lease) -> Decoder:
    return JsonDecoder(RecordFields(("x",), (), "ts"), stream="s")


def cluster(bootstrap: str, **settings: Any) -> config.Kafka:
    return config.Kafka.model_validate({"bootstrap_servers": bootstrap, **settings})


def section(**settings: Any) -> config.KafkaSource:
    return config.KafkaSource.model_validate({"kind": "kafka", "commit_every": "100ms", **settings})


def open_source(
    bootstrap: str,
    *,
    restore: Restorer = from_position,
    decoder: Callable[[Lease], Decoder] = json_decoder,
    joins: bool = True,
    **settings: Any,
) -> KafkaSource:
    return open_topics(cluster(bootstrap), section(**settings), decoder, restore, joins=joins)


def produce(bootstrap: str, topic: str, count: int, *, partition: int = 0, first: int = 0) -> None:
    """Records x = first, first + 1, ..."""
    send(
        bootstrap,
        topic,
        *(b'{"ts": %d, "x": %d}' % (1_700_000_000 + i, i) for i in range(first, first + count)),
        partition=partition,
    )


def send(
    bootstrap: str, topic: str, *values: bytes | None, partition: int = 0, **more: Any
) -> None:
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 5, "queue.buffering.max.messages": 1_000_000}
    )
    for value in values:
        producer.produce(topic, value, partition=partition, **more)
    assert producer.flush(30.0) == 0


@dataclass
class Seen:
    """All that a source brought, in order."""

    polls: list[Poll] = field(default_factory=list)
    longest_s: float = 0.0  # poll

    @property
    def assigned(self) -> list[Assigned]:
        return [each for poll in self.polls for each in poll.assigned]

    @property
    def revoked(self) -> list[Lease]:
        return [each for poll in self.polls for each in poll.revoked]

    @property
    def expired(self) -> list[Expired]:
        return [each for poll in self.polls for each in poll.expired]

    @property
    def rejected(self) -> list[Rejected]:
        return [each for poll in self.polls for each in poll.rejected]

    @property
    def leases(self) -> list[Lease]:
        return [each.lease for each in self.assigned]

    def offsets(self, partition: int = 0) -> list[int]:
        rows = [
            batch.offset
            for poll in self.polls
            for batch in poll.batches
            if batch.partition == partition
        ]
        return [int(offset) for offset in np.concatenate(rows)] if rows else []

    @property
    def records(self) -> int:
        return sum(len(batch) for poll in self.polls for batch in poll.batches)


class Driver:
    """Polls a source until something is so; remembers what came."""

    def __init__(self, source: KafkaSource, *, commits: bool = False) -> None:
        """`commits`: all that comes is committed."""
        self.source, self.seen = source, Seen()
        self._commits = commits

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()

    def once(self, timeout_s: float = POLL_S) -> Poll:
        began = time.monotonic()
        poll = self.source.poll(timeout_s)
        self.seen.longest_s = max(self.seen.longest_s, time.monotonic() - began)
        assert poll is not None
        if not poll.empty or poll.expired:
            self.seen.polls.append(poll)
        if self._commits:
            self.source.commit(
                {batch.lease: Position(int(batch.offset[-1]) + 1) for batch in poll.batches}
            )
        return poll

    def until(self, so: Callable[[], bool], timeout_s: float = 20.0) -> float:
        """How long it took."""
        began = time.monotonic()
        while not so():
            assert time.monotonic() - began < timeout_s, (
                f"in vain; problem: {self.source.problem}, seen {self.seen}"
            )
            self.once()
        return time.monotonic() - began

    def records(self, count: int, timeout_s: float = 20.0) -> None:
        self.until(lambda: self.seen.records >= count, timeout_s)

    def rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.once()


class Beside:
    """Drives another member on a thread of its own."""

    def __init__(self, source: KafkaSource, *, commits: bool = False) -> None:
        self.driver = Driver(source, commits=commits)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.driver.once()

    @property
    def seen(self) -> Seen:
        return self.driver.seen

    def close(self) -> None:
        self._stop.set()
        self._thread.join(20.0)
        self.driver.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
