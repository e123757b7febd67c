"""The servers that the other tests stand on: they take and give, die and come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from confluent_kafka import Consumer, Producer

from tests.servers.admin import Kafka
from tests.servers.child import wait_until
from tests.servers.cluster import KafkaCluster
from tests.servers.redis_server import RedisServer, RunningRedis


def _send(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30.0) == 0


def _read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        found = consumer.consume(count, timeout=30.0)
        return [message.value() or b"" for message in found]
    finally:
        consumer.close()


def test_what_goes_in_comes_out(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    _send(kafka.bootstrap, topic, b"one", b"two")
    assert _read(kafka.bootstrap, topic, 2) == [b"one", b"two"]
    assert kafka.end_offsets(topic) == {0: 2}


def test_deleted_records_move_the_start_of_the_log(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    _send(kafka.bootstrap, topic, b"one", b"two", b"three")
    kafka.delete_records(topic, 0, before=2)
    assert kafka.start_offsets(topic) == {0: 2}


def test_retention_deletes_within_seconds(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic, segment_bytes=1 << 20, retention_ms=1000, segment_ms=1000)
    _send(kafka.bootstrap, topic, b"one")
    wait_until(
        lambda: kafka.start_offsets(topic)[0] == 1, timeout_s=30.0, what="the record to expire"
    )


def test_a_broker_comes_back_with_what_it_had(kafka_alone: KafkaCluster, topic: str) -> None:
    kafka_alone.create_topic(topic)
    _send(kafka_alone.bootstrap, topic, b"before")
    kafka_alone.kill()
    assert not kafka_alone.running()
    kafka_alone.start()
    _send(kafka_alone.bootstrap, topic, b"after")
    assert _read(kafka_alone.bootstrap, topic, 2) == [b"before", b"after"]


def test_a_partition_finds_another_leader_when_its_node_dies(
    kafka_cluster: KafkaCluster, topic: str
) -> None:
    kafka_cluster.create_topic(topic)
    _send(kafka_cluster.bootstrap, topic, b"before")
    dead = kafka_cluster.leader(topic)
    kafka_cluster.kill(dead)
    _send(kafka_cluster.bootstrap, topic, b"after")
    assert kafka_cluster.leader(topic) not in {dead, -1}
    kafka_cluster.start(dead)
    assert _read(kafka_cluster.bootstrap, topic, 2) == [b"before", b"after"]


def test_redis_keeps_what_it_is_given(redis_server: RedisServer | RunningRedis) -> None:
    client = redis.Redis.from_url(redis_server.url)
    client.set("streamer:test", b"blob")
    assert client.get("streamer:test") == b"blob"


def test_a_redis_of_ones_own_asks_for_its_password_and_can_be_full(
    redis_strict: RedisServer,
) -> None:
    client = redis.Redis.from_url(redis_strict.url)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        client.set("blob", bytes(16 << 20))
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=redis_strict.port, retry=None).ping()


def test_a_paused_redis_hangs_and_goes_on(redis_alone: RedisServer) -> None:
    client = redis.Redis.from_url(redis_alone.url, socket_timeout=0.2, retry=None)
    redis_alone.pause()
    with pytest.raises(redis.exceptions.TimeoutError):
        client.ping()
    redis_alone.resume()
    assert redis.Redis.from_url(redis_alone.url).ping()


@pytest.fixture
def redis_strict(tmp_path: Path, own_redis: None) -> Iterator[RedisServer]:
    server = RedisServer(
        tmp_path, password="secret", maxmemory="8mb", maxmemory_policy="noeviction"
    )
    yield server.start()
    server.close()
