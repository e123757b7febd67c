"""Labels of a topic, late and twice, on a real broker: each is heard once, and what is none is
passed over.
"""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Producer

from streamer.config import Kafka as Section
from streamer.config import LabelTopic as Chosen
from streamer.connect.label_sources import open_labels
from streamer.connect.storage.sqlite_journal import SqliteJournal
from streamer.feedback.label_consumer import LabelConsumer
from streamer.feedback.label_feed import LabelFeed
from streamer.journal import Incident
from tests.servers.admin import Kafka
from tests.servers.child import wait_until

pytestmark = pytest.mark.integration
PUMP = Incident("ab12" * 8, "plant", "pump", 1e9, None, "warning", 1.5, "pump is hot", "t", 0, 5, 9)
BY_ID, BY_RECORD = (
    {"alert_id": "ab12", "label": "confirmed"},
    {"record": {"topic": "t", "partition": 0, "offset": 7}, "label": "false_alarm"},
)


def test_labels_of_a_topic_are_heard_once_across_restarts(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic, partitions=2)
    journal = SqliteJournal(None)
    journal.record([PUMP])
    _say(kafka, topic, json.dumps(BY_ID).encode(), b"nonsense", json.dumps(BY_RECORD).encode())
    first = _listener(kafka, topic, journal)
    wait_until(lambda: _labels_heard(first) == 2, timeout_s=20.0, what="two labels")
    first._shut()
    _say(kafka, topic, json.dumps(BY_ID | {"note": "again"}).encode())
    second = _listener(kafka, topic, journal)
    wait_until(lambda: _labels_heard(second) == 3, timeout_s=20.0, what="the third label")
    second._shut()
    assert (first.refused, second.refused) == (1, 0)
    assert sorted(label.kind for label in journal.labels()) == [
        "confirmed",
        "confirmed",
        "false_alarm",
    ]


def _listener(kafka: Kafka, topic: str, journal: SqliteJournal) -> LabelConsumer:
    section = Section.model_validate({"bootstrap_servers": kafka.bootstrap})
    chosen = Chosen(kind="kafka", topic=topic)
    return LabelConsumer(journal, LabelFeed(), lambda: open_labels(chosen, section, journal.place))


def _labels_heard(listener: LabelConsumer) -> int:
    listener.step()
    return len(listener.label_feed.of("plant"))


def _say(kafka: Kafka, topic: str, *records: bytes) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for number, record in enumerate(records):
        producer.produce(topic, record, partition=number % 2)
    assert producer.flush(20.0) == 0
