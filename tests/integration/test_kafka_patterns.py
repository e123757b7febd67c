"""A pattern that matches nothing, or nothing that may be read: it is told, it is no end, and it
passes by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer import config
from streamer.connect.kafka.consumer import group_member, standalone
from streamer.connect.kafka.consumer.factory import open_topics
from tests.cli.calls import call
from tests.integration.sources import (
    Beside,
    Driver,
    from_position,
    json_decoder,
    open_source,
    produce,
    section,
)
from tests.servers.admin import Kafka
from tests.servers.secured import SecuredKafka

pytestmark = pytest.mark.needs_kafka
AGE_MS = 3_000  # so often new topics are looked for here; thirty seconds in a daemon


@pytest.fixture
def rules(secured_kafka: SecuredKafka) -> Iterator[SecuredKafka]:
    """What stranger is allowed in a test is taken back."""
    yield secured_kafka
    secured_kafka.forbid("stranger")


@pytest.mark.slow
def test_a_pattern_that_matches_nothing_is_trouble_until_a_topic_is_there(
    kafka: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (group_member, standalone):
        monkeypatch.setattr(room, "METADATA_AGE_MS", AGE_MS)
    with (
        Driver(open_source(kafka.bootstrap, pattern=f"{topic}\\..*", group=topic)) as member,
        Beside(
            open_source(kafka.bootstrap, pattern=f"{topic}\\..*", group=topic, joins=False)
        ) as onlooker,
    ):
        both = member, onlooker.driver
        member.until(lambda: all("matches" in (one.source.problem or "") for one in both))
        member.rest(5.0)
        for one in both:
            assert f"no topic that ANONYMOUS may see matches {topic}" in str(one.source.problem)
            assert not one.source.at_end
        produce(kafka.bootstrap, kafka.create_topic(f"{topic}.a"), 3)
        member.until(lambda: all(one.seen.records == 3 for one in both))
        member.until(lambda: all(one.source.problem is None and one.source.at_end for one in both))


def login(kafka: SecuredKafka) -> dict[str, object]:
    sasl = {"mechanism": "SCRAM-SHA-512", "username": "stranger", "password": "stranger-secret"}
    security = {"protocol": "SASL_SSL", "ca": str(kafka.certificates.ca), "sasl": sasl}
    return {"bootstrap_servers": kafka.at("SCRAM"), "security": security}


def checked(
    kafka: SecuredKafka, folder: Path, pattern: str
) -> tuple[int, dict[str, tuple[str, str, str | None]]]:
    """Exit code, and status, detail and fix of what `check --connect` says about topics."""
    source = {"kind": "kafka", "pattern": pattern, "group": "its-group"}
    stream = {"name": "s", "source": source, "fields": {"time": "ts", "channels": ["x"]}}
    body = {
        "version": 1,
        "kafka": login(kafka),
        "streams": [stream],
        "model": {"backend": "baseline"},
    }
    (folder / "c.yaml").write_text(json.dumps(body))
    done = call("check", "-c", folder / "c.yaml", "--connect", "--format", "json")
    told = json.loads(done.stdout)["connect"]
    return done.exit_code, {
        line["name"].removeprefix("kafka "): (line["status"], line["detail"], line["fix"])
        for line in told
        if line["name"].startswith("kafka read")
    }


def test_a_check_looks_into_what_a_pattern_matches(
    rules: SecuredKafka, topic: str, tmp_path: Path
) -> None:
    rules.create_topic(f"{topic}.a", 2)
    rules.create_topic(f"{topic}.b")
    rules.allow_group("stranger", "its-group")
    pattern = f"{topic}[.].*"
    code, found = checked(rules, tmp_path, pattern)
    ((status, detail, fix),) = found.values()
    assert (code, status, detail) == (
        5,
        "fail",
        f"no topic that stranger may see matches {pattern}",
    )
    assert "source.pattern" in str(fix) and "--operation READ" in str(fix)
    rules.allow_topic("stranger", f"{topic}.a", "READ")
    code, found = checked(rules, tmp_path, pattern)
    assert (code, found) == (0, {f"read topics {pattern}": ("ok", "1 topics, 2 partitions", None)})
    rules.allow_topic("stranger", f"{topic}.b", "DESCRIBE")
    code, found = checked(rules, tmp_path, pattern)
    assert (
        code == 5
        and found[f"read topic {topic}.b"][1] == f"stranger may not read the topic {topic}.b"
    )


def test_a_pattern_of_topics_that_may_not_be_read_is_trouble_and_no_end(
    rules: SecuredKafka, topic: str
) -> None:
    rules.create_topic(f"{topic}.a")
    rules.allow_group("stranger", topic)
    cluster, pattern = config.Kafka.model_validate(login(rules)), f"{topic}[.].*"
    reads = section(pattern=pattern, group=topic)
    with Driver(open_topics(cluster, reads, json_decoder, from_position)) as hidden:
        hidden.until(lambda: f"may see matches {pattern}" in (hidden.source.problem or ""))
        hidden.rest(5.0)
        assert not hidden.source.at_end
    rules.allow_topic("stranger", f"{topic}.a", "DESCRIBE")
    with Driver(open_topics(cluster, reads, json_decoder, from_position)) as forbidden:
        forbidden.until(
            lambda: f"--operation READ --topic {topic}.a" in (forbidden.source.problem or "")
        )
        forbidden.rest(5.0)
        assert not forbidden.source.at_end
