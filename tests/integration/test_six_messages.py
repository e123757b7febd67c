"""The six messages of docs/kafka-security.md, as `run` says them: exit code 5, the cause, its fix,
no secret.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers.secured import SecuredKafka

pytestmark = [pytest.mark.integration, pytest.mark.needs_kafka]
ROOT = Path(__file__).parents[2]
SECRETS = ("not-the-password", "alice-secret", "stranger-secret")
ENDS_S = 60.0


def login(user: str, password: str) -> Callable[[SecuredKafka], dict[str, Any]]:
    def section(kafka: SecuredKafka) -> dict[str, Any]:
        sasl = {"mechanism": "SCRAM-SHA-512", "username": user, "password": password}
        security = {"protocol": "SASL_SSL", "ca": str(kafka.certificates.ca), "sasl": sasl}
        return {"bootstrap_servers": kafka.at("SCRAM"), "security": security}

    return section


def unknown_authority(kafka: SecuredKafka) -> dict[str, Any]:
    security = {"protocol": "SSL", "ca": str(kafka.certificates.foreign_ca)}
    return {"bootstrap_servers": kafka.at("TLS"), "security": security}


def no_certificate(kafka: SecuredKafka) -> dict[str, Any]:
    security = {"protocol": "SSL", "ca": str(kafka.certificates.ca)}
    return {"bootstrap_servers": kafka.at("MTLS"), "security": security}


def nobody_there(kafka: SecuredKafka) -> dict[str, Any]:
    return {"bootstrap_servers": "127.0.0.1:1"}


@dataclass(frozen=True)
class Case:
    """A way to fail; the message as the document has it, its address and names filled in."""

    cluster: Callable[[SecuredKafka], dict[str, Any]]
    message: str
    made: bool = True  # whether the topic is there


CASES = {
    "unreachable host": Case(nobody_there, "no broker answers at {address}"),
    "unknown authority": Case(
        unknown_authority,
        "the certificate of {address} is signed by an authority that is not trusted here",
    ),
    "missing client certificate": Case(
        no_certificate, "{address} asks for a client certificate, and there is none"
    ),
    "wrong password": Case(
        login("alice", "not-the-password"), "{address} refuses the login of {user} by {mechanism}"
    ),
    "missing topic": Case(login("alice", "alice-secret"), "there is no topic {name}", made=False),
    "missing permission": Case(
        login("stranger", "stranger-secret"), "{user} may not read the topic {name}"
    ),
}


def documented() -> dict[str, str]:
    """The table of the document: message -> fix."""
    text = (ROOT / "docs" / "kafka-security.md").read_text().partition("## The six messages")[2]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1] for row in rows[1:]}


def test_the_document_has_these_six() -> None:
    assert set(documented()) == {case.message for case in CASES.values()}


@pytest.mark.parametrize("name", CASES)
def test_run_says_which_it_was_and_what_to_do(
    secured_kafka: SecuredKafka, topic: str, tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    if case.made:
        secured_kafka.create_topic(topic)
    section = case.cluster(secured_kafka)
    sasl = section.get("security", {}).get("sasl", {})
    words = {
        "address": section["bootstrap_servers"],
        "name": topic,
        "user": sasl.get("username", ""),
        "mechanism": sasl.get("mechanism", ""),
    }
    done = run(tmp_path, topic, section)
    assert (done.returncode, done.stdout) == (5, "")
    problem, fix = case.message.format_map(words), documented()[case.message].format_map(words)
    assert problem in done.stderr and fix in done.stderr.partition(problem)[2]
    assert "Traceback" not in done.stderr and not any(secret in done.stderr for secret in SECRETS)


def run(folder: Path, topic: str, cluster: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    stream = {
        "name": "s",
        "source": {"kind": "kafka", "topic": topic, "group": topic},
        "fields": {"time": "ts", "channels": ["x"]},
    }
    body = {
        "version": 1,
        "kafka": {"request_timeout": "2s", **cluster},
        "streams": [stream],
        "model": {"backend": "baseline"},
        "server": {"enabled": False},
    }
    (folder / "c.yaml").write_text(json.dumps(body))
    return subprocess.run(
        [sys.executable, "-m", "streamer.cli", "run", "-c", str(folder / "c.yaml")],
        check=False,
        cwd=ROOT,
        env=dict(os.environ),
        text=True,
        capture_output=True,
        timeout=ENDS_S,
    )
