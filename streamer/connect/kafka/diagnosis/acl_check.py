"""Checks of permissions on topics and the consumer group, without writing or joining."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from streamer.connect.kafka.client import security
from streamer.connect.kafka.diagnosis.broker_check import step_s, words
from streamer.connect.kafka.diagnosis.causes import Cause, Diagnosis, diagnosis
from streamer.connect.kafka.diagnosis.connection import BrokerAddress, Connection

if TYPE_CHECKING:
    from streamer.config import Kafka

READ, WRITE = 3, 4  # operations by number
DENIALS = {READ: Cause.TOPIC_READ, WRITE: Cause.TOPIC_WRITE}
MISSING, NO_COORDINATOR, TOPIC_DENIED, GROUP_DENIED = 3, 15, 29, 30  # Kafka's error codes
SETTLE_S = 0.1  # a new cluster creates the topic of its groups when first asked for a coordinator

Ask = Callable[[Connection], Any]


def topics(kafka: Kafka, at: BrokerAddress, names: Iterable[str] | None) -> dict[str, Any]:
    """Metadata of each topic, or of all visible ones; Broken on failure.

    Metadata: error_code, partitions, is_internal, authorized_operations.
    """
    told = _ask(kafka, at, lambda connection: connection.ask(_about(names)))
    return {topic.name: topic for topic in told.topics}


def topic_problem(kafka: Kafka, topic: Any, operation: int) -> Diagnosis | None:
    """Why a topic cannot be read or written; None if it can.

    A broker without ACLs allows everything.
    """
    allowed = topic.authorized_operations
    if topic.error_code == MISSING:
        return diagnosis(Cause.TOPIC_MISSING, **words(kafka, name=topic.name))
    if topic.error_code == TOPIC_DENIED or (allowed is not None and operation not in allowed):
        return diagnosis(DENIALS[operation], **words(kafka, name=topic.name))
    return None


def group_problem(kafka: Kafka, at: BrokerAddress, group: str) -> Diagnosis | None:
    """Why the group cannot be joined; None if it can.

    Broken if the connection fails.
    """
    coordinator = _coordinator(kafka, at, group)
    error = coordinator if isinstance(coordinator, int) else _heartbeat(kafka, coordinator, group)
    return (
        diagnosis(Cause.GROUP_DENIED, **words(kafka, name=group)) if error == GROUP_DENIED else None
    )


def _about(topics: Iterable[str] | None) -> Any:
    from kafka.protocol.metadata import MetadataRequest

    named = (
        None
        if topics is None
        else [MetadataRequest.MetadataRequestTopic(name=name) for name in topics]
    )
    return MetadataRequest(
        version=8,
        topics=named,
        allow_auto_topic_creation=False,
        include_topic_authorized_operations=True,
    )


def _coordinator(kafka: Kafka, at: BrokerAddress, group: str) -> BrokerAddress | int:
    """The group's coordinator, or the error code of the lookup."""
    from kafka.protocol.metadata import FindCoordinatorRequest

    def ask(connection: Connection) -> Any:
        end_s = time.monotonic() + step_s(kafka) / 2
        while True:
            told = connection.ask(FindCoordinatorRequest(version=2, key=group, key_type=0))
            if told.error_code != NO_COORDINATOR or time.monotonic() > end_s:
                return told
            time.sleep(SETTLE_S)

    told = _ask(kafka, at, ask)
    return int(told.error_code) or BrokerAddress(told.host, told.port)


def _heartbeat(kafka: Kafka, at: BrokerAddress, group: str) -> int:
    """The error code of a heartbeat with an unknown member id.

    It changes nothing, and needs the same permission as a member's heartbeat.
    """
    from kafka.protocol.consumer import HeartbeatRequest

    beat = HeartbeatRequest(version=1, group_id=group, generation_id=-1, member_id="streamer-probe")
    return int(_ask(kafka, at, lambda connection: connection.ask(beat)).error_code)


def _ask(kafka: Kafka, at: BrokerAddress, ask: Ask) -> Any:
    """Ask a broker.

    It was reached before, so its name resolves without a long wait.
    """
    with Connection(
        kafka, at, security.options(kafka), end_s=time.monotonic() + step_s(kafka)
    ) as connection:
        return ask(connection)
