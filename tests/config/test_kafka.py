"""Laws of the sections of Kafka, stores, dead letters and registry: one test per rule, with its
place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from streamer.config import (
    Config,
    ConfigErrors,
    DeadLetterFile,
    DeadLetterTopic,
    FileStore,
    Kafka,
    KafkaSource,
    NoStore,
    RedisStore,
    config_from,
    load_config,
)
from streamer.config.kafka import started_at

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


def test_a_right_configuration_loads_with_its_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    found = config.streams[0].source
    assert isinstance(found, KafkaSource) and found.named_topics == ("sensors.raw",)
    assert (found.start, found.format, found.isolation) == ("earliest", "json", "read_uncommitted")
    assert (float(found.session_timeout), float(found.commit_every), int(found.max_record)) == (
        6,
        1,
        2**20,
    )
    assert (found.poll_rows, found.rebuild_events, found.instance) == (4096, 2048, None)
    assert float(config.kafka.request_timeout) == 5 and float(config.snapshots.every) == 60
    assert isinstance(config.dead_letters, DeadLetterTopic) and isinstance(config.store, RedisStore)


def test_a_topic_needs_no_kafka_section_and_no_store() -> None:
    fields = {"time": "ts", "channels": ["v"]}
    stream = {"name": "a", "source": {"kind": "kafka", "topic": "t"}, "fields": fields}
    config = config_from({"version": 1, "streams": [stream]})
    assert config.kafka.bootstrap_servers == ("localhost:9092",)
    assert (config.store, config.dead_letters, config.schema_registry) == (NoStore(), None, None)
    assert config.speaks_kafka and config.streams[0].rhythm


# Each change of the good configuration, and the one problem it must give.
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


LIBRDKAFKA = """\
version: 1
streams:
  - name: vibration
    source: {kind: kafka, topic: a, group.id: g, auto.offset.reset: largest, session.timeout.ms: 10000}
    fields: {time: ts, channels: [v]}
kafka:
  bootstrap.servers: a:9092,b:9092
  security.protocol: SASL_SSL
  ssl.ca.location: ca.pem
  sasl.mechanism: SCRAM-SHA-256
  sasl_plain_username: me
  sasl.password: "${file:FILE}"
