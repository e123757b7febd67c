"""Laws of the sections of Kafka, stores, dead letters and registry: one test per rule, with its
place.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.config import (
    DeadLetterFile,
    DeadLetterTopic,
    FileStore,
    Kafka,
    KafkaSource,
    NoStore,
    RedisStore,
    config_from,
)
from streamer.config.kafka import started_at
from tests.config.kafka_examples import GOOD, load, problems, source


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
