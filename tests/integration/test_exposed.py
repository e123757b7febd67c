"""Brokers that are bootstrapped on this machine and advertise another host: what goes to them is
exposed.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from streamer.app.assembly import told_exposure
from streamer.config import Config, config_from
from streamer.connect import exposure
from tests.servers.cluster import KafkaCluster

pytestmark = pytest.mark.needs_kafka


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    broker = KafkaCluster(
        tmp_path_factory.mktemp("kafka-advertised"), advertised="kafka.example.com"
    )
    try:
        yield broker.start()
    finally:
        broker.close()


def reading(server: str) -> Config:
    source = {"kind": "kafka", "topic": "t"}
    stream = {"name": "s", "source": source, "fields": {"time": "ts", "channels": ["x"]}}
    return config_from({"version": 1, "kafka": {"bootstrap_servers": server}, "streams": [stream]})


def test_a_broker_that_sends_us_beyond_this_machine_is_exposed(kafka: KafkaCluster) -> None:
    config = reading(kafka.bootstrap)
    assert exposure(config) is None
    with capture_logs() as lines:
        told = told_exposure(config, asks=True)
    port = kafka.bootstrap.partition(":")[2]
    assert told is not None and f"records travel in the clear to kafka.example.com:{port}" in told
    assert [line["event"] for line in lines] == ["broker_exposed"]
