"""Each mistake in the configuration of Kafka is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.config import ConfigErrors
from tests.config.kafka_examples import GOOD, SECURITY, load, problems

WRONG = [
    (
        "topic: sensors.raw, ",
        "",
        "c.yaml:4:5: streams[0].source.topic: is missing: write one of topic, topics and pat",
    ),
    (
        "topic: sensors.raw",
        "topic: a, topics: [b]",
        "c.yaml:4:45: streams[0].source.topics: cannot stand beside topic",
    ),
    (
        "topic: sensors.raw",
        "topics: [a, b, a]",
        "c.yaml:4:42: streams[0].source.topics[2]: 'a' is named twice",
    ),
    (
        "topic: sensors.raw",
        'topic: a, pattern: "b.*"',
        "streams[0].source.pattern: cannot stand beside topic",
    ),
    (
        "topic: sensors.raw",
        'pattern: "(b"',
        "c.yaml:4:36: streams[0].source.pattern: is not a regular expression",
    ),
    (
        "topic: sensors.raw",
        "topic: a b",
        "c.yaml:4:34: streams[0].source.topic: must be the name of a topic",
    ),
    ("topic: sensors.raw", "topic: ..", "streams[0].source.topic: must be the name of a topic"),
    (
        "topic: sensors.raw",
        "topc: a",
        "c.yaml:4:27: streams[0].source.topc: unknown key; did you mean topic?",
    ),
    (
        "group: streamer",
        "group: g, start: soon",
        "streams[0].source.start: must be earliest, latest, a time such as",
    ),
    (
        "group: streamer",
        "group: g, start: 2026-11-01T00:00:00",
        "streams[0].source.start: must be earliest",
    ),
    (
        "group: streamer",
        "group: g, isolation: none",
        "source.isolation: must be read_uncommitted or read_committed",
    ),
    (
        "group: streamer",
        "group: g, format: xml",
        "streams[0].source.format: must be json, avro, msgpack or csv",
    ),
    (
        "group: streamer",
        "group: g, format: csv",
        "source.columns: is missing: a csv record has no header",
    ),
    (
        "group: streamer",
        "group: g, columns: [a]",
        "source.columns: belongs to format csv only; a record of json",
    ),
    (
        "group: streamer",
        "format: csv, columns: [ts, rms, temp, temp, device]",
        "columns[3]: 'temp' is named twice",
    ),
    (
        "group: streamer",
        "format: csv, columns: [ts, device, rms]",
        "c.yaml:5:73: streams[0].fields.channels[1]: 'temp",
    ),
    (
        "group: streamer",
        "format: csv, columns: [ts, rms, temp]",
        "fields.entity[0]: 'device' is not one of source.col",
    ),
    (
        "group: streamer",
        "format: csv, columns: [device, rms, temp]",
        "fields.time: 'ts' is not one of source.columns",
    ),
    (
        "group: streamer",
        "session_timeout: 5s",
        "c.yaml:4:64: streams[0].source.session_timeout: must be 6s to 30m, go",
    ),
    (
        "group: streamer",
        "session_timeout: 31m",
        "streams[0].source.session_timeout: must be 6s to 30m, got 31m",
    ),
    (
        "group: streamer",
        "commit_every: 1ms",
        "streams[0].source.commit_every: must be 50ms to 5m, got 1ms",
    ),
    ("group: streamer", "commit_every: 1", "commit_every: a duration needs a unit: write 1s or 1m"),
    (
        "group: streamer",
        "max_record: 1B",
        "streams[0].source.max_record: must be 1KiB to 1GiB, got 1B",
    ),
    ("group: streamer", "poll_rows: 0", "streams[0].source.poll_rows: must be at least 1"),
    (
        "group: streamer",
        "rebuild_events: -1",
        "streams[0].source.rebuild_events: must be at least 0",
    ),
    (
        "group: streamer",
        'instance: "a b"',
        "streams[0].source.instance: must be letters, digits, '.', '_' and '-'",
    ),
    (
        ", channels: [rms, temp]",
        "",
        "c.yaml:5:5: streams[0].fields.channels: is missing: name the channels; a topic",
    ),
    (
        "time: {path: ts, unit: s}, ",
        "",
        "c.yaml:5:5: streams[0].fields.time: is missing: name the time field, or w",
    ),
    (
        '["${KAFKA_BROKERS:-localhost:9092}"]',
        "[]",
        "kafka.bootstrap_servers: must be one or more of host:port",
    ),
    (
        '["${KAFKA_BROKERS:-localhost:9092}"]',
        "broker",
        "c.yaml:7:22: kafka.bootstrap_servers: 'broker' is not host:p",
    ),
    (
        '["${KAFKA_BROKERS:-localhost:9092}"]',
        '"a:1,,b:2"',
        "kafka.bootstrap_servers: '' is not host:port",
    ),
    (
        '["${KAFKA_BROKERS:-localhost:9092}"]',
        '"SSL://a:1"',
        "write a:1; the protocol is kafka.security.protocol",
    ),
    (
        '["${KAFKA_BROKERS:-localhost:9092}"]',
        '"u:hunter9@a:1"',
        "must not hold a user or a password; they belong to",
    ),
    (
        '["${KAFKA_BROKERS:-localhost:9092}"]',
        "{a: 1}",
        "kafka.bootstrap_servers: must be host:port, or a list",
    ),
    (
        "  security:",
        "  request_timeout: 10ms\n  security:",
        "kafka.request_timeout: must be 1s to 5m, got 10ms",
    ),
    (
        "  security:",
        "  request_timeout: 3m\n  security:",
        "sinks[0].delivery_timeout: must not be below kafka.request",
    ),
    (
        SECURITY,
        "protocol: TLS",
        "c.yaml:8:24: kafka.security.protocol: must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL",
    ),
    (SECURITY, "protocol: SASL_SSL", "c.yaml:8:3: kafka.security.sasl: is needed for SASL_SSL"),
    (
        "protocol: SASL_SSL, ca: ca.pem, ",
        "protocol: SSL, ",
        "kafka.security.protocol: must be SASL_SSL or SASL_PLAINT",
    ),
    (
        "protocol: SASL_SSL, ca",
        "protocol: SASL_PLAINTEXT, ca",
        "c.yaml:8:44: kafka.security.ca: needs protocol SSL or",
    ),
    (
        "ca: ca.pem",
        "certificate: c.pem",
        "c.yaml:8:3: kafka.security.key: is missing: certificate and key go toge",
    ),
    (
        "ca: ca.pem",
        "key: k.pem",
        "c.yaml:8:3: kafka.security.certificate: is missing: certificate and key go together",
    ),
    ("ca: ca.pem", "key_password: hunter9", "kafka.security.key_password: needs a key"),
    (
        SECURITY,
        "verify_hostname: false",
        "kafka.security.verify_hostname: needs protocol SSL or SASL_SSL, not PLAINT",
    ),
    ("username: s, ", "", "c.yaml:8:46: kafka.security.sasl.username: is needed for SCRAM-SHA-512"),
    (
        ', password: "${KAFKA_PASSWORD:-hunter2}"',
        "",
        "kafka.security.sasl.password: is needed for SCRAM-SHA-512",
    ),
    (
        "KAFKA_PASSWORD:-hunter2",
        "KAFKA_PASSWORD:-",
        "kafka.security.sasl.password: is needed for SCRAM-SHA-512",
    ),
    (
        "username: s",
        "username: s, token: {url: 'https://t', client_id: c, client_secret: x}",
        "token: does not belong",
    ),
    (
        "SCRAM-SHA-512, username: s, password",
        "SCRAM, username: s, password",
        "sasl.mechanism: must be PLAIN, SCRAM-",
    ),
    (
        'SCRAM-SHA-512, username: s, password: "${KAFKA_PASSWORD:-hunter2}"',
        "OAUTHBEARER",
        "kafka.security.sasl.token: is needed for OAUTHBEARER",
    ),
    (
        'SCRAM-SHA-512, username: s, password: "${KAFKA_PASSWORD:-hunter2}"',
        "OAUTHBEARER, token: {url: 'http://idp/token', client_id: c, client_secret: x}",
        "kafka.security.sasl.token.url: must be https: the client secret travels to it",
    ),
    (
        'SCRAM-SHA-512, username: s, password: "${KAFKA_PASSWORD:-hunter2}"',
        "OAUTHBEARER, token: {url: 'https://u:hunter9@idp/token', client_id: c, client_secret: x}",
        "kafka.security.sasl.token.url: must not hold a user or a password",
    ),
    (
        "topic: alerts",
        "topic: sensors.raw",
        "c.yaml:9:30: sinks[0].topic: 'sensors.raw' is read by stream vibration",
    ),
    (
        "format: cloudevents}",
        "compression: zip}",
        "sinks[0].compression: must be none, gzip, lz4, snappy or zstd",
    ),
    ("format: cloudevents}", "format: json}", "sinks[0].format: must be cloudevents, got 'json'"),
    (
        "format: cloudevents}",
        "delivery_timeout: 2d}",
        "sinks[0].delivery_timeout: must be 1s to 1d, got 2d",
    ),
    ("format: cloudevents}", "ack: 1}", "c.yaml:9:38: sinks[0].ack: unknown key"),
    (
        "format: cloudevents}]",
        "}, {kind: kafka, topic: alerts}]",
        "sinks[1].topic: 'alerts' is written by two sinks",
    ),
    (
        "topic: dlq",
        "topic: sensors.raw",
        "c.yaml:10:36: dead_letters.topic: 'sensors.raw' is read by stream vibration",
    ),
    (
        "topic: dlq",
        "topic: alerts",
        "c.yaml:10:36: dead_letters.topic: 'alerts' is the topic of the alerts",
    ),
    (
        "kind: kafka, topic: dlq",
        "kind: mail",
        "c.yaml:10:22: dead_letters.kind: unknown kind 'mail', known: file, k",
    ),
    ("kind: kafka, topic: dlq", "kind: file", "c.yaml:10:1: dead_letters.path: is missing"),
    (
        "kind: kafka, topic: dlq",
        "kind: file, pth: x",
        "c.yaml:10:28: dead_letters.pth: unknown key; did you mean pa",
    ),
    (
        "kind: redis",
        "kind: rediss",
        "c.yaml:11:15: store.kind: unknown kind 'rediss', known: files, none, redis",
    ),
    (
        "redis://localhost:6379/0",
        "http://localhost",
        "store.url: must be redis:// or rediss://host:port",
    ),
    (
        "redis://localhost:6379/0",
        "redis://localhost:port",
        "store.url: must be redis:// or rediss://host:port",
    ),
    (
        "redis://localhost:6379/0",
        "redis://:hunter9@localhost/0",
        "c.yaml:11:27: store.url: must not hold a user or a",
    ),
    (
        "redis://localhost:6379/0",
        "redis://localhost/state",
        "store.url: must end with the number of a database",
    ),
    (
        "redis://localhost:6379/0",
        "redis://localhost/0?db=1",
        "store.url: must end with the number of the database",
    ),
    (
        ', password: "${REDIS_PASSWORD:-hunter3}"',
        ", username: u",
        "c.yaml:11:1: store.password: is missing",
    ),
    ("kind: redis,", "kind: redis, ca: ca.pem,", "c.yaml:11:26: store.ca: needs a rediss:// url"),
    (
        "snapshots: {every: 60s}",
        "snapshots: {every: 10ms}",
        "c.yaml:12:20: snapshots.every: must be 1s to 1d, got 10",
    ),
    (
        "https://registry:8081",
        "registry:8081",
        "schema_registry.url: must be http:// or https://host:port",
    ),
    (
        "username: u, ",
        "",
        "c.yaml:13:1: schema_registry.username: is missing: username and password go together",
    ),
    (
        "group: streamer",
        "group: g, enable.auto.commit: true",
        "c.yaml:4:57: streams[0].source.enable.auto.commit: unk",
    ),
    (
        "  security:",
        "  group.id: g\n  security:",
        "c.yaml:8:3: kafka.group.id: unknown key here; write streams[].sou",
    ),
    (
        "group: streamer",
        "group: g, group.id: g",
        "source.group.id: says what streams[0].source.group says too; remo",
    ),
    (
        "group: streamer",
        "session.timeout.ms: 5000",
        "c.yaml:4:67: streams[0].source.session_timeout: must be 6s to 30",
    ),
    (
        "password: hunter4",
        "password: 4711",
        "schema_registry.password: must be text; write it in quotes",
    ),
]


@pytest.mark.parametrize(
    ("right", "wrong", "words"), WRONG, ids=[f"{i}: {words}" for i, (*_, words) in enumerate(WRONG)]
)
def test_each_mistake_is_named_with_its_place(
    tmp_path: Path, right: str, wrong: str, words: str
) -> None:
    assert right in GOOD
    (shown,) = problems(tmp_path, GOOD.replace(right, wrong, 1))
    assert words in shown
    assert shown.startswith("c.yaml:")


def test_no_secret_is_in_any_problem_or_listing(tmp_path: Path) -> None:
    for right, wrong, _ in WRONG:
        with pytest.raises(ConfigErrors) as caught:
            load(tmp_path, GOOD.replace(right, wrong, 1))
        assert "hunter" not in str(caught.value)
    config = load(tmp_path, GOOD, {"KAFKA_PASSWORD": "hunter5", "REDIS_PASSWORD": "hunter6"})
    assert "hunter" not in repr(config) + str(config.effective())
