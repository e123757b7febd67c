"""Opens and closes a KafkaProducer for one topic, and explains its errors."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import structlog

from streamer.errors import ConfigError, SinkAway

if TYPE_CHECKING:
    from streamer import config

log = structlog.get_logger()

# Far above what topics allow: the broker enforces its own limit.
MAX_REQUEST_BYTES = 16 << 20
ASK_MS = 1000  # for a broker to answer, before its topic is asked about


def open_producer(
    kafka: config.Kafka, topic: str, compression: str, delivery_timeout_s: float
) -> Any:
    """Open an idempotent KafkaProducer that knows its topic.

    SinkAway if that fails within two request timeouts.
    """
    from kafka import KafkaProducer

    from streamer.connect.kafka.client.client import connect

    try:
        producer = connect(
            KafkaProducer,
            kafka,
            acks="all",
            enable_idempotence=True,
            allow_auto_create_topics=False,
            compression_type=None if compression == "none" else compression,
            max_request_size=MAX_REQUEST_BYTES,
            delivery_timeout_ms=round(delivery_timeout_s * 1000),
            max_block_ms=round(kafka.request_timeout * 1000),
            metrics_enabled=False,
        )
    except Exception as exc:
        raise SinkAway(explained(kafka, topic, exc)) from exc
    try:
        producer.partitions_for(topic)
    except Exception as exc:
        discard(producer)
        raise SinkAway(explained(kafka, topic, exc)) from exc
    return producer


def discard(producer: Any) -> None:
    """Stop a producer at once, with any records it holds."""
    from kafka.errors import KafkaError

    # close() waits for a flush first and, if that fails, leaks its thread and sockets.
    producer._sender.force_close()
    producer._sender.join(1.0)
    try:
        producer.close(timeout=0)
    except KafkaError:
        log.warning("producer_hangs")


def is_retriable(error: BaseException) -> bool:
    """Whether the same producer may retry; every other error is fatal to an idempotent one."""
    from kafka.errors import RetriableError

    return isinstance(error, RetriableError)


def is_too_large(error: BaseException) -> bool:
    from kafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

    return isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError)


def explained(kafka: config.Kafka, topic: str, error: BaseException | None) -> str:
    """Why no record reaches the topic, and the fix.

    Takes up to three request timeouts if no broker answers.
    """
    from kafka.errors import KafkaTimeoutError

    from streamer.connect.kafka.diagnosis.explain import explain

    if error is not None and is_too_large(error):
        return (
            f"kafka topic {topic}: a record is larger than the topic allows: raise its "
            f"max.message.bytes ({error})"
        )
    vague = error is None or isinstance(error, KafkaTimeoutError)
    return (
        f"kafka topic {topic}: "
        f"{explain(kafka, (topic_error(kafka, topic) if vague else None) or error)}"
    )


def topic_error(kafka: config.Kafka, topic: str) -> Exception | None:
    """The error that the cluster reports for the topic; None if none or no answer.

    The client waits for a missing topic and then reports a timeout.
    """
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError, for_code

    from streamer.connect.kafka.client.client import connect

    try:
        with closing(connect(KafkaAdminClient, kafka, bootstrap_timeout_ms=ASK_MS)) as admin:
            code = admin.describe_topics([topic])[0]["error_code"]
    except (KafkaError, ConfigError):
        return None
    error: Exception | None = for_code(code)(topic) if code else None
    return error
