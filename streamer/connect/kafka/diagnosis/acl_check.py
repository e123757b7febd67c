"""What the cluster lets us do: topics and the consumer group. It is asked; nothing is written,
created or joined.
"""

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
SETTLE_S = 0.1  # a new cluster makes the topic of its groups when first asked for a coordinator

Ask = Callable[[Connection], Any]


def topics(kafka: Kafka, at: BrokerAddress, names: Iterable[str] | None) -> dict[str, Any]:
    """What the broker says about each topic, or about all that we may see: error_code, partitions,
    is_internal, authorized_operations. Broken on the way.
    """
    told = _ask(kafka, at, lambda connection: connection.ask(_about(names)))
    return {topic.name: topic for topic in told.topics}


def topic_trouble(kafka: Kafka, topic: Any, operation: int) -> Diagnosis | None:
    """Why a topic cannot be read or written; None if it can. A broker that keeps no rules allows
    everything.
    """
    allowed = topic.authorized_operations
    if topic.error_code == MISSING:
        return diagnosis(Cause.TOPIC_MISSING, **words(kafka, name=topic.name))
    if topic.error_code == TOPIC_DENIED or (allowed is not None and operation not in allowed):
        return diagnosis(DENIALS[operation], **words(kafka, name=topic.name))
    return None


def group_trouble(kafka: Kafka, at: BrokerAddress, group: str) -> Diagnosis | None:
    """Why the group cannot be joined; None if it can. Broken on the way."""
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
    """Where the group is kept, or the error code why that is not known."""
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
    """The error of a heartbeat of nobody: it changes nothing, and is refused as a member's would
    be.
    """
    from kafka.protocol.consumer import HeartbeatRequest

    beat = HeartbeatRequest(version=1, group_id=group, generation_id=-1, member_id="streamer-probe")
    return int(_ask(kafka, at, lambda connection: connection.ask(beat)).error_code)


def _ask(kafka: Kafka, at: BrokerAddress, ask: Ask) -> Any:
    """The address was reached a moment ago, so that its name is known to this machine."""
    with Connection(
        kafka, at, security.options(kafka), end_s=time.monotonic() + step_s(kafka)
    ) as connection:
        return ask(connection)
