"""What stands beside a record's value on a real broker: entity from its key, time from its
timestamp, its trace.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer

from tests.cli.calls import call
from tests.integration.test_commands import configured, records
from tests.servers.admin import Kafka

pytestmark = [pytest.mark.integration, pytest.mark.needs_kafka]
STEPS, FAULT, LONG = 320, 300, 4  # a record a second, and a fault in the last minute
FIELDS = {"entity": "@key", "time": "@timestamp", "channels": ["rms"]}


def trace(step: int) -> str:
    return f"00-{step + 1:032x}-{step + 1:016x}-01"


def fill(kafka: Kafka, topic: str, begin_ms: int) -> None:
    """Values that hold nothing but the measurement, of two machines; only pump-1 breaks."""
    producer, noise = Producer({"bootstrap.servers": kafka.bootstrap}), np.random.default_rng(3)
    for step in range(STEPS):
        for pump in (0, 1):
            fault = 9.0 if pump == 1 and FAULT <= step < FAULT + LONG else 0.0
            value = json.dumps({"rms": round(5 + 0.1 * noise.normal() + fault, 4)})
            headers: Any = {"traceparent": trace(step), "site": "a"} if pump else None
            at_ms = begin_ms + 1000 * step
            producer.produce(
                topic, value, f"pump-{pump}", partition=0, timestamp=at_ms, headers=headers
            )
    assert producer.flush(30.0) == 0


def told(seen: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in seen.splitlines()]


def test_the_alert_names_the_key_the_time_and_the_trace_of_its_event(
    kafka: Kafka, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic)
    alerts = kafka.create_topic(f"{topic}-alerts")
    begin_ms = (int(time.time()) - STEPS) * 1000
    fill(kafka, topic, begin_ms)
    stream = {
        "name": "plant",
        "source": {"kind": "kafka", "topic": topic, "group": topic},
        "fields": FIELDS,
    }
    path = configured(
        tmp_path, kafka, topic, streams=[stream], sinks=[{"kind": "kafka", "topic": alerts}]
    )
    done = call("run", "-c", path, "--until-idle", "2s")
    assert done.exit_code == 0, done.stderr
    first, *_ = sorted(records(kafka, alerts)[0], key=lambda message: message.offset() or 0)
    alert, headers = json.loads(first.value()), dict(first.headers())
    step = alert["window"]["last_offset"] // 2
    assert (alert["entity"], first.key()) == ("pump-1", b"pump-1")
    assert FAULT <= step < FAULT + LONG
    assert headers["traceparent"].decode() == alert["traceparent"] == trace(step)
    at = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(begin_ms / 1000 + step))
    assert alert["detected_at"] == headers["ce_time"].decode() == at


def test_tap_shows_the_entity_and_the_time_of_the_envelope(
    kafka: Kafka, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, b'{"rms": 1.5}', b"pump-7", timestamp=int(time.time()) * 1000)
    producer.produce(topic, b'{"rms": 1.5}', b"\xff\xff")
    assert producer.flush(30.0) == 0
    stream = {
        "name": "plant",
        "source": {"kind": "kafka", "topic": topic, "group": topic},
        "fields": FIELDS,
    }
    path = configured(tmp_path, kafka, topic, streams=[stream])
    done = call("tap", "-c", path, "--from", "start", "--limit", 2, "--format", "json")
    good, bad = told(done.stdout)
    assert (good["entity"], good["values"]) == (["pump-7"], {"rms": 1.5})
    assert (bad["rejected"], bad["detail"]) == ("bad_entity", r"@key: b'\xff\xff' is no text")
