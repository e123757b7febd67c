"""What the documents say holds: their configurations load, their messages are ours, their metrics
and paths exist.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from streamer.cli.main import cli
from streamer.config import Kafka, RedisStore, config_from
from streamer.config.document import parse
from streamer.connect.kafka.diagnosis.causes import Cause
from streamer.connect.storage.redis_client import RIGHTS
from streamer.event import Fate
from streamer.http.metric_table import TABLE

ROOT = Path(__file__).parents[1]
SECURITY = (ROOT / "docs/kafka-security.md").read_text()
SECRETS = {"KAFKA_PASSWORD": "p", "API_KEY": "k", "API_SECRET": "s", "OAUTH_SECRET": "o"}
SNIPPETS = re.findall(r"```yaml\n(.*?)```", SECURITY, re.S)
SIX = (
    Cause.UNREACHABLE,
    Cause.UNKNOWN_CA,
    Cause.CERTIFICATE_MISSING,
    Cause.LOGIN_REFUSED,
    Cause.TOPIC_MISSING,
    Cause.TOPIC_READ,
)


def kafka_of(snippet: str, folder: Path) -> Kafka:
    (folder / "kafka_key").write_text("k")
    text = snippet.replace("/run/secrets", str(folder))
    document = parse(text.encode(), "docs", SECRETS)
    assert not document.problems
    stream = {"name": "s", "source": {"kind": "memory"}}
    return config_from({"version": 1, "streams": [stream], **document.data}, env={}).kafka


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_way_in_is_a_configuration_that_loads(snippet: str, tmp_path: Path) -> None:
    assert kafka_of(snippet, tmp_path).bootstrap_servers


def test_every_protocol_and_every_mechanism_has_its_way_in(tmp_path: Path) -> None:
    found = [kafka_of(snippet, tmp_path).security for snippet in SNIPPETS]
    assert {one.protocol for one in found} == {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}
    mechanisms = {one.sasl.mechanism for one in found if one.sasl is not None}
    assert mechanisms == {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}


@pytest.mark.parametrize("cause", SIX)
def test_the_six_messages_and_their_fixes_are_those_that_are_told(cause: Cause) -> None:
    assert f"| {cause.problem.removesuffix(' ({detail})')} | {cause.fix} |" in SECURITY


NAMES = (
    "README.md",
    "ARCHITECTURE.md",
    "docs/kafka.md",
    "docs/kafka-security.md",
    "docs/delivery.md",
    "docs/learning.md",
    "docs/models.md",
)
DOCUMENTS = [ROOT / name for name in NAMES]
COMMANDS = re.findall(r"^\.venv/bin/streamer (.*)", (ROOT / "README.md").read_text(), re.M)
KNOWN = {entry.exported.removesuffix("_total") for entry in TABLE.values()}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_metric_that_is_named_is_exported(path: Path) -> None:
    named = {
        name.removesuffix("_total") for name in re.findall(r"`(streamer_[a-z_]+)", path.read_text())
    }
    assert named <= KNOWN


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_readme_is_understood(line: str) -> None:
    command: click.Command = cli
    words, context = shlex.split(line, comments=True), None
    while words:
        context = command.make_context(
            command.name, words, parent=context
        )  # UsageError if it is not
        if not isinstance(command, click.Group):
            return
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found


def test_the_map_names_every_room() -> None:
    told = set(re.findall(r"`([a-z_]+)/?`", (ROOT / "ARCHITECTURE.md").read_text()))
    rooms = {path.parent.name for path in (ROOT / "streamer").rglob("__init__.py")}
    assert rooms - {"streamer", "kafka"} <= told


def test_every_module_that_the_map_names_is_there() -> None:
    named = re.findall(r"`((?:[a-z]+/)+[a-z_]+\.py)`", (ROOT / "ARCHITECTURE.md").read_text())
    assert (
        named
        and [
            name
            for name in named
            if not any((ROOT / top / name).exists() for top in ("", "streamer"))
        ]
        == []
    )


def test_the_rules_of_the_house_name_every_fate_of_a_record() -> None:
    [told] = re.findall(
        r"In = (.*?) \+ in flight", " ".join((ROOT / "CONTRIBUTING.md").read_text().split())
    )
    assert told.split(" + ") == [fate.name.lower().replace("_", "-") for fate in Fate]


def test_the_store_of_the_document_loads_and_its_user_may_do_what_we_ask_for() -> None:
    text = (ROOT / "docs/kafka.md").read_text()
    [snippet] = re.findall(r"```yaml\n(store:.*?)```", text, re.S)
    document = parse(snippet.encode(), "docs", {"REDIS_PASSWORD": "p"})
    store = config_from(
        {"version": 1, "streams": [{"name": "s", "source": {"kind": "memory"}}], **document.data}
    ).store
    assert isinstance(store, RedisStore)
    assert f"SETUSER {store.username} on >... ~{store.prefix}:* ~{store.prefix}!* {RIGHTS}`" in text


def test_the_fields_beside_the_value_are_written_as_the_document_says() -> None:
    [snippet] = re.findall(r"```yaml\n(fields:.*?)```", (ROOT / "docs/kafka.md").read_text(), re.S)
    document = parse(snippet.encode(), "docs", {})
    stream = {"name": "s", "source": {"kind": "kafka", "topic": "t"}, **document.data}
    assert config_from({"version": 1, "streams": [stream]}, env={}).streams[0].fields.entity == (
        "@key",
    )
