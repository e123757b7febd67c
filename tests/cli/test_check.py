"""Laws of `streamer check` and `streamer schema`."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamer.cli.check import aligned, check
from streamer.cli.schema import schema
from tests.servers.admin import Kafka
from tests.servers.redis_server import RunningRedis

GOOD = (
    "version: 1\nstreams: [{name: a, preset: edge, source: {kind: host}}]\nserver: {token: "
    "hunter2}\n"
)


def invoke(tmp_path: Path, text: str, *args: str) -> Result:
    (tmp_path / "c.yaml").write_text(text)
    return CliRunner().invoke(check, ["-c", str(tmp_path / "c.yaml"), *args], standalone_mode=False)


def test_a_sound_file_is_fine(tmp_path: Path) -> None:
    done = invoke(tmp_path, GOOD)
    assert done.return_value == 0
    assert "fine: 1 stream (a)" in done.stdout


def test_problems_go_to_standard_error_and_exit_3(tmp_path: Path) -> None:
    done = invoke(tmp_path, GOOD.replace("host", "hst") + "lgo: 1\n")
    assert done.return_value == 3
    assert done.stdout == ""
    assert "c.yaml:2:50: streams[0].source.kind: unknown kind 'hst'" in done.stderr
    assert done.stderr.endswith("c.yaml: 2 problems\n")


def test_json_carries_every_problem_with_its_place(tmp_path: Path) -> None:
    done = invoke(tmp_path, GOOD + "lgo: 1\n", "--format", "json")
    body: dict[str, Any] = json.loads(done.stdout)
    assert (body["schema"], body["ok"], done.return_value) == ("streamer.check/1", False, 3)
    assert body["problems"] == [
        {
            "path": "lgo",
            "problem": "unknown key",
            "hint": "did you mean log?",
            "line": 4,
            "column": 1,
            "where": f"{tmp_path}/c.yaml:4:1",
        }
    ]


@pytest.mark.parametrize("form", ["human", "json"])
def test_the_effective_settings_show_origins_and_no_secret(tmp_path: Path, form: str) -> None:
    done = invoke(tmp_path, GOOD, "--show-effective", "--set", "log.level=debug", "--format", form)
    assert "preset edge" in done.stdout
    assert "--set log.level=debug" in done.stdout
    assert "hunter2" not in done.output


TOPICS = """\
version: 1
streams: [{name: a, source: {kind: kafka, topic: t}, fields: {time: ts, channels: [v]}}]
kafka: {bootstrap_servers: "BROKERS"}
store: {kind: redis, url: "REDIS"}
schema_registry: {url: "REGISTRY"}
"""


def closed_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def nowhere() -> str:
    address = f"127.0.0.1:{closed_port()}"
    text = TOPICS.replace("BROKERS", address).replace("REDIS", f"redis://{address}/0")
    return text.replace("REGISTRY", f"http://{address}")


def test_servers_that_are_not_there_are_told_one_by_one_with_exit_5(tmp_path: Path) -> None:
    done = invoke(tmp_path, nowhere(), "--connect", "--format", "json")
    body = json.loads(done.stdout)
    assert (done.return_value, body["ok"]) == (5, False)
    told = {line["name"].split(" 127")[0]: line for line in body["connect"]}
    assert set(told) == {"kafka broker", "redis", "schema registry"}
    assert all(line["status"] == "fail" and line["fix"] for line in told.values())
    assert (
        "start it" in told["redis"]["fix"]
        and "Connection refused" in told["schema registry"]["detail"]
    )


def test_what_is_wrong_stands_above_what_to_do(tmp_path: Path) -> None:
    lines = invoke(tmp_path, nowhere(), "--connect").stdout.splitlines()
    assert lines[0].startswith("FAIL kafka broker 127.0.0.1:") and lines[1].strip().startswith(
        "-> "
    )
    assert not any("fine" in line for line in lines)


def test_a_file_that_names_no_server_connects_to_nothing(tmp_path: Path) -> None:
    done = invoke(tmp_path, GOOD, "--connect")
    assert done.return_value == 0 and "nothing to connect to" in done.stdout


@pytest.mark.needs_kafka
@pytest.mark.needs_redis
def test_servers_that_answer_are_fine(
    tmp_path: Path, kafka: Kafka, redis_server: RunningRedis, topic: str
) -> None:
    kafka.create_topic(topic, partitions=3)
    text = (
        TOPICS.replace("BROKERS", kafka.bootstrap)
        .replace("REDIS", redis_server.url)
        .replace("topic: t", f"topic: {topic}")
    )
    done = invoke(tmp_path, text[: text.index("schema_registry")], "--connect", "--format", "json")
    told = {
        line["name"]: (line["status"], line["detail"])
        for line in json.loads(done.stdout)["connect"]
    }
    assert done.return_value == 0, done.stdout
    assert told[f"kafka read topic {topic}"] == ("ok", "3 partitions")
    assert (
        told["kafka group streamer"][0]
        == told["redis"][0]
        == told["clock against redis"][0]
        == "ok"
    )


@pytest.mark.needs_kafka
def test_a_topic_that_is_missing_is_a_failure_with_its_fix(
    tmp_path: Path, kafka: Kafka, topic: str
) -> None:
    text = TOPICS.replace("BROKERS", kafka.bootstrap).replace("topic: t", f"topic: {topic}")
    done = invoke(tmp_path, text[: text.index("store")], "--connect")
    assert done.return_value == 5
    assert (
        f"FAIL kafka read topic {topic}" in done.stdout
        and f"--create --topic {topic}" in done.stdout
    )


def test_effective_settings_stand_in_columns() -> None:
    assert aligned([("a", "1", "x"), ("long.path", "2", "y")]) == [
        "a: 1          # x",
        "long.path: 2  # y",
    ]


@pytest.mark.parametrize("what", ["config", "alert"])
def test_schemas_are_json_schemas(what: str) -> None:
    body = json.loads(CliRunner().invoke(schema, [what]).stdout)
    assert body["$schema"].startswith("https://json-schema.org/")
    assert body["$defs"]


def test_the_schema_of_the_configuration_knows_its_units() -> None:
    body = json.loads(CliRunner().invoke(schema, ["config"]).stdout)
    assert body["$defs"]["Detect"]["properties"]["for"]["examples"] == ["3 of 5", "1 of 1"]
    assert body["$defs"]["Detect"]["properties"]["for"]["default"] == "1 of 1"
    assert body["$defs"]["Window"]["properties"]["late"]["default"] == "1h"
    assert body["$defs"]["Detect"]["additionalProperties"] is False
    known = {
        "version",
        "streams",
        "kafka",
        "schema_registry",
        "model",
        "sinks",
        "dead_letters",
        "scores",
        "store",
    }
    learning = {"labels", "retrain", "drift"}
    assert set(body["properties"]) == known | learning | {"snapshots", "server", "runtime", "log"}


def test_the_schema_of_the_configuration_knows_the_sections_of_kafka() -> None:
    sections = json.loads(CliRunner().invoke(schema, ["config"]).stdout)["$defs"]
    assert sections["KafkaSource"]["properties"]["session_timeout"]["default"] == "6s"
    assert sections["Kafka"]["properties"]["bootstrap_servers"]["default"] == ["localhost:9092"]
    assert sections["Sasl"]["properties"]["mechanism"]["enum"][-1] == "OAUTHBEARER"
    assert {
        "RedisStore",
        "FileStore",
        "NoStore",
        "DeadLetterTopic",
        "SchemaRegistry",
        "Snapshots",
    } <= set(sections)