sinks: [{kind: kafka, topic: b, compression.type: zstd, delivery.timeout.ms: "30000"}]
"""


def test_the_names_of_other_clients_are_understood(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    config = load(tmp_path, LIBRDKAFKA.replace("FILE", str(tmp_path / "password")))
    rows = {path: (value, origin.rpartition("/")[2]) for path, value, origin in config.effective()}
    assert rows["kafka.bootstrap_servers"] == ('["a:9092", "b:9092"]', "c.yaml:7:22")
    assert rows["kafka.security.protocol"] == ("SASL_SSL", "c.yaml:8:22")
    assert rows["kafka.security.sasl.username"] == ("me", "c.yaml:11:24")
    assert rows["kafka.security.sasl.password"] == ("***", "c.yaml:12:18")
    assert (
        rows["streams[0].source.group"][0] == "g" and rows["streams[0].source.start"][0] == "latest"
    )
    assert rows["streams[0].source.session_timeout"] == ("10s", "c.yaml:4:98")
    assert (rows["sinks[0].compression"][0], rows["sinks[0].delivery_timeout"][0]) == (
        "zstd",
        "30s",
    )


def test_a_variable_that_is_unset_under_another_clients_name_is_one_problem(tmp_path: Path) -> None:
    (shown,) = problems(tmp_path, LIBRDKAFKA.replace("${file:FILE}", "${NOPE}"))
    assert shown == "c.yaml:12:18: kafka.security.sasl.password: the variable NOPE is not set; " + (
        "set it, or write ${NOPE:-default}"
    )


def test_avro_needs_a_registry(tmp_path: Path) -> None:
    text = GOOD.replace("group: streamer", "format: avro").partition("schema_registry")[0]
    (shown,) = problems(tmp_path, text)
    assert shown.startswith("c.yaml:4:55: streams[0].source.format: avro needs schema_registry")


def test_two_streams_of_a_topic_need_two_groups(tmp_path: Path) -> None:
    start, end = GOOD.index("  - name"), GOOD.index("kafka:\n")
    twin = GOOD[start:end].replace("vibration", "other")
    (shown,) = problems(tmp_path, GOOD[:end] + twin + GOOD[end:])
    assert shown.startswith(
        "c.yaml:7:54: streams[1].source.group: 'streamer' reads these topics for another stream"
    )
    load(tmp_path, GOOD[:end] + twin.replace("group: streamer", "group: second") + GOOD[end:])
    load(tmp_path, GOOD[:end] + twin.replace("sensors.raw", "else") + GOOD[end:])


def test_an_instance_stands_once_in_a_group(tmp_path: Path) -> None:
    end = GOOD.index("kafka:\n")
    text = GOOD.replace("group: streamer", "instance: a")
    twin = (
        text[text.index("  - name") : text.index("kafka:\n")]
        .replace("sensors.raw", "else")
        .replace("vibr", "x")
    )
    (shown,) = problems(tmp_path, text[: text.index("kafka:\n")] + twin + GOOD[end:])
    assert "streams[1].source.instance: 'a' is a member of the group already" in shown


@pytest.mark.parametrize("name", ["a b", "..", "a/b", "", "x" * 250])
def test_labels_come_from_what_can_be_a_topic(tmp_path: Path, name: str) -> None:
    (shown,) = problems(tmp_path, f'{GOOD}labels: {{kind: kafka, topic: "{name}"}}\n')
    assert shown.startswith("c.yaml:14:30: labels.topic: must be the name of a topic")
    assert load(tmp_path, f"{GOOD}labels: {{kind: kafka, topic: labels.2}}\n").labels is not None


def test_a_letter_file_is_no_other_output(tmp_path: Path) -> None:
    text = GOOD.replace("kind: kafka, topic: alerts", "kind: file, path: x").replace(
        "cloudevents", ""
    )
    text = text.replace(", format: }", "}").replace(
        "kind: kafka, topic: dlq", "kind: file, path: x"
    )
    (shown,) = problems(tmp_path, text)
    assert shown.startswith("c.yaml:10:34: dead_letters.path: 'x' is written by a sink too")


def test_no_secret_is_in_any_problem_or_listing(tmp_path: Path) -> None:
    for right, wrong, _ in WRONG:
        with pytest.raises(ConfigErrors) as caught:
            load(tmp_path, GOOD.replace(right, wrong, 1))
        assert "hunter" not in str(caught.value)
    config = load(tmp_path, GOOD, {"KAFKA_PASSWORD": "hunter5", "REDIS_PASSWORD": "hunter6"})
    assert "hunter" not in repr(config) + str(config.effective())


def test_secrets_come_from_files_without_their_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter7\n")
    config = load(
        tmp_path, GOOD.replace("${REDIS_PASSWORD:-hunter3}", f"${{file:{tmp_path}/secret}}")
    )
    assert isinstance(config.store, RedisStore) and config.store.password is not None
    assert config.store.password.get_secret_value() == "hunter7"
    assert "hunter" not in repr(config) + str(config.effective())


def test_a_redis_knows_its_user_and_its_authority_and_lists_no_password(tmp_path: Path) -> None:
    text = GOOD.replace("redis://", "rediss://").replace(
        "kind: redis,", "kind: redis, username: ours, ca: ca.pem,"
    )
    config = load(tmp_path, text, {"REDIS_PASSWORD": "hunter6"})
    shown = {row[0]: row[1] for row in config.effective()}
    assert (shown["store.username"], shown["store.ca"], shown["store.password"]) == (
        "ours",
        "ca.pem",
        "***",
    )


def test_brokers_in_one_variable_are_split_at_commas(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD, {"KAFKA_BROKERS": "a:9092, [::1]:9093"})
    assert config.kafka.bootstrap_servers == ("a:9092", "[::1]:9093")


@pytest.mark.parametrize(
    ("protocol", "servers", "exposed"),
    [
        ("PLAINTEXT", "localhost:1,127.0.0.9:1,[::1]:1", ()),
        ("PLAINTEXT", "localhost:1,kafka:2", ("kafka:2",)),
        ("SSL", "kafka:2", ()),
    ],
)
def test_plain_text_to_another_machine_is_exposed(
    protocol: str, servers: str, exposed: tuple[str, ...]
) -> None:
    kafka = Kafka.model_validate({"bootstrap_servers": servers, "security": {"protocol": protocol}})
    assert kafka.exposed == exposed


def test_a_start_is_a_time_with_its_zone_or_a_while_ago() -> None:
    assert (
        started_at("2026-11-01T00:00:00Z", 0.0)
        == started_at("2026-11-01T01:00:00+01:00", 0.0)
        == 1_793_491_200
    )
    assert started_at("-2h", 10_000.0) == 2800
    assert [
        started_at(text, 0.0) for text in ("latest", "2026-11-01T00:00:00", "-2", "--2h", "")
    ] == [None] * 5


def test_a_pattern_reads_what_it_matches_from_the_first_letter_on() -> None:
    found = KafkaSource.model_validate({"kind": "kafka", "pattern": r"sensors\..*"})
    assert (
        found.reads("sensors.raw") and not found.reads("raw.sensors.x") and found.named_topics == ()
    )
    assert found.overlaps(source(topic="sensors.a")) and source(topic="sensors.a").overlaps(found)
    assert not source(topic="a").overlaps(source(topic="b"))


def test_files_are_the_other_places() -> None:
    base = {"version": 1, "streams": [{"name": "a", "source": {"kind": "host"}}]}
    config = config_from(
        {**base, "store": {"kind": "files"}, "dead_letters": {"kind": "file", "path": "dlq.jsonl"}}
    )
    assert isinstance(config.store, FileStore) and config.store.path == "state"
    assert isinstance(config.dead_letters, DeadLetterFile) and not config.speaks_kafka
