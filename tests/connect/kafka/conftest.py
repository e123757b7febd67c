"""Certificates and small servers for tests of the client's security; real sockets on
the loopback.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.config import Kafka
from tests.servers.certificates import Certificates, Identity, make_certificates

Serve = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(talk)` listens, lets `talk` have every connection, keeps it open until the test ends;
    its address.
    """
    listeners: list[socket.socket] = []
    held: list[socket.socket] = []

    def start(talk: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_accept, args=(listener, talk, held), daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for each in (*listeners, *held):
        each.close()


def _accept(
    listener: socket.socket, talk: Callable[[socket.socket], None], held: list[socket.socket]
) -> None:
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        held.append(peer)
        threading.Thread(target=talk, args=(peer,), daemon=True).start()


def say_nothing(peer: socket.socket) -> None:
    """A peer that hangs."""


def tls(identity: Identity, ca: Path | None = None) -> Callable[[socket.socket], None]:
    """A TLS peer that hangs after the handshake; with `ca` it demands a client certificate of that
    authority.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    if ca is not None:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED

    def talk(peer: socket.socket) -> None:
        try:
            with context.wrap_socket(peer, server_side=True) as wrapped:
                wrapped.recv(1)
        except OSError:
            peer.close()

    return talk


def section(*servers: str, timeout: str = "1s", **security: Any) -> Kafka:
    """The section of a cluster."""
    return Kafka.model_validate(
        {"bootstrap_servers": list(servers), "request_timeout": timeout, "security": security},
        strict=False,
    )


def closed_port() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"
