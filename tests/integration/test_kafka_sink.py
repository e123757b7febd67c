"""Alerts and letters to a real Kafka: what is sent arrives, whatever the broker does meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from streamer import config
from streamer.connect.dead_letters.kafka_sink import LetterTopic
from streamer.connect.kafka.producer.alert_sink import KafkaSink
from streamer.connect.kafka.producer.producer import DeliveringProducer, OutgoingRecord
from streamer.errors import SinkError
from streamer.event import Lease, Rejected
from streamer.protocols import Letter
from tests.contracts import examples
from tests.servers.admin import Kafka
from tests.servers.cluster import KafkaCluster

pytestmark = pytest.mark.needs_kafka
LONG_S = 60.0


def section(kafka: Kafka, **more: Any) -> config.Kafka:
    return config.Kafka(bootstrap_servers=(kafka.bootstrap,), **more)


def read(kafka: Kafka, topic: str) -> list[Message]:
    """Everything the topic holds, in the order of each partition."""
    ends = kafka.end_offsets(topic)
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "reader", "log_level": 0}
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
    try:
        messages: list[Message] = []
        while len(messages) < sum(ends.values()):
            messages += [each for each in consumer.consume(1000, 1.0) if each.error() is None]
        return messages
    finally:
        consumer.close()


def values(kafka: Kafka, topic: str) -> list[bytes]:
    return [message.value() or b"" for message in read(kafka, topic)]


@contextmanager
def producing(kafka: Kafka, topic: str, **chosen: Any) -> Iterator[DeliveringProducer]:
    with closing(DeliveringProducer(section(kafka), topic, **chosen)) as producer:
        yield producer


def numbered(producer: DeliveringProducer, numbers: range, keys: int = 3) -> None:
    for number in numbers:
        producer.send(OutgoingRecord(b"key-%d" % (number % keys), b"%d" % number))


def seconds_until(done: Callable[[], bool], limit_s: float = LONG_S) -> float:
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < limit_s
        time.sleep(0.02)
    return time.monotonic() - began


def delivered(producer: DeliveringProducer) -> bool:
    """Whether everything is; a producer that says why it cannot is asked again."""
    try:
        return producer.flush(0.1) == 0
    except SinkError:
        return False


def assert_holds(kafka: Kafka, topic: str, count: int, keys: int = 3) -> None:
    """All numbers are there, and the last copies of each key are in order."""
    found = [int(value) for value in values(kafka, topic)]
    assert set(found) == set(range(count))
    last = {number: at for at, number in enumerate(found)}
    for key in range(keys):
        mine = sorted((number for number in last if number % keys == key), key=last.__getitem__)
        assert mine == sorted(mine)


def test_alerts_arrive_once_in_order_under_their_entity(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    alerts = [examples.alert(n, entity=f"pump-{n % 3}") for n in range(500)]
    with closing(KafkaSink(section(kafka), config.KafkaSink(kind="kafka", topic=topic))) as sink:
        for alert in alerts:
            sink.send(alert)
        assert sink.flush(LONG_S) == 0
    messages = read(kafka, topic)
    assert [json.loads(message.value() or b"")["alert_id"] for message in messages] == [
        a.alert_id for a in alerts
    ]
    assert [message.key() for message in messages] == [alert.entity.encode() for alert in alerts]
    assert dict(messages[7].headers() or [])["ce_id"] == b"id-7-opened"


@pytest.mark.parametrize("compression", ["gzip", "lz4", "snappy", "zstd"])
def test_alerts_may_be_compressed(kafka: Kafka, topic: str, compression: Any) -> None:
    kafka.create_topic(topic)
    with producing(kafka, topic, compression=compression) as producer:
        numbered(producer, range(50))
        assert producer.flush(LONG_S) == 0
    assert_holds(kafka, topic, 50)


def test_a_letter_arrives_with_its_bytes_key_and_headers(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    rejected = Rejected(
        41, "bad_json", "byte 1", b"\xff\x00", Lease("raw", 2), b"k", (("own", b"\x01"),), 1234
    )
    with closing(
        LetterTopic(section(kafka), config.DeadLetterTopic(kind="kafka", topic=topic))
    ) as letters:
        letters.send(Letter("plant", rejected, "2026-01-01T00:00:00Z"))
        assert letters.flush(LONG_S) == 0
    (message,) = read(kafka, topic)
    assert (message.value(), message.key()) == (b"\xff\x00", b"k")
    headers = dict(message.headers() or [])
    assert headers["own"] == b"\x01"
    assert (headers["x-dlq-topic"], headers["x-dlq-partition"], headers["x-dlq-offset"]) == (
        b"raw",
        b"2",
        b"41",
    )


def test_a_missing_topic_is_said_at_the_start(kafka: Kafka, topic: str) -> None:
    with pytest.raises(SinkError, match=topic):
        DeliveringProducer(section(kafka, request_timeout=config.Duration(1)), topic)


def test_a_topic_that_goes_away_is_told_and_nothing_is_lost(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    with closing(
        DeliveringProducer(section(kafka, request_timeout=config.Duration(1)), topic)
    ) as producer:
        kafka.delete_topic(topic)
        numbered(producer, range(10))
        with pytest.raises(SinkError, match=f"no topic {topic}"):
            producer.flush(LONG_S)
        assert producer.undelivered == 10
        kafka.create_topic(topic)
        assert seconds_until(lambda: delivered(producer)) < 5.0
    assert_holds(kafka, topic, 10)


def test_an_unreachable_broker_is_said_at_the_start_and_soon() -> None:
    began = time.monotonic()
    with pytest.raises(SinkError, match=r"127\.0\.0\.1:1"):
        DeliveringProducer(
            config.Kafka(bootstrap_servers=("127.0.0.1:1",), request_timeout=config.Duration(1)),
            "alerts",
        )
    assert time.monotonic() - began < 10


def test_a_letter_too_large_for_its_topic_is_cut_and_those_around_it_arrive_whole(
    kafka: Kafka, topic: str
) -> None:
    kafka.create_topic(topic, max_message_bytes=20_000)
    whole = [b"{", b"x" * 1_000_000, b"}"]
    with closing(
        LetterTopic(section(kafka), config.DeadLetterTopic(kind="kafka", topic=topic))
    ) as letters:
        for raw in whole:
            letters.send(Letter("plant", Rejected(0, "bad_json", "", raw), "2026-01-01T00:00:00Z"))
        assert seconds_until(lambda: letters.flush(1.0) == 0) < LONG_S
    found = {message.value(): dict(message.headers() or []) for message in read(kafka, topic)}
    assert set(found) == {b"{", b"x" * 15_625, b"}"}
    assert found[b"x" * 15_625]["x-dlq-cut"] == b"1000000"


def test_what_the_topic_refuses_is_kept_and_told_and_delivered_when_the_topic_allows_it(
    kafka: Kafka, topic: str
) -> None:
    kafka.create_topic(topic, max_message_bytes=2_000)
    with producing(kafka, topic) as producer:
        for value in (b"small", b"x" * 5_000, b"after"):
            producer.send(OutgoingRecord(b"key", value))
        with pytest.raises(SinkError, match=r"max\.message\.bytes"):
            producer.flush(LONG_S)
        assert producer.undelivered == 2
        kafka.configure_topic(topic, max_message_bytes=10_000)
        seconds_until(lambda: delivered(producer))
    last = list(dict.fromkeys(reversed(values(kafka, topic))))
    assert last == [b"after", b"x" * 5_000, b"small"]


@pytest.mark.parametrize("away_s", [6.0, pytest.param(20.0, marks=pytest.mark.long)])
def test_a_broker_that_was_away_loses_nothing_and_alerts_flow_within_5_s_of_its_return(
    kafka_alone: KafkaCluster, topic: str, away_s: float
) -> None:
    kafka_alone.create_topic(topic)
    with producing(kafka_alone, topic) as producer:
        numbered(producer, range(100))
        kafka_alone.stop()
        slowest = slowest_send(producer, range(100, 300), over_s=away_s)
        with pytest.raises(SinkError):
            producer.flush(0.1)
        kafka_alone.start()
        assert seconds_until(lambda: delivered(producer)) < 5.0
        assert slowest < 0.5
    assert_holds(kafka_alone, topic, 300)


@pytest.mark.parametrize("still_s", [5.0, pytest.param(12.0, marks=pytest.mark.long)])
def test_a_broker_that_stood_still_loses_nothing(
    kafka_alone: KafkaCluster, topic: str, still_s: float
) -> None:
    kafka_alone.create_topic(topic)
    with producing(kafka_alone, topic) as producer:
        numbered(producer, range(100))
        kafka_alone.pause()
        slowest = slowest_send(producer, range(100, 300), over_s=still_s)
        kafka_alone.resume()
        assert seconds_until(lambda: delivered(producer)) < 5.0
        assert slowest < 0.5
    assert_holds(kafka_alone, topic, 300)


def slowest_send(producer: DeliveringProducer, numbers: range, over_s: float) -> float:
    """Send at an even pace; the longest time one call took."""
    slowest = 0.0
    for number in numbers:
        time.sleep(over_s / len(numbers))
        began = time.monotonic()
        numbered(producer, range(number, number + 1))
        slowest = max(slowest, time.monotonic() - began)
    return slowest


def test_close_has_an_end_although_the_broker_stands_still(
    kafka_alone: KafkaCluster, topic: str
) -> None:
    kafka_alone.create_topic(topic)
    producer = DeliveringProducer(section(kafka_alone, request_timeout=config.Duration(2)), topic)
    kafka_alone.pause()
    try:
        numbered(producer, range(10))
        began = time.monotonic()
        producer.close()
        assert time.monotonic() - began < 10.0
        assert producer.undelivered == 10
        with pytest.raises(SinkError, match="closed"):
            producer.send(OutgoingRecord(b"key", b"late"))
    finally:
        kafka_alone.resume()


def test_a_producer_that_hangs_is_replaced_and_what_it_held_is_sent_again(
    kafka: Kafka, topic: str
) -> None:
    kafka.create_topic(topic)
    with closing(
        DeliveringProducer(section(kafka, request_timeout=config.Duration(1)), topic, stalled_s=0.0)
    ) as producer:
        producer._slot.client._sender.run_once = lambda: time.sleep(
            0.05
        )  # a sender that sends nothing any more
        numbered(producer, range(100))
        assert 4.0 < seconds_until(lambda: delivered(producer)) < 15.0
    assert_holds(kafka, topic, 100)


def test_a_leader_that_the_metadata_does_not_name_is_looked_for_again(
    kafka: Kafka, topic: str
) -> None:
    kafka.create_topic(topic)
    with producing(kafka, topic) as producer:
        cluster = producer._slot.client._metadata
        cluster._partitions[topic][0].leader_id = 4711
        cluster._broker_partitions[4711] = {
            place for places in cluster._broker_partitions.values() for place in places
        }
        numbered(producer, range(100))
        assert seconds_until(lambda: delivered(producer)) < 5.0
    assert_holds(kafka, topic, 100)


def test_after_a_fatal_error_another_producer_goes_on(kafka: Kafka, topic: str) -> None:
    from kafka.errors import OutOfOrderSequenceNumberError

    kafka.create_topic(topic)
    with producing(kafka, topic) as producer:
        numbered(producer, range(100))
        seconds_until(lambda: delivered(producer))
        first = producer._slot.client
        first._transaction_manager.transition_to_fatal_error(OutOfOrderSequenceNumberError())
        numbered(producer, range(100, 200))
        assert seconds_until(lambda: delivered(producer)) < 5.0
        assert producer._slot.client is not first
        assert not first._sender.is_alive()
    assert_holds(kafka, topic, 200)
