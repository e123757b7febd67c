"""Dead letters through a real topic: listed, shown, and their records sent back as they
were, once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, Message, Producer, TopicPartition

from streamer import config
from streamer.connect.dead_letters.kafka_sink import LetterTopic
from streamer.event import Lease, Rejected
from streamer.protocols import Letter
from tests.cli.calls import call
from tests.servers.admin import Kafka

pytestmark = [pytest.mark.needs_kafka, pytest.mark.integration]
HEADERS = (("trace", b"\xff\x00"), ("trace", b"2"))


NOW_MS = int(time.time() * 1000)


def letters(raw: str, count: int) -> Iterator[Letter]:
    for n in range(count):
        reason = "bad_json" if n % 2 else "bad_time"
        record = Rejected(
            n,
            reason,
            "d",
            b"\x00v%d" % n,
            Lease(raw, n % 3),
            b"k%d" % n,
            HEADERS,
            NOW_MS - 60_000 + n,
        )
        yield Letter("s", record, "2026-01-01T00:00:00Z")


@pytest.fixture
def world(kafka: Kafka, topic: str, tmp_path: Path) -> tuple[Path, str]:
    """A configuration, and a topic of three partitions of which twenty records were rejected; one
    of them twice.
    """
    raw, dead = kafka.create_topic(f"{topic}-raw", 3), kafka.create_topic(f"{topic}-dead", 2)
    section = config.DeadLetterTopic(kind="kafka", topic=dead)
    with closing(LetterTopic(config.Kafka(bootstrap_servers=(kafka.bootstrap,)), section)) as sink:
        for letter in (*letters(raw, 20), next(letters(raw, 1))):
            sink.send(letter)
        assert sink.flush(30.0) == 0
    stranger = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    stranger.produce(dead, b"no letter")
    stranger.flush(10)
    path = tmp_path / "config.yaml"
    path.write_text(
        json.dumps(
            {
                "version": 1,
                "streams": [
                    {
                        "name": "s",
                        "source": {"kind": "kafka", "topics": [raw], "group": "g"},
                        "fields": {"entity": "@key", "time": "@timestamp", "channels": ["v"]},
                    }
                ],
                "kafka": {"bootstrap_servers": [kafka.bootstrap]},
                "dead_letters": {"kind": "kafka", "topic": dead},
            }
        )
    )
    return path, raw


def read(kafka: Kafka, topic: str) -> list[Message]:
    ends = kafka.end_offsets(topic)
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "reader", "log_level": 0}
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
    messages: list[Message] = []
    while len(messages) < sum(ends.values()):
        messages += [each for each in consumer.consume(1000, 1.0) if each.error() is None]
    consumer.close()
    return messages


def test_letters_of_a_topic_are_counted_and_shown(world: tuple[Path, str]) -> None:
    path, raw = world
    told = json.loads(call("dlq", "list", "--rows", "--format", "json", "-c", path).stdout)
    assert (told["letters"], told["damaged"]) == (20, 1)
    assert {group["reason"]: group["count"] for group in told["groups"]} == {
        "bad_json": 10,
        "bad_time": 10,
    }
    row = told["rows"][0]
    page = call("dlq", "show", row["place"], "-c", path).stdout
    assert f"{raw}/{row['partition']}@{row['offset']}" in page and r"header trace \xff\x00" in page


def test_records_go_back_as_they_were_and_only_once(world: tuple[Path, str], kafka: Kafka) -> None:
    path, raw = world
    assert (
        call("dlq", "replay", "--yes", "--reason", "bad_json", "-c", path).stdout
        == f"sent 10 to {raw}\n"
    )
    assert (
        "passed over 10: was sent back before" in call("dlq", "replay", "--yes", "-c", path).stdout
    )
    found = {message.key(): message for message in read(kafka, raw)}
    assert len(found) == len(read(kafka, raw)) == 20
    for letter in letters(raw, 20):
        message, record = found[letter.record.key], letter.record
        assert (message.value(), message.headers()) == (record.raw, list(HEADERS))
        assert message.timestamp() == (TIMESTAMP_CREATE_TIME, record.timestamp_ms)
        assert record.lease is not None and message.partition() == record.lease.partition
    assert json.loads(call("dlq", "list", "--format", "json", "-c", path).stdout)["replayed"] == 20


def test_a_topic_that_is_not_there_is_said_and_nothing_noted(world: tuple[Path, str]) -> None:
    path, raw = world
    done = call("dlq", "replay", "--yes", "--to", f"{raw}-none", "-c", path)
    assert done.exit_code == 1 and "sent nothing" in done.stdout and f"{raw}-none" in done.stderr
    assert json.loads(call("dlq", "list", "--format", "json", "-c", path).stdout)["replayed"] == 0
