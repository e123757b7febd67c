"""What tests ask of any Kafka, ours or a running one: topics, leaders, offsets. By another client
than the daemon's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not re-export
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
)

ASK_S = 10.0
PATIENCE_S = 30.0  # a broker that died leads for nine seconds more, then somebody is elected
T = TypeVar("T")


def patiently(ask: Callable[[], T]) -> T:
    """Ask again while brokers start, elect and move: what they say then passes. KafkaException
    after PATIENCE_S.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except KafkaException:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


class Kafka:
    """A Kafka at an address: creates topics and looks into them."""

    def __init__(self, bootstrap: str, replicas: int = 1) -> None:
        self.bootstrap = bootstrap
        self._replicas = replicas
        self._client: AdminClient | None = None
        self._members: dict[str, Consumer] = {}
        self._asking = threading.Lock()

    @property
    def admin(self) -> AdminClient:
        if self._client is None:
            quiet = {"log_level": 0, "reconnect.backoff.max.ms": 500}
            self._client = AdminClient({"bootstrap.servers": self.bootstrap, **quiet})
        return self._client

    def create_topic(
        self, name: str, partitions: int = 1, *, replicas: int | None = None, **config: object
    ) -> str:
        """A new topic, ready to use; `retention_ms=1000` is its retention.ms. Returns its name."""
        told = {key.replace("_", "."): str(value) for key, value in config.items()}
        new = NewTopic(name, partitions, replicas or self._replicas, config=told)
        self.admin.create_topics([new], operation_timeout=ASK_S)[name].result(2 * ASK_S)
        return name

    def configure_topic(self, name: str, **config: object) -> None:
        """Change settings of a topic while it lives."""
        entries = [
            ConfigEntry(
                key.replace("_", "."), str(value), incremental_operation=AlterConfigOpType.SET
            )
            for key, value in config.items()
        ]
        resource = ConfigResource("topic", name, incremental_configs=entries)
        self.admin.incremental_alter_configs([resource])[resource].result(ASK_S)

    def delete_topic(self, name: str) -> None:
        self.admin.delete_topics([name], operation_timeout=ASK_S)[name].result(2 * ASK_S)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Everything below offset `before` is gone at once, as by retention."""
        place = TopicPartition(topic, partition, before)
        for done in self.admin.delete_records([place], operation_timeout=ASK_S).values():
            done.result(2 * ASK_S)

    def partitions(self, topic: str) -> list[int]:
        return sorted(
            patiently(lambda: self.admin.list_topics(topic, timeout=ASK_S)).topics[topic].partitions
        )

    def leader(self, topic: str, partition: int = 0) -> int:
        """The node that leads a partition; -1 while there is none."""
        return (
            self.admin.list_topics(topic, timeout=ASK_S).topics[topic].partitions[partition].leader
        )

    def coordinator(self, group: str) -> int:
        """The node that coordinates a group."""
        told = self.admin.describe_consumer_groups([group], request_timeout=ASK_S)[group].result(
            2 * ASK_S
        )
        return int(told.coordinator.id)

    def members(self, group: str) -> int:
        """How many members a group has now."""
        return len(self.member_ids(group))

    def member_ids(self, group: str) -> set[str]:
        """Who is in a group now: a member that was evicted comes back under another id."""
        told = self.admin.describe_consumer_groups([group], request_timeout=ASK_S)[group].result(
            2 * ASK_S
        )
        return {member.member_id for member in told.members}

    def start_offsets(self, topic: str) -> dict[int, int]:
        return self._offsets(topic, OffsetSpec.earliest())

    def end_offsets(self, topic: str) -> dict[int, int]:
        return self._offsets(topic, OffsetSpec.latest())

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Committed offsets by partition; partitions without one are left out. Any
        thread may ask.
        """
        wanted = [TopicPartition(topic, partition) for partition in self.partitions(topic)]
        with self._asking:
            member = self._member(group)
            found = patiently(lambda: member.committed(wanted, timeout=ASK_S))
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def _member(self, group: str) -> Consumer:
        """Of the group in name only: it never joins. (Asked by an admin client, librdkafka 2.16
        crashes on a retry.)
        """
        if group not in self._members:
            options = {"bootstrap.servers": self.bootstrap, "group.id": group, "log_level": 0}
            self._members[group] = Consumer(options | {"reconnect.backoff.max.ms": 500})
        return self._members[group]

    def in_sync(self) -> bool:
        """Whether every partition has a leader and all its replicas keep up."""
        topics = self.admin.list_topics(timeout=ASK_S).topics.values()
        every = [partition for topic in topics for partition in topic.partitions.values()]
        return all(one.leader >= 0 and len(one.isrs) == len(one.replicas) for one in every)

    def answers(self, nodes: int = 1) -> bool:
        """Whether at least so many brokers are up and the group coordinator's world is
        reachable.
        """
        return len(self.brokers()) >= nodes

    def brokers(self) -> Collection[int]:
        """The numbers of those that are up; none where nobody answers."""
        try:
            return set(self.admin.list_topics(timeout=1.0).brokers)
        except KafkaException:
            return ()

    def _offsets(self, topic: str, which: OffsetSpec) -> dict[int, int]:
        asked: dict[TopicPartition, Any] = {
            TopicPartition(topic, p): which for p in self.partitions(topic)
        }

        def ask() -> dict[int, int]:
            told = self.admin.list_offsets(asked, request_timeout=ASK_S)
            found = {
                place.partition: int(done.result(2 * ASK_S).offset) for place, done in told.items()
            }
            if (
                min(found.values(), default=0) < 0
            ):  # -1001, and no error: whoever led the partition has just died
                raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
            return found

        return patiently(ask)
