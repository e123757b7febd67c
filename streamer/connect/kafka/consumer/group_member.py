"""A member of a consumer group: client settings, rebalance listener, joining and leaving."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from streamer.connect.base.deadline import within
from streamer.connect.kafka.client import client, columnar_patch, fetch_patch
from streamer.connect.kafka.consumer.assignment import Place
from streamer.connect.kafka.diagnosis import explain
from streamer.errors import BrokerError

if TYPE_CHECKING:
    from streamer.config import Kafka, KafkaSource

log = structlog.get_logger()

# Time that a broker waits for records. Other requests to the same broker wait behind it.
FETCH_WAIT_MS = 250
# The reader keeps polling while the scorer hangs, so only a dead reader loses its partitions by
# this.
MAX_POLL_INTERVAL_MS = 300_000
METADATA_AGE_MS = 30_000  # delay until new partitions, and new topics of a pattern, are seen


class RebalanceCallbacks(Protocol):
    """Callbacks of a rebalance.

    They run on the client's thread, while the reader waits in a poll.
    """

    def came(self, partitions: Collection[Any]) -> None: ...

    async def went(self, partitions: Collection[Any]) -> None:
        """Partitions are revoked; owed positions may still be committed."""

    def lost(self, partitions: Collection[Any]) -> None:
        """Partitions were lost; nothing of them may be committed."""


class Access(Protocol):
    """How a source gets its partitions: as a group member or standalone."""

    consumer: Any  # a KafkaConsumer
    known: frozenset[Place]  # the partitions that existed at the start
    commits: bool  # whether positions may be committed

    @property
    def topics(self) -> Collection[str]:
        """The topics that are read, as far as known; any thread may ask."""

    @property
    def unmatched(self) -> bool:
        """Whether the source's pattern matches no visible topic."""

    @property
    def settled(self) -> bool:
        """Whether no partitions are moving, as far as known."""

    def begin(self) -> None:
        """Begin; call once before the first poll."""

    def turn(self) -> None:
        """Do periodic work; call after every poll."""


class Member:
    """A member of a consumer group: shares partitions with others and commits for the group."""

    commits = True

    def __init__(self, consumer: Any, known: frozenset[Place]) -> None:
        self.consumer, self.known = consumer, known

    @property
    def topics(self) -> Collection[str]:
        return self.consumer.subscription() or ()

    @property
    def unmatched(self) -> bool:
        """Whether the pattern matches no topic; known once the member has joined."""
        return not self.topics and self.settled

    @property
    def settled(self) -> bool:
        return is_settled(self.consumer)

    def begin(self) -> None:
        """Do nothing: partitions come with the polls."""

    def turn(self) -> None:
        keep_joining(self.consumer)


def join(kafka: Kafka, section: KafkaSource, told: RebalanceCallbacks) -> Member:
    """Subscribe a new member; BrokerError with cause and fix if that fails.

    It has not polled yet.
    """
    with connected(kafka, section, **_membership(section)) as (consumer, known):
        consumer.subscribe(
            topics=section.named_topics, pattern=section.pattern, listener=_listener()(told)
        )
        return Member(consumer, known)


@contextmanager
def connected(
    kafka: Kafka, section: KafkaSource, **more: Any
) -> Iterator[tuple[Any, frozenset[Place]]]:
    """Yield a KafkaConsumer and the partitions that exist now.

    If opening or the body fails, the consumer is closed and BrokerError gives cause and fix.
    """
    from kafka import KafkaConsumer
    from kafka.errors import KafkaError

    try:
        consumer = client.connect(KafkaConsumer, kafka, **_settings(section), **more)
    except (KafkaError, OSError) as exc:
        raise BrokerError(explain.explain(kafka, exc)) from exc
    if columnar_patch.install(consumer):
        fetch_patch.install(consumer)
    try:
        yield consumer, within(kafka.request_timeout, lambda: partitions(consumer, section))
    except (KafkaError, OSError) as exc:
        leave(consumer, kafka.request_timeout)
        raise BrokerError(explain.explain(kafka, exc)) from exc


def leave(consumer: Any, timeout_s: float) -> None:
    """Close the client in bounded time.

    Dynamic members leave their group; static members keep their place in it.
    """
    from kafka.errors import KafkaError

    try:
        within(
            timeout_s + 1.0,
            lambda: consumer.close(autocommit=False, timeout_ms=round(timeout_s * 1000)),
        )
    except (KafkaError, RuntimeError, OSError) as exc:
        # the session timeout then tells the other members
        log.warning("consumer_close_failed", problem=str(exc))


def is_settled(consumer: Any) -> bool:
    """Whether the member has joined and no partitions are moving, as far as known."""
    from kafka.structs import MemberState

    stable = consumer.group_metadata().state == MemberState.STABLE
    return bool(stable and not consumer._coordinator.need_rejoin())


def keep_joining(consumer: Any) -> None:
    """Request the join again if needed; call after every poll.

    The client misses a join that is answered between two polls. If the leader joined because of new
    metadata, the client then forgets that it must join. It would stay without heartbeats and
    partitions forever.
    """
    from kafka.structs import MemberState

    if consumer.group_metadata().state == MemberState.REBALANCING:
        consumer._coordinator.request_rejoin()


def partitions(consumer: Any, section: KafkaSource) -> frozenset[Place]:
    """Every existing partition of the topics to read.

    UnknownTopicOrPartitionError for a topic that does not exist.
    """
    from kafka.errors import UnknownTopicOrPartitionError

    there = consumer.topics()
    missing = [topic for topic in section.named_topics if topic not in there]
    if missing:
        raise UnknownTopicOrPartitionError(", ".join(missing))
    return frozenset(
        (t, p) for t in there if section.reads(t) for p in consumer.partitions_for_topic(t)
    )


def _membership(section: KafkaSource) -> dict[str, Any]:
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

    session_ms = round(section.session_timeout * 1000)
    return {
        "group_instance_id": section.instance,
        "partition_assignment_strategy": [CooperativeStickyAssignor()],
        "session_timeout_ms": session_ms,
        "heartbeat_interval_ms": session_ms // 3,
        "max_poll_interval_ms": MAX_POLL_INTERVAL_MS,
    }


def _settings(section: KafkaSource) -> dict[str, Any]:
    return {
        "group_id": section.group,
        "isolation_level": section.isolation,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "allow_auto_create_topics": False,
        "max_poll_records": section.poll_rows,
        "fetch_max_wait_ms": FETCH_WAIT_MS,
        "metadata_max_age_ms": METADATA_AGE_MS,
        "metrics_enabled": False,
    }


@cache
def _listener() -> Any:
    from kafka import AsyncConsumerRebalanceListener

    class Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc] # the library has no types
        def __init__(self, told: RebalanceCallbacks) -> None:
            self._told = told

        async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
            self._told.came(assigned)

        async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
            await self._told.went(revoked)

        async def on_partitions_lost(self, lost: Collection[Any]) -> None:
            self._told.lost(lost)

    return Listener
