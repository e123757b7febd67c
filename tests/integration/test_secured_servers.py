"""The secured servers let in whom they should, and nobody else: otherwise tests of security prove
nothing.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.servers.child import wait_until
from tests.servers.secured import SecuredKafka

Doors = Callable[[SecuredKafka], dict[str, Any]]


def _tls(kafka: SecuredKafka) -> dict[str, Any]:
    return {"ssl.ca.location": str(kafka.certificates.ca)}


def _sasl(mechanism: str, password: str = "alice-secret", user: str = "alice") -> dict[str, Any]:
    return {"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": password}


def _scram_256(kafka: SecuredKafka) -> dict[str, Any]:
    return (
        _tls(kafka) | _sasl("SCRAM-SHA-256") | {"bootstrap.servers": kafka.at("SCRAM"), **_over_tls}
    )


def _scram_512(kafka: SecuredKafka) -> dict[str, Any]:
    return (
        _tls(kafka) | _sasl("SCRAM-SHA-512") | {"bootstrap.servers": kafka.at("SCRAM"), **_over_tls}
    )


def _plain(kafka: SecuredKafka) -> dict[str, Any]:
    return _sasl("PLAIN") | {
        "bootstrap.servers": kafka.at("PLAIN"),
        "security.protocol": "SASL_PLAINTEXT",
    }


def _plain_over_tls(kafka: SecuredKafka) -> dict[str, Any]:
    return _tls(kafka) | _sasl("PLAIN") | {"bootstrap.servers": kafka.at("PLAINS"), **_over_tls}


def _certificate(kafka: SecuredKafka) -> dict[str, Any]:
    client = kafka.certificates.client
    own = {"ssl.certificate.location": str(client.certificate), "ssl.key.location": str(client.key)}
    return _tls(kafka) | own | {"bootstrap.servers": kafka.at("MTLS"), "security.protocol": "SSL"}


def _token(kafka: SecuredKafka) -> dict[str, Any]:
    own = {
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": "alice",
        "sasl.oauthbearer.client.secret": "alice-secret",
        "sasl.oauthbearer.token.endpoint.url": kafka.tokens.url,
    }
    return _tls(kafka) | own | {"bootstrap.servers": kafka.at("TOKENS"), **_over_tls}


_over_tls = {"security.protocol": "SASL_SSL"}
DOORS: list[Doors] = [_scram_256, _scram_512, _plain, _plain_over_tls, _certificate, _token]


def _topics(options: dict[str, Any]) -> set[str]:
    return set(AdminClient(options | {"log_level": 0}).list_topics(timeout=10.0).topics)


@pytest.mark.parametrize("door", DOORS)
def test_who_has_the_key_comes_in(secured_kafka: SecuredKafka, topic: str, door: Doors) -> None:
    secured_kafka.create_topic(topic)
    assert topic in _topics(door(secured_kafka))


def _refused(options: dict[str, Any]) -> str:
    """What the client says about it; the listing must fail."""
    told: list[str] = []
    client = AdminClient(
        options | {"log_level": 0, "error_cb": lambda error: told.append(error.str())}
    )
    with pytest.raises(KafkaException):
        client.list_topics(timeout=1.0)
    wait_until(
        lambda: client.poll(0.1) >= 0 and bool(told), timeout_s=20.0, what="the reason of a refusal"
    )
    return " ".join(told)


def test_a_wrong_password_stays_outside(secured_kafka: SecuredKafka) -> None:
    assert "uthentication fail" in _refused(_scram_512(secured_kafka) | {"sasl.password": "wrong"})


def test_who_trusts_another_authority_does_not_come_in(secured_kafka: SecuredKafka) -> None:
    foreign = {"ssl.ca.location": str(secured_kafka.certificates.foreign_ca)}
    assert "certificate verify failed" in _refused(_scram_512(secured_kafka) | foreign)


def test_without_a_client_certificate_mtls_refuses(secured_kafka: SecuredKafka) -> None:
    bare = _tls(secured_kafka) | {
        "bootstrap.servers": secured_kafka.at("MTLS"),
        "security.protocol": "SSL",
    }
    assert "certificate" in _refused(bare)


def test_another_hosts_certificate_is_seen_through(secured_kafka: SecuredKafka) -> None:
    bare = _tls(secured_kafka) | {
        "bootstrap.servers": secured_kafka.at("MISNAMED"),
        "security.protocol": "SSL",
    }
    assert "certificate verify failed" in _refused(bare)
    assert _topics(bare | {"ssl.endpoint.identification.algorithm": "none"}) is not None


def test_a_stranger_sees_nothing_until_allowed(secured_kafka: SecuredKafka, topic: str) -> None:
    secured_kafka.create_topic(topic)
    stranger = _scram_512(secured_kafka) | _sasl("SCRAM-SHA-512", "stranger-secret", "stranger")
    assert topic not in _topics(stranger)
    secured_kafka.allow_topic("stranger", topic, "DESCRIBE")
    assert topic in _topics(stranger)


def test_the_token_endpoint_gives_nothing_for_a_wrong_secret(secured_kafka: SecuredKafka) -> None:
    form = b"grant_type=client_credentials&client_id=alice&client_secret="
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(secured_kafka.tokens.url, form + b"wrong")
    with urllib.request.urlopen(secured_kafka.tokens.url, form + b"alice-secret") as answer:
        assert json.load(answer)["token_type"] == "Bearer"
