"""Every way to log in carries a record there and back; every way to fail says which it was, soon,
and no secret.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from streamer.config import Kafka
from streamer.connect.kafka.client import client
from streamer.connect.kafka.diagnosis.connect_check import probe
from streamer.connect.kafka.diagnosis.explain import explain
from tests.servers.secured import SecuredKafka
from tests.servers.tokens import TokenEndpoint

pytestmark = pytest.mark.needs_kafka

Way = Callable[[SecuredKafka], Kafka]
WRONG = "not-the-password"
EXPLAIN_S = 10.0


def _section(server: str, protocol: str, **security: Any) -> Kafka:
    found = {
        "bootstrap_servers": server,
        "request_timeout": "3s",
        "security": {"protocol": protocol, **security},
    }
    return Kafka.model_validate(found)


def _ca(kafka: SecuredKafka) -> str:
    return str(kafka.certificates.ca)


def _login(mechanism: str, user: str = "alice", password: str | None = None) -> dict[str, str]:
    return {"mechanism": mechanism, "username": user, "password": password or f"{user}-secret"}


def _grant(url: str, secret: str = "alice-secret") -> dict[str, Any]:
    return {
        "mechanism": "OAUTHBEARER",
        "token": {"url": url, "client_id": "alice", "client_secret": secret},
    }


def plain_text(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("PLAINTEXT"), "PLAINTEXT")


def tls(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("TLS"), "SSL", ca=_ca(kafka))


def client_certificate(kafka: SecuredKafka) -> Kafka:
    own = kafka.certificates.client
    return _section(
        kafka.at("MTLS"), "SSL", ca=_ca(kafka), certificate=str(own.certificate), key=str(own.key)
    )


def locked_key(kafka: SecuredKafka) -> Kafka:
    files = kafka.certificates
    own = {
        "certificate": str(files.client.certificate),
        "key": str(files.locked),
        "key_password": files.password,
    }
    return _section(kafka.at("MTLS"), "SSL", ca=_ca(kafka), **own)


def plain(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("PLAIN"), "SASL_PLAINTEXT", sasl=_login("PLAIN"))


def plain_over_tls(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("PLAINS"), "SASL_SSL", ca=_ca(kafka), sasl=_login("PLAIN"))


def scram_256(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("SCRAM"), "SASL_SSL", ca=_ca(kafka), sasl=_login("SCRAM-SHA-256"))


def scram_512(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("SCRAM"), "SASL_SSL", ca=_ca(kafka), sasl=_login("SCRAM-SHA-512"))


def token(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("TOKENS"), "SASL_SSL", ca=_ca(kafka), sasl=_grant(kafka.tokens.url))


WAYS: list[Way] = [
    plain_text,
    client_certificate,
    locked_key,
    plain,
    plain_over_tls,
    scram_256,
    scram_512,
    token,
]


@pytest.mark.parametrize("way", WAYS)
def test_a_record_goes_there_and_back(secured_kafka: SecuredKafka, topic: str, way: Way) -> None:
    kafka = way(secured_kafka)
    secured_kafka.create_topic(topic)
    _write(kafka, topic, b"there and back")
    assert _read(kafka, topic) == [b"there and back"]


def test_tls_without_a_login_is_encrypted_and_nobody_in_particular(
    secured_kafka: SecuredKafka, topic: str
) -> None:
    secured_kafka.create_topic(topic)
    _write(tls(secured_kafka), topic, b"x")
    assert _read(tls(secured_kafka), topic) == [b"x"]


@pytest.mark.parametrize("way", WAYS)
def test_a_probe_of_what_works_finds_nothing(
    secured_kafka: SecuredKafka, topic: str, way: Way
) -> None:
    secured_kafka.create_topic(topic, 2)
    found = probe(way(secured_kafka), [topic], "group of the probe", writes=[topic])
    assert [one.name.split()[0] for one in found] == ["broker", "read", "write", "group"]
    assert [one for one in found if not one.ok] == []


def wrong_scram_password(kafka: SecuredKafka) -> Kafka:
    return _section(
        kafka.at("SCRAM"), "SASL_SSL", ca=_ca(kafka), sasl=_login("SCRAM-SHA-512", password=WRONG)
    )


def wrong_plain_password(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("PLAIN"), "SASL_PLAINTEXT", sasl=_login("PLAIN", password=WRONG))


def other_mechanism(kafka: SecuredKafka) -> Kafka:
    return _section(
        kafka.at("SCRAM"), "SASL_SSL", ca=_ca(kafka), sasl=_login("PLAIN", password=WRONG)
    )


def unknown_authority(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("TLS"), "SSL", ca=str(kafka.certificates.foreign_ca))


def another_name(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("MISNAMED"), "SSL", ca=_ca(kafka))


def no_certificate(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("MTLS"), "SSL", ca=_ca(kafka))


def foreign_certificate(kafka: SecuredKafka) -> Kafka:
    own = kafka.certificates.foreign_client
    return _section(
        kafka.at("MTLS"), "SSL", ca=_ca(kafka), certificate=str(own.certificate), key=str(own.key)
    )


def unreachable(kafka: SecuredKafka) -> Kafka:
    return _section("127.0.0.1:1", "PLAINTEXT")


def no_tls_here(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("PLAINTEXT"), "SSL", ca=_ca(kafka))


def tls_here(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("TLS"), "PLAINTEXT")


def no_login(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("SCRAM"), "SSL", ca=_ca(kafka))


def unwanted_login(kafka: SecuredKafka) -> Kafka:
    return _section(kafka.at("PLAINTEXT"), "SASL_PLAINTEXT", sasl=_login("PLAIN", password=WRONG))


def wrong_client_secret(kafka: SecuredKafka) -> Kafka:
    return _section(
        kafka.at("TOKENS"), "SASL_SSL", ca=_ca(kafka), sasl=_grant(kafka.tokens.url, WRONG)
    )


REFUSED: list[tuple[Way, str, str]] = [  # what it is, a part of the message, a part of its fix
    (unreachable, "no broker answers at 127.0.0.1:1", "start the broker"),
    (unknown_authority, "signed by an authority that is not trusted here", "kafka.security.ca"),
    (another_name, "is for another host", "advertised.listeners"),
    (
        no_certificate,
        "asks for a client certificate, and there is none",
        "kafka.security.certificate",
    ),
    (foreign_certificate, "refuses the client certificate", "the broker's trust store"),
    (
        wrong_scram_password,
        "refuses the login of alice by SCRAM-SHA-512",
        "sasl.username and password",
    ),
    (wrong_plain_password, "refuses the login of alice by PLAIN", "sasl.username and password"),
    (
        other_mechanism,
        "has not enabled PLAIN (it offers SCRAM-SHA-256, SCRAM-SHA-512)",
        "sasl.mechanism",
    ),
    (no_tls_here, "does not speak TLS", "PLAINTEXT or SASL_PLAINTEXT"),
    (tls_here, "speaks TLS only", "SSL or SASL_SSL"),
    (no_login, "asks for a login", "SASL_SSL or SASL_PLAINTEXT"),
    (unwanted_login, "takes no login", "SSL or PLAINTEXT"),
    (wrong_client_secret, "401 invalid_client", "kafka.security.sasl.token"),
]


@pytest.mark.parametrize(("way", "problem", "fix"), REFUSED)
def test_a_refusal_says_which_it_was_and_what_to_do(
    secured_kafka: SecuredKafka, caplog: pytest.LogCaptureFixture, way: Way, problem: str, fix: str
) -> None:
    kafka = way(secured_kafka)
    with pytest.raises(KafkaError) as refused:
        client.connect(KafkaConsumer, kafka)
    start_s = time.monotonic()
    told = explain(kafka, refused.value)
    assert time.monotonic() - start_s < EXPLAIN_S
    assert problem in told
    assert fix in told.partition(problem)[2]
    assert sum(other in told for _, other, _ in REFUSED) == 1
    everything = (
        told + caplog.text + "".join(traceback.format_exception(refused.value)) + repr(kafka)
    )
    assert WRONG not in everything


@pytest.fixture
def foreign_tokens(tmp_path: Path) -> Iterator[TokenEndpoint]:
    """Signs with a key that the brokers do not know."""
    endpoint = TokenEndpoint(tmp_path, {"alice": "alice-secret"}).start()
    yield endpoint
    endpoint.close()


def test_a_token_that_the_broker_does_not_trust_is_told_from_none(
    secured_kafka: SecuredKafka, foreign_tokens: TokenEndpoint
) -> None:
    sasl = _grant(foreign_tokens.url)
    told = explain(
        _section(secured_kafka.at("TOKENS"), "SASL_SSL", ca=_ca(secured_kafka), sasl=sasl)
    )
    assert "refuses the token of alice" in told
    assert "issuer, audience and scope" in told


def stranger(kafka: SecuredKafka) -> Kafka:
    """Somebody who may log in, and then nothing."""
    return _section(kafka.at("PLAIN"), "SASL_PLAINTEXT", sasl=_login("PLAIN", "stranger"))


def test_a_topic_that_may_not_be_read_is_told_from_a_missing_one(
    secured_kafka: SecuredKafka, topic: str
) -> None:
    """Lists leave out what we may not see, so that the client takes both for missing."""
    kafka, gone = stranger(secured_kafka), f"{topic}-gone"
    secured_kafka.create_topic(topic)
    assert f"stranger may not read the topic {topic}" in explain(
        kafka, UnknownTopicOrPartitionError(topic)
    )
    told = explain(plain(secured_kafka), UnknownTopicOrPartitionError(gone))
    assert told.startswith(
        f"there is no topic {gone}: create it (kafka-topics --create --topic {gone})"
    )


def test_a_topic_that_may_be_seen_and_not_read_is_denied(
    secured_kafka: SecuredKafka, topic: str
) -> None:
    kafka = stranger(secured_kafka)
    secured_kafka.create_topic(topic)
    secured_kafka.allow_topic("stranger", topic, "DESCRIBE")
    with pytest.raises(TopicAuthorizationFailedError) as denied:
        _read(kafka, topic)
    told = explain(kafka, denied.value)
    assert f"stranger lacks a permission on the topic {topic}" in told
    assert f"--operation READ --topic {topic}" in told


def test_a_topic_that_may_be_seen_and_not_written_is_denied(
    secured_kafka: SecuredKafka, topic: str
) -> None:
    kafka = stranger(secured_kafka)
    secured_kafka.create_topic(topic)
    secured_kafka.allow_topic("stranger", topic, "DESCRIBE")
    with pytest.raises(KafkaError) as denied:
        _write(kafka, topic, b"x")
    told = explain(kafka, denied.value)
    assert "stranger may not write" in told
    assert "--operation WRITE" in told


def test_a_group_that_may_not_be_joined_is_named(secured_kafka: SecuredKafka, topic: str) -> None:
    kafka = stranger(secured_kafka)
    secured_kafka.create_topic(topic)
    secured_kafka.allow_topic("stranger", topic, "READ", "DESCRIBE")
    consumer = client.connect(KafkaConsumer, kafka, group_id="their-group", metrics_enabled=False)
    try:
        consumer.subscribe([topic])
        with pytest.raises(GroupAuthorizationFailedError) as denied:
            _poll(consumer, 5.0)
    finally:
        consumer.close()
    told = explain(kafka, denied.value)
    assert "stranger may not use the consumer group their-group" in told
    assert "--operation READ --group their-group" in told


def test_a_probe_tells_reading_from_writing_from_the_group(
    secured_kafka: SecuredKafka, topic: str
) -> None:
    secured_kafka.create_topic(topic)
    secured_kafka.allow_topic("stranger", topic, "READ")
    start_s = time.monotonic()
    found = {
        one.name: one
        for one in probe(stranger(secured_kafka), [topic], "their-group", writes=[topic])
    }
    assert time.monotonic() - start_s < EXPLAIN_S
    assert found[f"read topic {topic}"].ok
    assert "--operation WRITE" in found[f"write topic {topic}"].fix
    assert "may not use the consumer group" in found["group their-group"].detail


def test_a_probe_joins_nothing_and_makes_nothing(secured_kafka: SecuredKafka, topic: str) -> None:
    probe(plain(secured_kafka), [topic], f"{topic}-group", writes=[topic])
    assert topic not in secured_kafka.admin.list_topics(timeout=10.0).topics
    listed = secured_kafka.admin.list_consumer_groups(request_timeout=10.0).result(10.0)
    assert f"{topic}-group" not in {group.group_id for group in listed.valid}


def _write(kafka: Kafka, topic: str, value: bytes) -> None:
    producer = client.connect(KafkaProducer, kafka, max_block_ms=10_000)
    try:
        producer.send(topic, value).get(timeout=10)
    finally:
        producer.close(timeout=5)


def _read(kafka: Kafka, topic: str) -> list[bytes]:
    consumer = client.connect(
        KafkaConsumer, kafka, auto_offset_reset="earliest", metrics_enabled=False
    )
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return _poll(consumer, 10.0)
    finally:
        consumer.close()


def _poll(consumer: Any, limit_s: float) -> list[bytes]:
    end_s = time.monotonic() + limit_s
    found: list[bytes] = []
    while not found and time.monotonic() < end_s:
        found = [
            record.value for records in consumer.poll(timeout_ms=200).values() for record in records
        ]
    return found
