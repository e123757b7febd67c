"""What the documents say holds: their configurations load, their messages are ours, their metrics and paths exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamer.config import Kafka, config_from
from streamer.config.document import parse
from streamer.connect.kafka.causes import Cause

ROOT = Path(__file__).parents[1]
SECURITY = (ROOT / "docs/kafka-security.md").read_text()
SECRETS = {"KAFKA_PASSWORD": "p", "API_KEY": "k", "API_SECRET": "s", "OAUTH_SECRET": "o"}
SNIPPETS = re.findall(r"```yaml\n(.*?)```", SECURITY, re.S)
SIX = (
    Cause.UNREACHABLE, Cause.UNKNOWN_CA, Cause.CERTIFICATE_MISSING, Cause.LOGIN_REFUSED, Cause.TOPIC_MISSING,
    Cause.TOPIC_READ,
)  # fmt: skip


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
