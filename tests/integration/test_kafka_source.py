"""A KafkaSource on a real broker: groups, leases, commits, holes, ends, outages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]  # its stubs do not re-export

from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.json import JsonDecoder
from streamer.connect.formats.record_metadata import RecordMetadata as Envelope
from streamer.connect.kafka.consumer import group_member
from streamer.errors import BrokerError, InputError, RetryLater
from streamer.event import I64, EventBatch, Lease, Position, Rejected
from streamer.protocols import FoundPosition, Restore
from tests.integration.sources import Beside, Driver, open_source, produce, send
from tests.servers.admin import Kafka
from tests.servers.child import wait_until

pytestmark = pytest.mark.needs_kafka


def test_a_group_without_a_position_reads_from_the_beginning(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic, 2)
    produce(kafka.bootstrap, topic, 5)
    produce(kafka.bootstrap, topic, 3, partition=1)
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic)) as driver:
        driver.records(8)
        assert driver.seen.offsets(0) == [0, 1, 2, 3, 4] and driver.seen.offsets(1) == [0, 1, 2]
        assert sorted(driver.seen.leases) == [Lease(topic, 0, 1), Lease(topic, 1, 1)]
        assert driver.source.channels == ("x",) and driver.source.problem is None
    assert driver.source.poll(0.1) is None


def test_committed_positions_and_their_notes_come_back(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    produce(kafka.bootstrap, topic, 10)
    found: list[FoundPosition] = []

    def restore(what: FoundPosition) -> Restore:
        found.append(what)
        return Restore(what.position - 2, (b"memory",)) if what.position else Restore(0)

    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic, restore=restore)) as driver:
        driver.records(10)
        lease = driver.seen.leases[0]
        driver.source.commit({lease: Position(4, "at 4"), Lease(topic, 0, 99): Position(9)})
        driver.until(lambda: driver.source.committed(lease) == 4)
        driver.source.commit({lease: Position(3, "at 3")})
        driver.source.commit({lease: Position(7, "at 7")})
    assert kafka.committed(topic, topic) == {0: 7}
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic, restore=restore)) as driver:
        driver.records(5)
        assert driver.seen.offsets() == [5, 6, 7, 8, 9]
        again = driver.seen.assigned[0]
        assert (again.position, again.start, again.memory) == (7, 5, (b"memory",))
        assert again.lease.epoch == 2 and driver.source.committed(again.lease) == 7
    assert found[1] == FoundPosition(topic, 0, 7, "at 7", 0, 10, 1)


def test_latest_is_committed_at_once_so_that_a_crash_skips_nothing(
    kafka: Kafka, topic: str
) -> None:
    kafka.create_topic(topic)
    produce(kafka.bootstrap, topic, 5)
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic, start="latest")) as driver:
        driver.until(lambda: bool(driver.seen.assigned))
        assert driver.seen.assigned[0].position == 5
        assert kafka.committed(topic, topic) == {0: 5}
        produce(kafka.bootstrap, topic, 2, first=5)
        driver.records(2)
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic, start="latest")) as driver:
        driver.records(2)
        assert driver.seen.offsets() == [5, 6]


def test_a_start_in_time_is_the_first_record_written_then(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic, retention_ms=-1)
    for i, at_s in enumerate((1_700_000_000, 1_700_000_100, 1_700_000_200)):
        send(kafka.bootstrap, topic, b'{"ts": 1, "x": %d}' % i, timestamp=at_s * 1000)
    start = "2023-11-14T22:14:00Z"  # 40 s after the first
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic, start=start)) as driver:
        driver.records(2)
        assert driver.seen.offsets() == [1, 2] and kafka.committed(topic, topic) == {0: 1}


def test_records_that_are_no_events_keep_their_place_key_and_headers(
    kafka: Kafka, topic: str
) -> None:
    kafka.create_topic(topic, retention_ms=-1)
    long = b'{"ts": 2, "x": "%s"}' % (b"a" * 2000)
    values = (b'{"ts": 1, "x": 1}', b"{", None, long, b'{"ts": 3, "x": 3}')
    headers = [("h", b"v"), ("none", None)]
    send(kafka.bootstrap, topic, *values, key=b"k", headers=headers, timestamp=1_700_000_000_000)
    with Driver(
        open_source(kafka.bootstrap, topic=topic, group=topic, max_record="1KiB")
    ) as driver:
        driver.until(lambda: driver.seen.offsets() == [0, 4])
        bad = driver.seen.rejected
        assert [(r.offset, r.reason) for r in bad] == [
            (1, "bad_json"),
            (2, "tombstone"),
            (3, "too_long"),
        ]
        assert {(r.lease, r.key, r.headers, r.timestamp_ms) for r in bad} == {
            (driver.seen.leases[0], b"k", (("h", b"v"), ("none", b"")), 1_700_000_000_000)
        }
        assert [r.raw[:1] for r in bad] == [b"{", b"", b"{"]


def test_another_version_of_the_client_brings_the_same_and_the_source_says_that_it_is_slower(
    kafka: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.create_topic(topic, retention_ms=-1)
    send(kafka.bootstrap, topic, b'{"ts": 1, "x": 1}', b"{", b'{"ts": 3, "x": 3}', key=b"k")
    with Driver(open_source(kafka.bootstrap, topic=topic, group=f"{topic}-columns")) as driver:
        driver.until(lambda: driver.seen.offsets() == [0, 2])
        assert driver.source.degraded is None
        by_columns = [replace(bad, lease=None) for bad in driver.seen.rejected]
    monkeypatch.setattr("kafka.__version__", "3.0.13")
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic)) as driver:
        driver.until(lambda: driver.seen.offsets() == [0, 2])
        assert "3.0.13" in str(driver.source.degraded)
        assert [replace(bad, lease=None) for bad in driver.seen.rejected] == by_columns


def test_a_pattern_reads_what_it_matches(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(f"{topic}.a")
    kafka.create_topic(f"{topic}.b")
    kafka.create_topic(f"other.{topic}.a")
    for name in (f"{topic}.a", f"{topic}.b", f"other.{topic}.a"):
        produce(kafka.bootstrap, name, 1)
    with Driver(open_source(kafka.bootstrap, pattern=rf"{topic}\..*", group=topic)) as driver:
        driver.records(2)
        driver.rest(0.5)
        assert {lease.topic for lease in driver.seen.leases} == {f"{topic}.a", f"{topic}.b"}


def test_a_paused_source_brings_nothing_and_loses_nothing(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic, 2)
    source = open_source(kafka.bootstrap, topic=topic, group=topic, poll_rows=10)
    source.pause()  # before anything is assigned
    with Driver(source) as driver:
        produce(kafka.bootstrap, topic, 100)
        driver.until(lambda: len(driver.seen.assigned) == 2)
        driver.rest(0.5)
        assert driver.seen.records == 0
        source.resume()
        driver.records(30)
        source.pause()
        before = driver.seen.records
        driver.rest(0.5)
        assert driver.seen.records == before < 100
        source.resume()
        driver.records(100)
        assert driver.seen.offsets() == list(range(100))


def test_at_end_is_true_only_when_all_that_there_is_was_read(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic, 2)
    produce(kafka.bootstrap, topic, 50)
    source = open_source(kafka.bootstrap, topic=topic, group=topic, poll_rows=10)
    with Driver(source) as driver:
        assert not source.at_end
        driver.records(10)
        source.pause()
        driver.rest(4.0)
        assert not source.at_end and sum(source.lags.values()) == 50 - driver.seen.records
        source.resume()
        driver.until(lambda: source.at_end)
        assert driver.seen.records == 50
        produce(kafka.bootstrap, topic, 10, partition=1)
        driver.records(60)
        assert not source.at_end
        driver.until(lambda: source.at_end)


def test_a_member_without_partitions_is_at_its_end(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    with (
        Beside(open_source(kafka.bootstrap, topic=topic, group=topic)) as first,
        Driver(open_source(kafka.bootstrap, topic=topic, group=topic)) as second,
    ):
        second.until(lambda: second.source.at_end and first.driver.source.at_end)
        assert (
            len(first.driver.source._parts.held.leases.held())
            + len(second.source._parts.held.leases.held())
            == 1
        )


def test_partitions_are_handed_over_with_what_was_earned(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic, 4)
    for partition in range(4):
        produce(kafka.bootstrap, topic, 10, partition=partition)
    one = open_source(kafka.bootstrap, topic=topic, group=topic, commit_every="5m")
    with Driver(one) as first:
        first.records(40)
        leases = first.seen.leases
        one.commit({lease: Position(5) for lease in leases})
        first.until(lambda: all(one.committed(lease) == 5 for lease in leases))
        one.commit({lease: Position(7, "earned") for lease in leases})  # due in five minutes
        with Beside(open_source(kafka.bootstrap, topic=topic, group=topic)) as second:
            first.until(lambda: len(first.seen.revoked) == 2 and second.seen.records == 6)
            moved = first.seen.revoked
            assert not any(map(one.holds, moved))
            assert sum(map(one.holds, leases)) == 2  # the others were never taken away
            assert [(a.position, a.lease.partition) for a in second.seen.assigned] == [
                (7, lease.partition) for lease in sorted(moved)
            ]
            assert first.seen.longest_s < 5.0
            one.commit({moved[0]: Position(9)})
            assert one.committed(moved[0]) is None
        first.until(lambda: len(first.seen.assigned) == 6)
        back = first.seen.assigned[4:]
        assert {a.position for a in back} == {7} and not any(map(one.holds, moved))
        assert all(a.lease.epoch > max(lease.epoch for lease in moved) for a in back)


@pytest.mark.slow
def test_members_that_come_and_go_lose_nothing(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic, 3)
    seen = []
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic), commits=True) as first:
        for turn in range(3):
            with Beside(
                open_source(kafka.bootstrap, topic=topic, group=topic), commits=True
            ) as second:
                for partition in range(3):
                    produce(kafka.bootstrap, topic, 100, partition=partition, first=100 * turn)
                first.until(lambda: bool(second.seen.assigned))
                first.rest(0.5)
            seen.append(second.seen)
        first.until(lambda: first.source.at_end)
    for partition in range(3):
        read = [offset for each in (first.seen, *seen) for offset in each.offsets(partition)]
        assert set(read) == set(range(300)) and len(read) < 600
    assert kafka.committed(topic, topic) == {0: 300, 1: 300, 2: 300}


def test_a_static_member_finds_its_partitions_again_after_a_kill(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    produce(kafka.bootstrap, topic, 3)
    settings: dict[str, Any] = {
        "topic": topic,
        "group": topic,
        "instance": "here",
        "session_timeout": "30s",
    }
    first = open_source(kafka.bootstrap, **settings)
    killed = Driver(first)
    killed.records(3)
    with Driver(open_source(kafka.bootstrap, **settings)) as second:
        assert second.until(lambda: second.seen.records == 3) < 10.0
        first.close()
        assert kafka.members(topic) == 1


def test_an_instance_name_is_used_once(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    settings: dict[str, Any] = {"topic": topic, "group": topic, "instance": "here"}
    first = Driver(open_source(kafka.bootstrap, **settings))
    first.until(lambda: bool(first.seen.assigned))
    with Driver(open_source(kafka.bootstrap, **settings)) as second:
        second.until(lambda: bool(second.seen.assigned))
        first.source.commit({first.seen.leases[0]: Position(1)})
        with pytest.raises(InputError, match=r"source\.instance"):
            first.rest(5.0)
        with pytest.raises(InputError, match="could not be committed"):
            first.source.close()


def test_what_is_missing_at_the_start_is_said_at_the_start(kafka: Kafka, topic: str) -> None:
    with pytest.raises(BrokerError, match=topic):
        open_source(kafka.bootstrap, topic=topic, group=topic)
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        open_source("127.0.0.1:1", topic=topic, group=topic)


def test_records_that_cannot_be_decoded_yet_are_kept(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    produce(kafka.bootstrap, topic, 10)
    away = [True]

    class Registered(JsonDecoder):
        def decode(
            self, lines: Sequence[bytes], offsets: I64, beside: Envelope | None = None
        ) -> tuple[EventBatch, list[Rejected]]:
            if away[0]:
                raise RetryLater("the registry does not answer")
            return super().decode(lines, offsets, beside)

    def decoder(lease: Lease) -> JsonDecoder:
        return Registered(RecordFields(("x",), (), "ts"), stream="s")

    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic, decoder=decoder)) as driver:
        driver.until(lambda: "registry" in (driver.source.problem or ""))
        produce(kafka.bootstrap, topic, 10, first=10)
        driver.rest(0.5)
        assert driver.seen.records == 0 and not driver.source.at_end
        away[0] = False
        driver.records(20)
        assert driver.seen.offsets() == list(range(20)) and driver.source.problem is None


def test_aborted_records_are_not_read_where_only_committed_ones_count(
    kafka: Kafka, topic: str
) -> None:
    kafka.create_topic(topic)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic})
    producer.init_transactions(30.0)
    commit, abort = producer.commit_transaction, producer.abort_transaction
    for x, finish in enumerate((commit, abort, commit)):
        producer.begin_transaction()
        producer.produce(topic, b'{"ts": 1, "x": %d}' % x)
        assert producer.flush(30.0) == 0
        finish(30.0)
    with Driver(
        open_source(kafka.bootstrap, topic=topic, group=topic, isolation="read_committed")
    ) as driver:
        driver.until(lambda: driver.source.at_end)
        assert driver.seen.offsets() == [0, 4]


@pytest.mark.slow
def test_a_partition_made_later_is_read_from_its_beginning_even_with_latest(
    kafka: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_member, "METADATA_AGE_MS", 3_000)  # thirty seconds in a daemon
    kafka.create_topic(topic)
    source = open_source(kafka.bootstrap, topic=topic, group=topic, start="latest")
    with Driver(source) as driver:
        driver.until(lambda: bool(driver.seen.assigned))
        added = kafka.admin.create_partitions([NewPartitions(topic, 2)])
        added[topic].result(10.0)
        produce(kafka.bootstrap, topic, 5, partition=1)
        driver.until(lambda: driver.seen.offsets(1) == [0, 1, 2, 3, 4], timeout_s=60.0)
        assert [a.partitions for a in driver.seen.assigned] == [1, 2]


def test_a_join_answered_between_two_polls_is_taken_up(kafka: Kafka, topic: str) -> None:
    """The client alone would forget it: new metadata made the leader join, and the join made it
    know that metadata.
    """
    kafka.create_topic(topic)
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic)) as driver:
        driver.until(lambda: bool(driver.seen.assigned))
        consumer = driver.source._consumer
        driver.until(lambda: group_member.is_settled(consumer))
        consumer._coordinator._assignment_snapshot = {}
        consumer.poll(timeout_ms=1)
        wait_until(lambda: consumer._coordinator._join_task.is_done, timeout_s=5.0, what="the join")
        assert not consumer._coordinator.need_rejoin() and not group_member.is_settled(consumer)
        driver.until(lambda: group_member.is_settled(consumer), timeout_s=5.0)
        produce(kafka.bootstrap, topic, 3)
        driver.records(3)
