"""A right configuration of a Kafka stream, and how tests load what they make of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from streamer.config import Config, ConfigErrors, KafkaSource, load_config

GOOD = """\
version: 1
streams:
  - name: vibration
    source: {kind: kafka, topic: sensors.raw, group: streamer}
    fields: {entity: device, time: {path: ts, unit: s}, channels: [rms, temp]}
kafka:
  bootstrap_servers: ["${KAFKA_BROKERS:-localhost:9092}"]
  security: {protocol: SASL_SSL, ca: ca.pem, sasl: {mechanism: SCRAM-SHA-512, username: s, password: "${KAFKA_PASSWORD:-hunter2}"}}
sinks: [{kind: kafka, topic: alerts, format: cloudevents}]
dead_letters: {kind: kafka, topic: dlq}
store: {kind: redis, url: "redis://localhost:6379/0", password: "${REDIS_PASSWORD:-hunter3}"}
snapshots: {every: 60s}
schema_registry: {url: "https://registry:8081", username: u, password: hunter4}
"""
SECURITY = (
    "protocol: SASL_SSL, ca: ca.pem, "
    'sasl: {mechanism: SCRAM-SHA-512, username: s, password: "${KAFKA_PASSWORD:-hunter2}"}'
)


def load(tmp_path: Path, text: str, env: Mapping[str, str] | None = None) -> Config:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return load_config(path, (), env or {})


def problems(tmp_path: Path, text: str) -> list[str]:
    """First lines of all problems, without the folder."""
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path, text)
    return [p.render().splitlines()[0].replace(f"{tmp_path}/", "") for p in caught.value.problems]


def source(**settings: object) -> KafkaSource:
    return KafkaSource.model_validate({"kind": "kafka", "topic": "t", **settings})
