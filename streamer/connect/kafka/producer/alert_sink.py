"""Alerts to a Kafka topic, keyed by entity, as CloudEvents with the alert as JSON."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from streamer.connect.base.opening import cluster
from streamer.connect.formats.alert_event import alert_json, model_json
from streamer.connect.kafka.producer.cloudevents import alert_headers, model_headers
from streamer.connect.kafka.producer.producer import DeliveringProducer, OutgoingRecord
from streamer.event import Alert, Message, ModelEvent
from streamer.protocols import Clock

if TYPE_CHECKING:
    from streamer import config

OMITTED = "x-omitted"  # header that names what was removed from an alert that was too large


class KafkaSink:
    """Sends alerts to a topic, acknowledged by all in-sync replicas.

    `flush` counts those that are not. `send` never waits. A replay or a broker failure may repeat a
    message; its `ce_id` identifies it. An alert too large for the topic is sent without the raw
    values of its window. SinkError at the start if the topic does not exist or no broker answers.
    """

    def __init__(
        self, kafka: config.Kafka, section: config.KafkaSink, *, clock: Clock = time.monotonic
    ) -> None:
        self._producer = DeliveringProducer(
            kafka,
            section.topic,
            compression=section.compression,
            clock=clock,
            shrink=without_window_values,
            delivery_timeout_s=float(section.delivery_timeout),
        )

    def send(self, message: Message) -> None:
        made = model_record(message) if isinstance(message, ModelEvent) else alert_record(message)
        self._producer.send(made)

    def flush(self, timeout_s: float) -> int:
        return self._producer.flush(timeout_s)

    def close(self) -> None:
        self._producer.close()


def alert_record(alert: Alert) -> OutgoingRecord:
    """The record of an alert; its key is the entity, so an entity's alerts stay in order."""
    return OutgoingRecord(
        alert.entity.encode(errors="replace"), alert_json(alert), alert_headers(alert)
    )


def model_record(event: ModelEvent) -> OutgoingRecord:
    """The record of a model event; its key is the version that judges now."""
    return OutgoingRecord(
        event.model.version.encode(errors="replace"), model_json(event), model_headers(event)
    )


def without_window_values(record: OutgoingRecord) -> OutgoingRecord | None:
    """The alert without the raw values of its window; None if it has none."""
    alert = msgspec.json.decode(record.value, type=dict)
    if not alert.get("window") or not alert["window"]["values"]:
        return None
    alert["window"]["values"] = []
    return record._replace(
        value=msgspec.json.encode(alert), headers=(*record.headers, (OMITTED, b"window.values"))
    )


def open_sink(section: config.KafkaSink, whole: config.Config | None) -> KafkaSink:
    """The sink of a section. SinkError if its topic cannot be written."""
    return KafkaSink(cluster(whole), section)
