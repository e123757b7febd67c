"""Dead letters to a Kafka topic: original bytes, key and headers, plus headers `x-dlq-*`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from streamer.connect.dead_letters.letter import CUT_HEADER, PREFIX, letter_headers
from streamer.connect.kafka.producer.producer import DeliveringProducer, OutgoingRecord
from streamer.protocols import Clock, Letter

if TYPE_CHECKING:
    from streamer import config

_SMALLER = 4  # each refusal keeps a quarter: a megabyte fits into a topic of 64 KiB after two


class LetterTopic:
    """Dead letters to a topic, acknowledged by all in-sync replicas.

    `flush` counts those that are not. `send` never waits. A letter too large for the topic is cut,
    with a header that says so. SinkError at the start if the topic does not exist or no broker
    answers.
    """

    def __init__(
        self, kafka: config.Kafka, section: config.DeadLetterTopic, *, clock: Clock = time.monotonic
    ) -> None:
        self._producer = DeliveringProducer(kafka, section.topic, shrink=cut, clock=clock)

    def send(self, letter: Letter) -> None:
        self._producer.send(letter_record(letter))

    def flush(self, timeout_s: float) -> int:
        return self._producer.flush(timeout_s)

    def close(self) -> None:
        self._producer.close()


def letter_record(letter: Letter) -> OutgoingRecord:
    return OutgoingRecord(letter.record.key, letter.record.raw, letter_headers(letter))


def cut(record: OutgoingRecord) -> OutgoingRecord | None:
    """Keep the first quarter of the value, with its original length in a header.

    An empty value loses its foreign headers next; None if nothing is left to cut.
    """
    if record.value:
        whole = dict(record.headers).get(CUT_HEADER, str(len(record.value)).encode())
        others = tuple(header for header in record.headers if header[0] != CUT_HEADER)
        return record._replace(
            value=record.value[: len(record.value) // _SMALLER],
            headers=(*others, (CUT_HEADER, whole)),
        )
    ours = tuple(header for header in record.headers if header[0].startswith(PREFIX))
    return record._replace(headers=ours) if ours != record.headers else None


def open_letters(section: config.DeadLetterTopic, whole: config.Config) -> LetterTopic:
    """The dead letters of a section. SinkError if its topic cannot be written."""
    return LetterTopic(whole.kafka, section)
