"""The registry's client against a real HTTP server that behaves and misbehaves."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamer.config import SchemaRegistry as Section
from streamer.connect.formats.schema_registry import (
    MAX_ANSWER,
    RETRY_S,
    UNKNOWN_S,
    SchemaRegistry,
    UnknownSchemaError,
)
from streamer.errors import ConfigError, RetryLater
from tests.connect.formats.registry_server import Page, Server

LONG = json.dumps({"schema": '"long"'}).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def client(url: str, clock: Callable[[], float] = time.monotonic, **more: str) -> SchemaRegistry:
    return SchemaRegistry(Section.model_validate({"url": url, **more}), timeout_s=2.0, clock=clock)


def test_a_schema_is_asked_for_once(server: Server) -> None:
    server.pages["/schemas/ids/7"] = (200, {}, LONG)
    registry = client(server.url + "/")
    assert registry.schema(7) == registry.schema(7) == {"schema": '"long"'}
    assert server.asked == ["/schemas/ids/7"] and server.authorizations == [None]


def test_a_subject_s_version_is_found_whatever_its_name(server: Server) -> None:
    server.pages["/subjects/a%2Fb/versions/2?deleted=true"] = (200, {}, LONG)
    assert client(server.url).version("a/b", 2)["schema"] == '"long"'


def test_an_unknown_id_is_believed_for_a_while_only(server: Server) -> None:
    now = [0.0]
    registry = client(server.url, lambda: now[0])
    for _ in range(2):
        with pytest.raises(UnknownSchemaError, match="/schemas/ids/9"):
            registry.schema(9)
    assert len(server.asked) == 1
    now[0], server.pages["/schemas/ids/9"] = UNKNOWN_S, (200, {}, LONG)
    assert registry.schema(9)["schema"] == '"long"'


def test_a_registry_that_is_away_is_asked_again_but_not_at_once(server: Server) -> None:
    now = [0.0]
    registry = client(server.url, lambda: now[0])
    server.pages["/schemas/ids/1"] = (503, {}, b"")
    for _ in range(3):
        with pytest.raises(RetryLater, match=r"HTTP 503.*records wait"):
            registry.schema(1)
    assert len(server.asked) == 1
    now[0], server.pages["/schemas/ids/1"] = RETRY_S, (200, {}, LONG)
    assert registry.schema(1)["schema"] == '"long"'


BAD: dict[str, tuple[Page, str]] = {
    "a refusal": ((401, {}, b""), "check schema_registry.username"),
    "no right": ((403, {}, b""), "may not read schemas"),
    "a login page": ((200, {}, b"<html>"), "something else than a schema"),
    "another object": ((200, {}, b'{"schema":{}}'), "something else than a schema"),
    "deep nonsense": ((200, {}, b"[" * 100_000), "something else than a schema"),
    "an endless answer": ((200, {}, b"x" * (MAX_ANSWER + 1)), "longer than"),
    "half an answer": ((200, {"Content-Length": "100"}, LONG[:8]), "something else than a schema"),
    "another host": (
        (302, {"Location": "http://localhost.example/schemas/ids/1"}, b""),
        "another host",
    ),
    "a circle": ((302, {"Location": "/schemas/ids/1"}, b""), "HTTP 302"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_answer_makes_records_wait(server: Server, name: str) -> None:
    server.pages["/schemas/ids/1"], message = BAD[name]
    with pytest.raises(RetryLater, match=message):
        client(server.url).schema(1)


def test_a_redirect_within_the_host_is_followed(server: Server) -> None:
    server.pages["/schemas/ids/1"] = (302, {"Location": "/there"}, b"")
    server.pages["/there"] = (200, {}, LONG)
    assert client(server.url).schema(1)["schema"] == '"long"'


def test_nobody_there_is_said_with_the_fix() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(
            RetryLater, match="does not answer: Connection refused; start it, or check"
        ):
            client(f"http://127.0.0.1:{free.getsockname()[1]}").schema(1)


def test_a_registry_that_hangs_costs_the_timeout_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        section = Section.model_validate({"url": f"http://127.0.0.1:{deaf.getsockname()[1]}"})
        registry = SchemaRegistry(section, timeout_s=0.2, clock=lambda: 0.0)
        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(RetryLater, match="timed out"):
                registry.schema(1)
        assert time.monotonic() - began < 2.0


def test_credentials_are_sent_and_never_shown(server: Server) -> None:
    server.pages["/schemas/ids/1"] = (200, {}, LONG)
    registry = client(server.url, username="u", password="geheim")
    registry.schema(1)
    assert server.authorizations == ["Basic dTpnZWhlaW0="]
    server.pages["/schemas/ids/2"] = (401, {}, b"")
    with pytest.raises(RetryLater) as refusal:
        registry.schema(2)
    assert "geheim" not in str(refusal.value) and "dTpn" not in str(refusal.value)


def test_credentials_in_the_address_are_refused_without_showing_them() -> None:
    with pytest.raises((ConfigError, ValueError)) as refusal:
        client("http://u:geheim@127.0.0.1:1")
    assert "geheim" not in str(refusal.value)


def test_a_certificate_is_trusted_by_its_own_authority_only(server: Server, tmp_path: Path) -> None:
    import ssl

    pem = tmp_path / "server.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            tmp_path / "key.pem",
            "-out",
            pem,
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, tmp_path / "key.pem")
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    server.pages["/schemas/ids/1"] = (200, {}, LONG)
    url = server.url.replace("http:", "https:")
    assert client(url, ca=str(pem)).schema(1)["schema"] == '"long"'
    with pytest.raises(RetryLater, match=r"not trusted.*schema_registry\.ca"):
        client(url).schema(1)


def test_an_authority_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    for path in (tmp_path / "ca.pem", tmp_path / "none.pem"):
        with pytest.raises(ConfigError, match=r"schema_registry\.ca"):
            client("https://127.0.0.1:1", ca=str(path))
