"""Records that are gone and logs that begin anew, on a real broker: what is missing is told."""

from __future__ import annotations

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from streamer.event import Expired, Position
from streamer.protocols import Restore
from tests.integration.sources import Driver, open_source, produce
from tests.servers.admin import Kafka

pytestmark = pytest.mark.needs_kafka


def test_a_hole_made_while_we_were_away_is_told(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    produce(kafka.bootstrap, topic, 20)
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic)) as driver:
        driver.records(20)
        driver.source.commit({driver.seen.leases[0]: Position(5)})
    kafka.delete_records(topic, 0, before=12)
    back = lambda found: Restore(found.position - 100)  # noqa: E731
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic, restore=back)) as driver:
        driver.records(8)
        lease = driver.seen.leases[0]
        assert driver.seen.expired == [Expired(lease, 5, 12)] and driver.seen.offsets() == list(
            range(12, 20)
        )
        assert driver.seen.assigned[0].position == driver.seen.assigned[0].start == 12


def test_a_hole_made_while_we_read_is_told(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    produce(kafka.bootstrap, topic, 100)
    source = open_source(kafka.bootstrap, topic=topic, group=topic, poll_rows=10)
    with Driver(source) as driver:
        source.pause()
        driver.until(lambda: bool(driver.seen.assigned))
        kafka.delete_records(topic, 0, before=50)
        source.resume()
        driver.records(50)
        assert driver.seen.expired == [Expired(driver.seen.leases[0], 0, 50)]
        assert driver.seen.offsets() == list(range(50, 100)) and driver.seen.revoked == []


def test_a_hole_in_what_was_judged_before_is_no_loss(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    produce(kafka.bootstrap, topic, 100)
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic)) as driver:
        driver.records(100)
        driver.source.commit({driver.seen.leases[0]: Position(60)})
    source = open_source(
        kafka.bootstrap, topic=topic, group=topic, restore=lambda at: Restore(at.position - 50)
    )
    with Driver(source) as driver:
        source.pause()
        driver.until(lambda: bool(driver.seen.assigned))
        assert driver.seen.assigned[0].start == 10
        kafka.delete_records(topic, 0, before=70)
        source.resume()
        driver.records(30)
        assert driver.seen.expired == [Expired(driver.seen.leases[0], 60, 70)]


def _commit_outside(kafka: Kafka, topic: str, offset: int) -> None:
    """As if the log had been longer."""
    wanted = ConsumerGroupTopicPartitions(topic, [TopicPartition(topic, 0, offset)])
    kafka.admin.alter_consumer_group_offsets([wanted])[topic].result(10.0)


def test_a_log_that_ends_before_our_position_is_read_from_its_beginning(
    kafka: Kafka, topic: str
) -> None:
    kafka.create_topic(topic)
    produce(kafka.bootstrap, topic, 10)
    _commit_outside(kafka, topic, 100)
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic)) as driver:
        driver.records(10)
        old, new = driver.seen.leases
        assert (
            driver.seen.revoked == [old]
            and driver.source.holds(new)
            and not driver.source.holds(old)
        )
        assert driver.seen.offsets() == list(range(10)) and driver.source.truncations == 1
        assert kafka.committed(topic, topic) == {0: 0}
        driver.source.commit({new: Position(10), old: Position(50)})
    assert kafka.committed(topic, topic) == {0: 10}


def test_a_topic_made_anew_while_we_read_is_read_from_its_beginning(
    kafka: Kafka, topic: str
) -> None:
    kafka.create_topic(topic)
    produce(kafka.bootstrap, topic, 100)
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic), commits=True) as driver:
        driver.records(100)
        kafka.delete_topic(topic)
        driver.rest(1.0)
        kafka.create_topic(topic)
        produce(kafka.bootstrap, topic, 10)
        driver.records(110, timeout_s=60.0)
        assert driver.seen.offsets() == [*range(100), *range(10)]
