"""`run --dry-run` beside a live member of the same group, on a real broker: it reads all, takes and
moves nothing.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from streamer.event import Position
from tests.integration.sources import Beside, Driver, open_source
from tests.integration.test_commands import FIELDS, configured, produce, started
from tests.servers.admin import Kafka

pytestmark = [pytest.mark.integration, pytest.mark.needs_kafka]
RECORDS, COMMITTED = 20, 12
LOG = {"format": "json"}


def filled(kafka: Kafka, topic: str, partitions: int = 1) -> None:
    kafka.create_topic(topic, partitions)
    produce(
        kafka,
        topic,
        [b'{"ts": %d, "device": "p", "rms": 1}' % (1_700_000_000 + i) for i in range(RECORDS)],
    )


def dry(folder: Path, kafka: Kafka, topic: str, **source: object) -> Path:
    own = {"kind": "kafka", "topic": topic, "group": topic, **source}
    return configured(
        folder, kafka, topic, streams=[{"name": "plant", "source": own, "fields": FIELDS}], log=LOG
    )


def watched(
    process: subprocess.Popen[str], kafka: Kafka, group: str
) -> Iterator[tuple[set[str], dict[int, int]]]:
    """The members of the group and its positions, again and again until the process has ended, and
    once more.
    """
    while process.poll() is None:
        yield kafka.member_ids(group), kafka.committed(group, group)
        time.sleep(0.1)
    yield kafka.member_ids(group), kafka.committed(group, group)


def books(log: str) -> dict[str, int]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    account: dict[str, int] = next(
        one["conservation"]["plant"] for one in lines if one["event"] == "service_stopped"
    )
    return account


@pytest.mark.parametrize("start", ["earliest", "latest", "2023-11-14T22:13:20Z"])
def test_beside_a_live_member_it_reads_from_the_groups_positions_and_changes_nothing(
    kafka: Kafka, topic: str, tmp_path: Path, start: str
) -> None:
    filled(kafka, topic)
    with Beside(open_source(kafka.bootstrap, topic=topic, group=topic)) as live:
        settle(live, kafka, topic)
        process = started(
            "run",
            "-c",
            str(dry(tmp_path, kafka, topic, start=start)),
            "--dry-run",
            "--until-idle",
            "1s",
        )
        seen = list(watched(process, kafka, topic))
        log = process.communicate(timeout=30)[1]
        assert process.returncode == 0, log
        account = books(log)
        assert (account["in"], account["replayed"]) == (RECORDS, COMMITTED)
        assert len(seen) > 5 and len(seen[0][0]) == 1 and all(look == seen[0] for look in seen)
        assert live.seen.revoked == [] and live.driver.source.problem is None
        produce(kafka, topic, [b'{"ts": 1700001000, "x": 1}'])
        wait_records(live, RECORDS + 1)


def settle(live: Beside, kafka: Kafka, group: str) -> None:
    """All is read, and a part of it committed."""
    wait_records(live, RECORDS)
    live.driver.source.commit({live.seen.leases[0]: Position(COMMITTED)})
    deadline = time.monotonic() + 10.0
    while kafka.committed(group, group) != {0: COMMITTED}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_records(live: Beside, count: int) -> None:
    deadline = time.monotonic() + 20.0
    while sum(poll.records for poll in live.seen.polls) < count:
        assert time.monotonic() < deadline, live.seen
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("start", "read"), [("earliest", RECORDS), ("latest", 0), ("2023-11-14T22:13:20Z", RECORDS)]
)
def test_of_a_group_that_never_was_it_leaves_no_position(
    kafka: Kafka, topic: str, tmp_path: Path, start: str, read: int
) -> None:
    filled(kafka, topic, 2)
    process = started(
        "run",
        "-c",
        str(dry(tmp_path, kafka, topic, start=start)),
        "--dry-run",
        "--until-idle",
        "1s",
    )
    log = process.communicate(timeout=60)[1]
    account = books(log)
    assert process.returncode == 0 and account["in"] - account["replayed"] == read
    assert kafka.committed(topic, topic) == {} and kafka.members(topic) == 0


def test_a_log_that_ends_before_the_groups_position_is_read_anew_and_the_position_stays(
    kafka: Kafka, topic: str
) -> None:
    filled(kafka, topic)
    beyond = ConsumerGroupTopicPartitions(topic, [TopicPartition(topic, 0, 100)])
    kafka.admin.alter_consumer_group_offsets([beyond])[topic].result(10.0)
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic, joins=False)) as onlooker:
        onlooker.until(lambda: sum(poll.records for poll in onlooker.seen.polls) == RECORDS)
        onlooker.source.commit({onlooker.seen.leases[-1]: Position(7)})
        onlooker.rest(0.5)
    assert kafka.committed(topic, topic) == {0: 100}
