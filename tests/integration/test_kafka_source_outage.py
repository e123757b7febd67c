"""A KafkaSource whose broker is stopped, killed, stalled: it says so soon, waits, and goes on."""

from __future__ import annotations

import time

import pytest

from streamer.errors import InputError
from streamer.event import Position
from tests.integration.sources import Driver, open_source, produce
from tests.servers.cluster import KafkaCluster

pytestmark = pytest.mark.needs_kafka

KNOWN_S = 4.0  # 3 s, and what a shared machine adds
CLEAR_S = 4.0


def _problem(driver: Driver) -> float:
    return driver.until(lambda: driver.source.problem is not None)


def _clear(driver: Driver) -> float:
    return driver.until(lambda: driver.source.problem is None)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_broker_that_went_is_trouble_until_it_is_back(
    kafka_alone: KafkaCluster, topic: str, how: str
) -> None:
    kafka_alone.create_topic(topic)
    produce(kafka_alone.bootstrap, topic, 10)
    with Driver(open_source(kafka_alone.bootstrap, topic=topic, group=topic)) as driver:
        driver.records(10)
        driver.rest(2.0)
        assert driver.source.problem is None
        getattr(kafka_alone, how)()
        assert _problem(driver) < KNOWN_S
        assert kafka_alone.bootstrap in str(driver.source.problem)
        driver.source.commit({driver.seen.leases[0]: Position(8)})
        driver.rest(3.0)
        assert not driver.source.at_end
        kafka_alone.start()
        produce(kafka_alone.bootstrap, topic, 10, first=10)
        assert _clear(driver) < CLEAR_S
        driver.until(
            lambda: driver.source.committed(driver.source._parts.held.leases.held()[0]) == 8
        )
        driver.until(lambda: driver.seen.offsets()[-1] == 19)
        assert driver.seen.longest_s < 5.0
    assert kafka_alone.committed(topic, topic) == {0: 8}


def test_a_stalled_broker_is_trouble_until_it_goes_on(
    kafka_alone: KafkaCluster, topic: str
) -> None:
    kafka_alone.create_topic(topic)
    produce(kafka_alone.bootstrap, topic, 10)
    with Driver(open_source(kafka_alone.bootstrap, topic=topic, group=topic)) as driver:
        driver.records(10)
        driver.rest(2.0)
        kafka_alone.pause()
        try:
            assert _problem(driver) < KNOWN_S
            driver.rest(10.0)
            assert driver.source.problem is not None
        finally:
            kafka_alone.resume()
        assert _clear(driver) < CLEAR_S
        produce(kafka_alone.bootstrap, topic, 10, first=10)
        driver.until(lambda: set(driver.seen.offsets()) == set(range(20)))
        assert driver.seen.longest_s < 5.0


def test_a_last_commit_that_fails_is_told_in_time(kafka_alone: KafkaCluster, topic: str) -> None:
    kafka_alone.create_topic(topic)
    produce(kafka_alone.bootstrap, topic, 10)
    driver = Driver(open_source(kafka_alone.bootstrap, topic=topic, group=topic, commit_every="5m"))
    driver.records(10)
    driver.source.commit({driver.seen.leases[0]: Position(3)})
    driver.until(lambda: driver.source.committed(driver.seen.leases[0]) == 3)
    driver.source.commit({driver.seen.leases[0]: Position(9)})
    kafka_alone.kill()
    try:
        began = time.monotonic()
        with pytest.raises(InputError, match="could not be committed"):
            driver.source.close()
        assert time.monotonic() - began < 9.0
        driver.source.close()
    finally:
        kafka_alone.start()
    assert kafka_alone.committed(topic, topic) == {0: 3}
