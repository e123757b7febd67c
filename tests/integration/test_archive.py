"""The past of a topic on a real broker: bounded, by time, and nobody else's reading changes."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest

from streamer import config
from streamer.connect import open_history
from streamer.connect.kafka.consumer.archive import Archive
from streamer.errors import BrokerError
from streamer.offline.series import read_batches, series_of
from tests.integration.sources import (
    Driver,
    cluster,
    from_position,
    json_decoder,
    open_source,
    section,
    send,
)
from tests.servers.admin import Kafka

pytestmark = pytest.mark.needs_kafka
FIRST_S = 1_700_000_000


def fill(kafka: Kafka, topic: str, count: int, partition: int) -> None:
    """Records a second apart, stamped with their own times."""
    for i in range(count):
        value = b'{"ts": %d, "x": %d}' % (FIRST_S + i, i)
        send_at(kafka, topic, value, partition, FIRST_S + i)


def send_at(kafka: Kafka, topic: str, value: bytes, partition: int, at_s: int) -> None:
    send(kafka.bootstrap, topic, value, partition=partition, timestamp=1000 * at_s)


def archive(kafka: Kafka, topic: str, *, since_s: float = 0.0, most: int = 10_000) -> Archive:
    return Archive(
        cluster(kafka.bootstrap), section(topic=topic), json_decoder, since_s=since_s, most=most
    )


def times(source: Archive) -> list[int]:
    with closing(source):
        series = series_of(read_batches(source))
    return sorted(int(at - FIRST_S) for one in series for at in one.time_s)


@pytest.fixture
def filled(kafka: Kafka, topic: str) -> str:
    forever: dict[str, Any] = {"retention.ms": "-1"}
    kafka.create_topic(topic, 2, **forever)
    fill(kafka, topic, 60, 0)
    fill(kafka, topic, 30, 1)
    return topic


def test_all_partitions_are_read_to_the_end_they_had(kafka: Kafka, filled: str) -> None:
    source = archive(kafka, filled)
    send_at(kafka, filled, b'{"ts": 1700000999, "x": 0}', 0, FIRST_S + 999)
    assert times(source) == sorted([*range(60), *range(30)])


def test_reading_begins_at_the_time_asked_for(kafka: Kafka, filled: str) -> None:
    assert times(archive(kafka, filled, since_s=FIRST_S + 25)) == sorted(
        [*range(25, 60), *range(25, 30)]
    )
    assert times(archive(kafka, filled, since_s=FIRST_S + 10_000)) == []


def test_of_too_many_records_each_partition_gives_its_newest_share(
    kafka: Kafka, filled: str
) -> None:
    assert times(archive(kafka, filled, most=9)) == sorted([*range(54, 60), *range(27, 30)])


def test_bad_records_are_passed_over_and_counted(kafka: Kafka, filled: str) -> None:
    send_at(kafka, filled, b"no json", 0, FIRST_S + 100)
    source = archive(kafka, filled)
    assert len(times(source)) == 90
    assert source.rejected == 1


def test_a_group_that_reads_the_topic_notices_nothing(kafka: Kafka, filled: str) -> None:
    with Driver(
        open_source(kafka.bootstrap, restore=from_position, topic=filled, group=f"{filled}-g"),
        commits=True,
    ) as d:
        d.records(90)
        moved = len(d.seen.revoked)
        assert len(times(archive(kafka, filled))) == 90
        d.rest(0.5)
        assert len(d.seen.revoked) == moved


def test_a_topic_that_is_not_there_is_an_error(kafka: Kafka, topic: str) -> None:
    with pytest.raises(BrokerError, match="topic"):
        archive(kafka, topic)


def test_a_stream_of_the_configuration_opens_its_own_past(kafka: Kafka, filled: str) -> None:
    stream = {
        "name": "s",
        "source": {"kind": "kafka", "topic": filled, "group": "g"},
        "fields": {"time": "ts", "channels": ["x"]},
    }
    loaded = config.config_from(
        {"version": 1, "streams": [stream], "kafka": {"bootstrap_servers": kafka.bootstrap}}
    )
    with closing(open_history(loaded.streams[0], loaded, since_s=0.0, most=1000)) as source:
        batches = read_batches(source)
    assert np.concatenate([batch.values for batch in batches]).sum() == sum(range(60)) + sum(
        range(30)
    )
