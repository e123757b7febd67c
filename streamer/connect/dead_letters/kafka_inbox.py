"""Dead letters in a topic, and the sender that returns records to their topic."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from streamer.connect.dead_letters.inbox import Stored, note_of, noted
from streamer.connect.dead_letters.letter import PREFIX, Origin, letter_of
from streamer.connect.dead_letters.replay import Parcel, Sent
from streamer.connect.kafka.consumer.peek import Peek, PeekedRecord
from streamer.connect.kafka.producer.client_factory import discard, explained, open_producer
from streamer.errors import SinkError

if TYPE_CHECKING:
    from streamer import config

# header of a record that holds notes about replayed letters
NOTE = PREFIX + "replayed"
DELIVERY_S = 60.0


class TopicBox:
    """Letters in a topic.

    Replayed letters are recorded in the topic itself, in records that readers do not take for
    letters. BrokerError, with a fix, if the topic does not exist or cannot be read.
    """

    def __init__(self, kafka: config.Kafka, topic: str) -> None:
        self.name, self.damaged = f"topic {topic}", 0
        self._kafka, self._topic = kafka, topic
        self._noted: set[Origin] = set()
        self._peek = Peek(kafka, [topic])

    def letters(self) -> Iterator[Stored]:
        self.damaged = 0
        for record in self._peek.whole():
            yield from self._letter(record)

    def replayed(self) -> set[Origin]:
        return self._noted

    def note(self, origins: Iterable[Origin]) -> None:
        sender = TopicSender(self._kafka)
        try:
            sent = sender.send(self._topic, [Parcel(None, None, note_of(origins), ((NOTE, b"1"),))])
        finally:
            sender.close()
        if sent.problem is not None:
            raise SinkError(sent.problem)

    def close(self) -> None:
        self._peek.close()

    def _letter(self, record: PeekedRecord) -> Iterator[Stored]:
        if any(name == NOTE for name, _ in record.headers):
            self._noted |= set(noted(record.value or b""))
            return
        letter = letter_of(record.value or b"", record.key, record.headers)
        if letter is None:
            self.damaged += 1
        else:
            yield Stored(f"{record.partition}@{record.offset}", letter)


class TopicSender:
    """Sends a few hundred records at a time and waits for each.

    The producer is idempotent, so its retries create no duplicates.
    """

    def __init__(self, kafka: config.Kafka, timeout_s: float = DELIVERY_S) -> None:
        self._kafka, self._timeout_s = kafka, timeout_s
        self._producers: dict[str, Any] = {}

    def send(self, topic: str, parcels: Sequence[Parcel]) -> Sent:
        """Send records and wait for them; SinkError if the topic cannot be reached."""
        if topic not in self._producers:
            self._producers[topic] = open_producer(self._kafka, topic, "none", self._timeout_s)
        producer, end = self._producers[topic], time.monotonic() + self._timeout_s
        there = producer.partitions_for(topic)
        futures = [_handed(producer, topic, each, there) for each in parcels]
        problems = [_problem(future, max(0.0, end - time.monotonic())) for future in futures]
        first = next(filter(None, problems), None)
        if first is not None:
            discard(self._producers.pop(topic))  # most errors are fatal to an idempotent producer
        problem = None if first is None else explained(self._kafka, topic, first)
        return Sent([each is None for each in problems], problem)

    def close(self) -> None:
        """Close the connections. Idempotent."""
        while self._producers:
            discard(self._producers.popitem()[1])


def _handed(producer: Any, topic: str, parcel: Parcel, there: Collection[int]) -> Any:
    """Return the future of a record, or the exception raised by `send`."""
    from kafka.errors import KafkaError

    # a recreated topic may have fewer partitions
    where = parcel.partition if parcel.partition in there else None
    try:
        return producer.send(
            topic,
            parcel.value,
            parcel.key,
            headers=list(parcel.headers),
            partition=where,
            timestamp_ms=parcel.timestamp_ms,
        )
    except (KafkaError, ValueError) as exc:
        return exc


def _problem(future: Any, timeout_s: float) -> Exception | None:
    from kafka.errors import KafkaError

    if isinstance(future, Exception):
        return future
    try:
        future.get(timeout=timeout_s)
    except KafkaError as exc:
        return exc
    return None


def open_inbox(section: config.DeadLetterTopic, whole: config.Config, mark: str) -> TopicBox:
    """The letters of a section's topic."""
    return TopicBox(whole.kafka, section.topic)
