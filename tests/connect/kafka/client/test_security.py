"""TLS is verified, files are checked at the start, and secrets are seen by the client only."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from streamer.config import Kafka
from streamer.connect.kafka.client import client, security
from streamer.errors import ConfigError
from tests.connect.kafka.conftest import section
from tests.servers.certificates import Certificates

LOGIN = {"mechanism": "SCRAM-SHA-512", "username": "alice", "password": "hunter-two"}
TOKEN = {
    "url": "https://login.example/token",
    "client_id": "alice",
    "client_secret": "hunter-three",
}
SECRETS = ("hunter-two", "hunter-three", Certificates.password)


def test_the_broker_is_verified_unless_told_otherwise(certificates: Certificates) -> None:
    context = security.tls_context(
        section("b:9093", protocol="SSL", ca=str(certificates.ca)).security
    )
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_without_names_the_authority_is_still_verified(certificates: Certificates) -> None:
    kafka = section("b:9093", protocol="SSL", ca=str(certificates.ca), verify_hostname=False)
    context = security.tls_context(kafka.security)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not context.check_hostname


def test_no_secret_shows_in_the_options(certificates: Certificates) -> None:
    tls = {"ca": str(certificates.ca), "certificate": str(certificates.client.certificate)}
    tls |= {"key": str(certificates.locked), "key_password": Certificates.password}
    for sasl in (LOGIN, {"mechanism": "OAUTHBEARER", "token": TOKEN}):
        shown = repr(client.options(section("b:9093", protocol="SASL_SSL", **tls, sasl=sasl)))
        assert not [secret for secret in SECRETS if secret in shown]


def test_the_client_is_given_what_it_needs_to_log_in() -> None:
    options = security.options(section("b:9092", protocol="SASL_PLAINTEXT", sasl=LOGIN))
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (
        "\0".join([options["sasl_plain_username"], options["sasl_plain_password"]])
        == "alice\0hunter-two"
    )


def test_a_locked_key_opens_with_its_password(certificates: Certificates) -> None:
    found = security.options(_locked(certificates, Certificates.password))
    assert found["ssl_password"]() == Certificates.password


@pytest.mark.parametrize("password", [None, "wrong-password"])
def test_a_locked_key_without_its_password_is_refused_and_never_asked_for(
    certificates: Certificates, password: str | None
) -> None:
    with pytest.raises(ConfigError, match=r"kafka\.security\.key.*key_password") as refused:
        security.options(_locked(certificates, password))
    assert "wrong-password" not in str(refused.value)


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
def test_a_file_that_cannot_be_read_is_named(
    certificates: Certificates, tmp_path: Path, name: str
) -> None:
    files = _files(certificates) | {name: str(tmp_path / "gone.pem")}
    with pytest.raises(ConfigError, match=rf"kafka\.security\.{name}: .*gone\.pem cannot be read"):
        security.options(section("b:9093", protocol="SSL", **files))


def test_a_key_of_another_certificate_is_refused(certificates: Certificates) -> None:
    files = _files(certificates) | {"key": str(certificates.foreign_client.key)}
    with pytest.raises(ConfigError, match="does not fit"):
        security.options(section("b:9093", protocol="SSL", **files))


def test_a_file_without_a_certificate_is_no_authority(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    with pytest.raises(ConfigError, match="no usable PEM certificate"):
        security.options(section("b:9093", protocol="SSL", ca=str(tmp_path / "ca.pem")))


@pytest.mark.parametrize(
    ("server", "protocol", "exposed"),
    [
        ("localhost:9092", "PLAINTEXT", False),
        ("127.0.0.9:9092", "PLAINTEXT", False),
        ("[::1]:9092", "PLAINTEXT", False),
        ("kafka:9092", "PLAINTEXT", True),
        ("10.0.0.1:9092", "PLAINTEXT", True),
        ("kafka:9093", "SSL", False),
    ],
)
def test_plain_text_to_another_machine_is_exposed(
    server: str, protocol: str, exposed: bool
) -> None:
    kafka = section("localhost:9092", server, protocol=protocol)
    assert security.exposed(kafka) is exposed
    assert (security.exposure(kafka) is not None) is exposed


def test_what_is_exposed_is_said_with_its_fix() -> None:
    told = (
        security.exposure(
            section("localhost:1", "kafka:9092", protocol="SASL_PLAINTEXT", sasl=LOGIN)
        )
        or ""
    )
    assert "records and the login travel in the clear to kafka:9092" in told
    assert "SASL_SSL" in told
    assert "localhost" not in told


def test_scrubbing_leaves_no_secret() -> None:
    kafka = section("b:9092", protocol="SASL_PLAINTEXT", sasl=LOGIN)
    assert security.scrub(kafka, "x hunter-two y") == "x *** y"


def _files(certificates: Certificates) -> dict[str, str]:
    client_is = certificates.client
    return {
        "ca": str(certificates.ca),
        "certificate": str(client_is.certificate),
        "key": str(client_is.key),
    }


def _locked(certificates: Certificates, password: str | None) -> Kafka:
    files = _files(certificates) | {"key": str(certificates.locked)}
    return section(
        "b:9093",
        protocol="SSL",
        **files,
        **({} if password is None else {"key_password": password}),
    )
