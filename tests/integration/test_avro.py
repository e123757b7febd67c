"""Avro from a real topic: while the registry is away good records wait, and none is lost or refused
for it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streamer.config import KafkaSource, config_from, load_config
from streamer.connect import open_source
from streamer.event import Poll
from streamer.protocols import Source
from tests.cli.calls import call
from tests.connect.formats.records import SCHEMA, framed
from tests.connect.formats.registry_server import Server
from tests.servers.admin import Kafka

pytestmark = [pytest.mark.needs_kafka, pytest.mark.integration]
PATIENCE_S = 60.0


def polled(source: Source, until: Callable[[Poll], bool]) -> list[Poll]:
    """Polls up to the one that is waited for."""
    polls, end = list[Poll](), time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        poll = source.poll(0.2)
        assert poll is not None
        polls.append(poll)
        if until(poll):
            return polls
    pytest.fail("waited in vain")


def test_records_wait_for_a_registry_that_is_away(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    good = {"ts": 1.7e9, "who": "p", "v": {"rms": 2.5}, "temp": 3.0, "tags": []}
    for value in (framed(good), b"not framed", framed(good, number=9), framed(good)):
        producer.produce(topic, value)
    producer.flush(10)
    with closing(Server()) as registry:
        registry.pages["/schemas/ids/0"] = (503, {}, b"")
        config = config_from(
            {
                "version": 1,
                "kafka": {"bootstrap_servers": [kafka.bootstrap]},
                "schema_registry": {"url": registry.url},
                "streams": [
                    {
                        "name": "s",
                        "source": {
                            "kind": "kafka",
                            "topic": topic,
                            "group": topic,
                            "format": "avro",
                        },
                        "fields": {"entity": "who", "time": "ts", "channels": ["v.rms", "temp"]},
                    }
                ],
            }
        )
        with closing(open_source(config.streams[0], config=config)) as source:
            waiting = polled(source, lambda poll: "HTTP 503" in (source.problem or ""))
            assert not any(poll.batches or poll.rejected for poll in waiting)
            registry.pages["/schemas/ids/0"] = (
                200,
                {},
                json.dumps({"schema": json.dumps(SCHEMA)}).encode(),
            )
            polls = polled(source, lambda poll: bool(poll.batches))
            rejected = [one for poll in polls for one in poll.rejected]
    assert [poll.batches[0].offset.tolist() for poll in polls if poll.batches] == [[0, 3]]
    assert [(one.offset, one.reason) for one in rejected] == [
        (1, "bad_avro"),
        (2, "unknown_schema"),
    ]


def test_init_writes_the_configuration_that_reads_avro(
    kafka: Kafka, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic)
    producer, out = (
        Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0}),
        tmp_path / "made.yaml",
    )
    for i in range(300):
        rows = {
            "ts": 1.7e9 + i // 3,
            "who": f"pump {i % 3}",
            "v": {"rms": i % 7 / 3},
            "temp": 20.0 + i % 5,
            "tags": [],
        }
        producer.produce(topic, framed(rows, number=7), f"pump {i % 3}")
    assert producer.flush(10) == 0
    address = f"kafka://{kafka.bootstrap}/{topic}"
    blind = call("init", "--from", address, "--out", out)
    assert blind.exit_code == 3 and "schema 7" in blind.stderr and not out.exists()
    with closing(Server()) as registry:
        registry.pages["/schemas/ids/7"] = (
            200,
            {},
            json.dumps({"schema": json.dumps(SCHEMA)}).encode(),
        )
        done = call("init", "--from", address, "--out", out, "--registry", registry.url)
        assert done.exit_code == 0, done.stderr
        config = load_config(out, env={})
        stream, fields = config.streams[0], config.streams[0].fields
        assert isinstance(stream.source, KafkaSource) and stream.source.format == "avro"
        assert config.schema_registry is not None and config.schema_registry.url == registry.url
        assert (fields.entity, fields.time and fields.time.path) == (("who",), "ts")
        assert set(fields.channels) == {"v.rms", "temp"}
        seen = call("tap", "-c", out, "--from", "start", "--limit", 300, "--format", "json")
    assert len(seen.stdout.splitlines()) == 300 and "rejected" not in seen.stdout


def test_init_of_avro_says_when_the_registry_is_away(
    kafka: Kafka, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    producer.produce(topic, framed({"ts": 1.7e9, "who": "p", "v": None, "temp": None, "tags": []}))
    assert producer.flush(10) == 0
    words = ["--out", tmp_path / "made.yaml", "--registry", "http://127.0.0.1:9"]
    done = call("init", "--from", f"kafka://{kafka.bootstrap}/{topic}", *words)
    assert done.exit_code != 0 and "127.0.0.1:9" in done.stderr
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
