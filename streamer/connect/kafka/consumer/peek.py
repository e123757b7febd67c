"""Reading of topics without a group: nothing is committed, no other reader is affected."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamer.connect.kafka.client.client import connect
from streamer.connect.kafka.client.client_log import tame
from streamer.errors import BrokerError
from streamer.protocols import Clock

if TYPE_CHECKING:
    from streamer.config import Kafka

MOST_LISTED = 8
POLL_S = 0.25
SILENT_S = 15.0  # a new leader is elected by then


@dataclass(frozen=True, slots=True)
class PeekedRecord:
    """One record as stored in its log."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def timestamp(self) -> int:
        """The timestamp under the client's name."""
        return self.timestamp_ms


class Peek:
    """Reader of all partitions of some topics.

    Starts at their ends unless told otherwise. Used by one thread.
    """

    def __init__(
        self, kafka: Kafka, topics: Sequence[str] = (), pattern: str | None = None
    ) -> None:
        """Open topics by name, or all that match the pattern.

        BrokerError if a topic cannot be reached, does not exist or is not allowed.
        """
        from kafka import KafkaConsumer

        self._kafka, self._timeout_ms = kafka, round(kafka.request_timeout * 1000)
        with broker_errors(kafka):
            self._consumer = connect(
                KafkaConsumer,
                kafka,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
            )
        try:
            with broker_errors(kafka):
                self.partitions = self._find(topics, pattern)
                self._consumer.assign(self.partitions)
                self.from_end()
        except BaseException:
            self.close()
            raise

    def from_start(self) -> None:
        """Go to the oldest record of every partition."""
        self._seek(self._bounds()[0])

    def from_end(self, back: int = 0) -> None:
        """Go to the end of every partition, or `back` records before it."""
        starts, ends = self._bounds()
        self._seek({each: max(starts[each], end - back) for each, end in ends.items()})

    def from_offsets(self, offsets: Mapping[int, int]) -> None:
        """Go to these offsets, by partition of the only topic.

        Offsets before the start of the log are raised to it.
        """
        starts, _ = self._bounds()
        each = {at.partition: at for at in self.partitions}
        self._seek({each[n]: max(offset, starts[each[n]]) for n, offset in offsets.items()})

    def from_time(self, time_s: float) -> None:
        """Go to the first record at or after a time, by the records' own timestamps."""
        with broker_errors(self._kafka):
            asked = dict.fromkeys(self.partitions, round(time_s * 1000))
            found = self._consumer.offsets_for_times(asked, timeout_ms=self._timeout_ms)
        _, ends = self._bounds()
        self._seek(
            {each: at.offset if (at := found.get(each)) else end for each, end in ends.items()}
        )

    def poll(self, timeout_s: float, most: int = 500) -> list[PeekedRecord]:
        """Return new records, oldest first by timestamp; [] if there are none."""
        with broker_errors(self._kafka):
            polled: Mapping[Any, Sequence[Any]] = self._consumer.poll(
                round(timeout_s * 1000), max_records=most
            )
        return sorted(
            map(_record, (r for records in polled.values() for r in records)), key=_in_time
        )

    def latest(
        self, count: int, within_s: float, clock: Clock = time.monotonic
    ) -> list[PeekedRecord]:
        """Return about the `count` newest records, oldest first.

        If there are none, wait for some, at most `within_s`.
        """
        self.from_end(back=-(-count // len(self.partitions)))
        end, found = clock() + within_s, list[PeekedRecord]()
        while len(found) < count and (left := end - clock()) > 0:
            came = self.poll(min(left, POLL_S), most=count)
            found += came
            if found and not came:
                break
        return sorted(found, key=_in_time)[-count:]

    def whole(self) -> Iterator[PeekedRecord]:
        """Yield every record present now.

        BrokerError if records stop coming before the end.
        """
        ends, silent_s = self._bounds()[1], 0.0
        self.from_start()
        while self._behind(ends):
            came = self.poll(POLL_S)
            yield from came
            silent_s = 0.0 if came else silent_s + POLL_S
            if silent_s > SILENT_S:
                raise BrokerError(
                    f"{self._kafka.bootstrap_servers[0]}: stopped answering before the end of the "
                    f"topic"
                )

    def _behind(self, ends: Mapping[Any, int]) -> bool:
        with broker_errors(self._kafka):
            return any(
                self._consumer.position(each, timeout_ms=self._timeout_ms) < end
                for each, end in ends.items()
            )

    def problem(self, within_s: float) -> str | None:
        """The client's latest warning, if recent; None otherwise.

        Polls of an unreachable broker only stay empty.
        """
        return next(iter(tame().causes(within_s)), None)

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._consumer.close(autocommit=False, timeout_ms=1000)

    def _find(self, topics: Sequence[str], pattern: str | None) -> list[Any]:
        from kafka import TopicPartition
        from kafka.errors import UnknownTopicOrPartitionError

        from streamer.connect.kafka.diagnosis.explain import explain

        there = self._consumer.topics()
        wanted = (
            [name for name in sorted(there) if re.match(pattern, name)]
            if pattern is not None
            else list(topics)
        )
        if pattern is not None and not wanted:
            raise BrokerError(f"no topic matches {pattern}; {_listed(there)}")
        missing = [name for name in wanted if name not in there]
        if missing:
            cause = explain(self._kafka, UnknownTopicOrPartitionError(missing[0]))
            raise BrokerError(f"{cause}. At {self._kafka.bootstrap_servers[0]}, {_listed(there)}")
        return [
            TopicPartition(t, p)
            for t in wanted
            for p in sorted(self._consumer.partitions_for_topic(t) or ())
        ]

    def _bounds(self) -> tuple[dict[Any, int], dict[Any, int]]:
        with broker_errors(self._kafka):
            starts = self._consumer.beginning_offsets(self.partitions, timeout_ms=self._timeout_ms)
            return starts, self._consumer.end_offsets(self.partitions, timeout_ms=self._timeout_ms)

    def _seek(self, offsets: Mapping[Any, int]) -> None:
        for partition, offset in offsets.items():
            self._consumer.seek(partition, offset)


def require_topic(kafka: Kafka, topic: str) -> None:
    """BrokerError if the topic does not exist.

    A producer would wait for it, or create it.
    """
    Peek(kafka, [topic]).close()


@contextmanager
def broker_errors(kafka: Kafka) -> Iterator[None]:
    """Translate errors of the client to BrokerError, with cause and fix."""
    from kafka.errors import KafkaError

    from streamer.connect.kafka.diagnosis.explain import explain

    try:
        yield
    except KafkaError as exc:
        raise BrokerError(explain(kafka, exc)) from exc


def _listed(topics: Collection[str]) -> str:
    own = sorted(topic for topic in topics if not topic.startswith("__"))
    more = f" and {len(own) - MOST_LISTED} more" if len(own) > MOST_LISTED else ""
    return (
        f"there are: {', '.join(own[:MOST_LISTED])}{more}"
        if own
        else "there are no topics that we may see"
    )


def _record(record: Any) -> PeekedRecord:
    headers = tuple((str(name), bytes(value or b"")) for name, value in record.headers)
    return PeekedRecord(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        headers,
    )


def _in_time(record: PeekedRecord) -> tuple[int, int, int]:
    return record.timestamp_ms, record.partition, record.offset
