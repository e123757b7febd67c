"""`check --connect` against real servers: what is wrong is named with its fix, and no secret with
it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.config import RedisStore
from streamer.connect.base.reach import clock_against
from streamer.connect.storage.redis_reach import reach
from tests.cli.calls import call
from tests.servers.redis_server import RedisServer
from tests.servers.secured import SecuredKafka

PASSWORD = "the-password-of-redis"


@pytest.fixture
def servers(tmp_path: Path, own_redis: None) -> Iterator[list[RedisServer]]:
    """Whatever a test starts is closed."""
    started: list[RedisServer] = []
    yield started
    for server in started:
        server.close()


def answers(server: RedisServer, password: str | None = None) -> list[tuple[str, str, str, str]]:
    section = RedisStore.model_validate(
        {"kind": "redis", "url": f"redis://127.0.0.1:{server.port}/0", "password": password}
    )
    return [(found.name, found.status, found.detail, found.fix) for found in reach(None, [section])]


def started(servers: list[RedisServer], directory: Path, **settings: Any) -> RedisServer:
    servers.append(RedisServer(directory / str(len(servers)), **settings).start())
    return servers[-1]


def test_a_redis_with_its_password_is_fine_and_its_clock_is_ours(
    tmp_path: Path, servers: list[RedisServer]
) -> None:
    server = started(servers, tmp_path, password=PASSWORD)
    assert [status for _, status, *_ in answers(server, PASSWORD)] == ["ok", "ok"]


@pytest.mark.parametrize("password", [None, "wrong-password"])
def test_a_password_that_is_missing_or_wrong_is_named(
    tmp_path: Path, servers: list[RedisServer], password: str | None
) -> None:
    ((_, status, detail, fix),) = answers(started(servers, tmp_path, password=PASSWORD), password)
    assert status == "fail" and "refuses the login" in detail and "store.password" in fix
    assert "wrong-password" not in detail + fix and PASSWORD not in detail + fix


def test_a_redis_that_is_full_or_a_replica_or_away_is_named(
    tmp_path: Path, servers: list[RedisServer]
) -> None:
    for settings, words in (
        ({"maxmemory": "1kb"}, "is full"),
        ({"replicaof": "127.0.0.1 1"}, "is a replica"),
    ):
        ((_, status, detail, fix),) = answers(started(servers, tmp_path, **settings))
        assert status == "fail" and words in detail and fix
    servers[0].close()
    ((_, status, detail, fix),) = answers(servers[0])
    assert status == "fail" and "cannot be reached" in detail and "start it" in fix


def test_a_redis_that_hangs_is_named_within_seconds(
    tmp_path: Path, servers: list[RedisServer]
) -> None:
    server = started(servers, tmp_path)
    server.pause()
    ((_, status, detail, fix),) = answers(server)
    assert status == "fail" and "does not answer" in detail and fix


def test_a_redis_that_forgets_is_a_warning(tmp_path: Path, servers: list[RedisServer]) -> None:
    server = started(servers, tmp_path, maxmemory="64mb", maxmemory_policy="allkeys-lru")
    found = answers(server)
    assert [status for _, status, *_ in found] == ["ok", "ok", "warn"] and "allkeys-lru" in found[
        2
    ][2]


def test_the_question_leaves_no_key_behind(tmp_path: Path, servers: list[RedisServer]) -> None:
    import redis

    server = started(servers, tmp_path)
    answers(server)
    with redis.Redis(port=server.port) as client:
        assert client.keys("*") == []


@pytest.mark.parametrize(
    ("skew_s", "status"), [(0.0, "ok"), (-1.9, "ok"), (2.1, "warn"), (-3600.0, "warn")]
)
def test_clocks_may_be_two_seconds_apart(skew_s: float, status: str) -> None:
    assert clock_against("redis", skew_s).status == status


SECURED = """\
version: 1
streams: [{name: a, source: {kind: kafka, topic: TOPIC, group: g}, fields: {time: ts, channels: [v]}}]
kafka:
  bootstrap_servers: SERVER
  security: {protocol: SASL_SSL, ca: CA, sasl: {mechanism: SCRAM-SHA-512, username: USER, password: WORD}}
sinks: [{kind: kafka, topic: OUT}]
"""


def checked(
    kafka: SecuredKafka, path: Path, topic: str, user: str, word: str
) -> tuple[int, dict[str, Any]]:
    text = SECURED.replace("SERVER", kafka.at("SCRAM")).replace("CA", str(kafka.certificates.ca))
    text = (
        text.replace("TOPIC", topic)
        .replace("OUT", f"{topic}.out")
        .replace("USER", user)
        .replace("WORD", word)
    )
    (path / "c.yaml").write_text(text)
    done = call("check", "-c", path / "c.yaml", "--connect", "--format", "json")
    assert word not in done.stdout + done.stderr
    return done.exit_code, {line["name"]: line for line in json.loads(done.stdout)["connect"]}


@pytest.mark.needs_kafka
def test_each_permission_that_lacks_has_its_line(
    secured_kafka: SecuredKafka, tmp_path: Path, topic: str
) -> None:
    secured_kafka.create_topic(topic)
    secured_kafka.create_topic(f"{topic}.out")
    code, fine = checked(secured_kafka, tmp_path, topic, "alice", "alice-secret")
    assert code == 0 and all(line["status"] == "ok" for line in fine.values()) and len(fine) == 4
    code, found = checked(secured_kafka, tmp_path, topic, "stranger", "stranger-secret")
    lacking = {f"kafka read topic {topic}", f"kafka write topic {topic}.out", "kafka group g"}
    assert (
        code == 5 and {name for name, line in found.items() if line["status"] == "fail"} == lacking
    )
    assert all("stranger" in found[name]["detail"] and found[name]["fix"] for name in lacking)


@pytest.mark.needs_kafka
def test_a_wrong_password_is_one_line_about_the_login(
    secured_kafka: SecuredKafka, tmp_path: Path, topic: str
) -> None:
    code, found = checked(secured_kafka, tmp_path, topic, "alice", "not-the-password")
    (line,) = found.values()
    assert (
        code == 5 and "refuses the login of alice" in line["detail"] and "password" in line["fix"]
    )
