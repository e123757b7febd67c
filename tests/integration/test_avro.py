"""Avro from a real topic: while the registry is away good records wait, and none is lost or refused for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Producer

from streamer.config import config_from
from streamer.connect import open_source
from streamer.event import Poll
from streamer.protocols import Source
from tests.connect.records import SCHEMA, framed
from tests.connect.registry_server import Server
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
        config = config_from({
            "version": 1, "kafka": {"bootstrap_servers": [kafka.bootstrap]}, "schema_registry": {"url": registry.url},
            "streams": [{
                "name": "s", "source": {"kind": "kafka", "topic": topic, "group": topic, "format": "avro"},
                "fields": {"entity": "who", "time": "ts", "channels": ["v.rms", "temp"]},
            }],
        })  # fmt: skip
        with closing(open_source(config.streams[0], config=config)) as source:
            waiting = polled(source, lambda poll: "HTTP 503" in (source.trouble or ""))
            assert not any(poll.batches or poll.rejected for poll in waiting)
            registry.pages["/schemas/ids/0"] = (200, {}, json.dumps({"schema": json.dumps(SCHEMA)}).encode())
            polls = polled(source, lambda poll: bool(poll.batches))
            rejected = [one for poll in polls for one in poll.rejected]
    assert [poll.batches[0].offset.tolist() for poll in polls if poll.batches] == [[0, 3]]
    assert [(one.offset, one.reason) for one in rejected] == [(1, "bad_avro"), (2, "unknown_schema")]
