"""Each trouble on the way to a broker has its own message; peers of our own on the loopback,
nothing pretended.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from kafka.errors import (
    GroupAuthorizationFailedError,
    KafkaTimeoutError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)

from streamer.connect.kafka.diagnosis.broker_check import words
from streamer.connect.kafka.diagnosis.causes import Cause, diagnosis
from streamer.connect.kafka.diagnosis.connect_check import probe
from streamer.connect.kafka.diagnosis.explain import explain
from tests.connect.kafka.conftest import Serve, closed_port, say_nothing, section, tls
from tests.servers.certificates import Certificates, Identity, openssl


def test_every_cause_has_a_problem_and_a_fix_that_can_be_filled_in() -> None:
    told = words(section("b:9092"), address="b:9092", name="alerts", detail="why")
    found = [diagnosis(cause, **told) for cause in Cause]
    assert len({one.problem for one in found}) == len({one.fix for one in found}) == len(Cause)
    assert not [one for one in found if "{" in str(one)]


def test_nobody_there_is_unreachable() -> None:
    server = closed_port()
    told = explain(section(server), KafkaTimeoutError("Unable to bootstrap from [...]"))
    assert told.startswith(f"no broker answers at {server} (Connection refused): start the broker")


def test_a_name_that_nobody_knows_is_said_to_be_one() -> None:
    told = explain(section("broker.invalid:9092"))
    assert "the host name of broker.invalid:9092 cannot be resolved" in told
    assert "kafka.bootstrap_servers" in told


def test_a_peer_that_says_nothing_is_told_from_one_that_is_not_there(serve: Serve) -> None:
    assert "accepts connections and says nothing" in explain(section(serve(say_nothing)))


def test_a_silent_peer_behind_tls_is_waited_for_no_longer(
    serve: Serve, certificates: Certificates
) -> None:
    start_s = time.monotonic()
    told = explain(section(serve(say_nothing), protocol="SSL", ca=str(certificates.ca)))
    assert "says nothing (no TLS handshake in time)" in told
    assert time.monotonic() - start_s < 6


def test_an_unknown_authority_is_named_with_its_setting(
    serve: Serve, certificates: Certificates
) -> None:
    server = serve(tls(certificates.server))
    told = explain(section(server, protocol="SSL", ca=str(certificates.foreign_ca)))
    assert f"the certificate of {server} is signed by an authority that is not trusted here" in told
    assert "kafka.security.ca" in told


def test_a_certificate_for_another_host_is_no_question_of_trust(
    serve: Serve, certificates: Certificates
) -> None:
    told = explain(
        section(serve(tls(certificates.misnamed_server)), protocol="SSL", ca=str(certificates.ca))
    )
    assert "is for another host" in told


def test_an_expired_certificate_is_a_question_of_time(serve: Serve, tmp_path: Path) -> None:
    old = expired(tmp_path)
    told = explain(section(serve(tls(old)), protocol="SSL", ca=str(old.certificate)))
    assert "is not valid at this machine's time" in told


def test_a_missing_client_certificate_is_told_from_a_refused_one(
    serve: Serve, certificates: Certificates
) -> None:
    server = serve(tls(certificates.server, ca=certificates.ca))
    theirs = certificates.foreign_client
    without = section(server, protocol="SSL", ca=str(certificates.ca))
    foreign = section(
        server,
        protocol="SSL",
        ca=str(certificates.ca),
        certificate=str(theirs.certificate),
        key=str(theirs.key),
    )
    assert "asks for a client certificate, and there is none" in explain(without)
    assert "refuses the client certificate" in explain(foreign)


def test_the_wrong_protocol_is_said_both_ways(serve: Serve, certificates: Certificates) -> None:
    encrypted, plain = serve(tls(certificates.server)), serve(lambda peer: peer.close())
    assert "speaks TLS only, and kafka.security.protocol is PLAINTEXT" in explain(
        section(encrypted)
    )
    assert "does not speak TLS, and kafka.security.protocol is SSL" in explain(
        section(plain, protocol="SSL", ca=str(certificates.ca))
    )


def test_a_web_server_is_not_a_broker(serve: Serve) -> None:
    told = explain(section(serve(lambda peer: peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))))
    assert "does not speak as a Kafka broker" in told


def test_of_several_brokers_the_trouble_that_lies_farthest_is_told(
    serve: Serve, certificates: Certificates
) -> None:
    server = serve(tls(certificates.server))
    assert f"the certificate of {server}" in explain(
        section(closed_port(), server, protocol="SSL", ca=str(certificates.foreign_ca))
    )


@pytest.mark.parametrize(
    ("error", "problem", "fix"),
    [
        (
            TopicAuthorizationFailedError({"alerts"}),
            "lacks a permission on the topic alerts",
            "--topic alerts",
        ),
        (
            GroupAuthorizationFailedError("streamer"),
            "may not use the consumer group streamer",
            "--group streamer",
        ),
    ],
)
def test_a_missing_permission_is_known_from_the_answer_alone(
    error: Exception, problem: str, fix: str
) -> None:
    login = {"mechanism": "PLAIN", "username": "alice", "password": "hunter-two"}
    told = explain(section(closed_port(), protocol="SASL_PLAINTEXT", sasl=login), error)
    assert f"alice {problem}" in told
    assert fix in told


def test_a_codec_that_is_not_installed_is_named_with_what_brings_it() -> None:
    told = explain(
        section(closed_port()),
        UnsupportedCodecError("Libraries for zstd compression codec not found"),
    )
    assert "zstd" in told and "streamer[compression]" in told


def test_an_error_behind_another_is_found() -> None:
    outer = RuntimeError("the reader ended")
    outer.__cause__ = TopicAuthorizationFailedError("alerts")
    assert "the topic alerts" in explain(section(closed_port()), outer)


def test_a_file_that_went_away_is_the_cause(tmp_path: Path) -> None:
    told = explain(section("localhost:9092", protocol="SSL", ca=str(tmp_path / "ca.pem")))
    assert told.startswith("kafka.security.ca: ")


def test_no_message_holds_a_secret_that_a_peer_repeats(serve: Serve) -> None:
    login = {"mechanism": "PLAIN", "username": "alice", "password": "hunter-two"}
    kafka = section(closed_port(), protocol="SASL_PLAINTEXT", sasl=login)
    told = explain(kafka, TopicAuthorizationFailedError("for hunter-two"))
    assert "hunter-two" not in told
    assert "***" in told


def test_a_probe_without_a_broker_asks_for_nothing_more() -> None:
    server = closed_port()
    [found] = probe(section(server), ["sensors.raw"], "streamer", writes=["alerts"])
    assert (found.name, found.ok) == (f"broker {server}", False)
    assert found.fix.startswith("start the broker")


def test_a_probe_says_which_file_of_the_settings_is_wrong(tmp_path: Path) -> None:
    [found] = probe(section("localhost:9092", protocol="SSL", ca=str(tmp_path / "ca.pem")))
    assert (found.name, found.ok, found.fix) == ("security", False, "correct kafka.security.ca")


def expired(directory: Path) -> Identity:
    """Its own authority, valid on one day of 2020."""
    files = Identity(directory / "old.crt", directory / "old.key", directory / "old.pem")
    request, settings = directory / "old.csr", directory / "ca.cnf"
    (directory / "index.txt").touch()
    settings.write_text(
        f"[ca]\ndefault_ca=own\n[own]\ndatabase={directory}/index.txt\nnew_certs_dir={directory}\nrand_serial=yes\n"
        "default_md=sha256\npolicy=any\nx509_extensions=names\n[any]\ncommonName=supplied\n"
        "[names]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=CA:true\n"
    )
    openssl(
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=old",
        "-keyout",
        files.key,
        "-out",
        request,
    )
    openssl(
        "ca",
        "-batch",
        "-selfsign",
        "-config",
        settings,
        "-keyfile",
        files.key,
        "-in",
        request,
        "-startdate",
        "20200101000000Z",
        "-enddate",
        "20200102000000Z",
        "-notext",
        "-out",
        files.certificate,
    )
    return files
