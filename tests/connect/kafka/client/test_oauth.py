"""Tokens: asked for once, renewed before their end, never at the price of a secret or an endless
wait.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.config import TokenEndpoint
from streamer.connect.kafka.client import oauth
from streamer.connect.kafka.client.oauth import Tokens
from streamer.errors import BrokerError
from tests.connect.kafka.conftest import Serve, closed_port, say_nothing
from tests.servers.tokens import TokenEndpoint as Server

SECRET = "a secret+with/odd=letters"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("tokens"), {"alice": SECRET}, lifetime_s=100)
    yield found.start()
    found.close()


def endpoint(url: str, secret: str = SECRET) -> TokenEndpoint:
    return TokenEndpoint.model_validate(
        {"url": url, "client_id": "alice", "client_secret": secret, "scope": "kafka"}
    )


class Issuer:
    """Numbers its tokens; `fails` refuses."""

    def __init__(self, life_s: float) -> None:
        self.life_s, self.fails, self.asked = life_s, False, 0

    def __call__(self) -> tuple[str, float]:
        self.asked += 1
        if self.fails:
            raise BrokerError("no token today")
        return f"token {self.asked}", self.life_s


def test_a_token_is_asked_for_once_and_renewed_before_its_end() -> None:
    now, issuer = [0.0], Issuer(100)
    tokens = Tokens(issuer, lambda: now[0])
    given_at = {}
    for now[0] in range(100):
        given_at[now[0]] = tokens.current()
    assert given_at[74] == "token 1"
    assert given_at[75] == given_at[99] == "token 2"
    assert issuer.asked == 2


@given(st.lists(st.tuples(st.floats(0, 60), st.booleans()), max_size=60))
def test_no_token_is_given_after_its_end(steps: list[tuple[float, bool]]) -> None:
    now, issuer = [0.0], Issuer(100)
    tokens = Tokens(issuer, lambda: now[0])
    born: dict[str, float] = {}
    for wait_s, issuer.fails in steps:
        now[0] += wait_s
        try:
            text = tokens.current()
        except BrokerError:
            continue
        born.setdefault(text, now[0])
        assert now[0] < born[text] + 100


def test_while_the_old_token_lives_a_failing_endpoint_costs_a_few_attempts() -> None:
    now, issuer = [0.0], Issuer(100)
    tokens = Tokens(issuer, lambda: now[0])
    tokens.current()
    issuer.fails = True
    assert {tokens.current() for now[0] in [75 + n / 4 for n in range(100)]} == {"token 1"}
    assert issuer.asked < 12
    now[0] = 100.0
    with pytest.raises(BrokerError):
        tokens.current()


def test_the_grant_of_the_endpoint_is_understood(server: Server) -> None:
    text, life_s = oauth.request_token(endpoint(server.url), 5.0)
    assert text.count(".") == 2
    assert life_s == 100


def test_a_refusal_names_endpoint_and_reason_and_no_secret(server: Server) -> None:
    with pytest.raises(
        BrokerError, match=r"127\.0\.0\.1.*refuses us: 401 invalid_client"
    ) as refused:
        oauth.request_token(endpoint(server.url, "wrong-secret"), 5.0)
    assert "wrong-secret" not in str(refused.value)


def test_an_endpoint_that_is_not_there_is_named() -> None:
    with pytest.raises(
        BrokerError, match=r"token endpoint http://127\.0\.0\.1:.* does not answer: .*refused"
    ):
        oauth.request_token(endpoint(f"http://{closed_port()}/token"), 5.0)


def answering(status: str, body: str, *headers: str) -> Callable[[socket.socket], None]:
    def talk(peer: socket.socket) -> None:
        peer.recv(65_536)
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body]
        peer.sendall("\r\n".join(lines).encode())

    return talk


@pytest.mark.parametrize(
    "body",
    ["", "hello", "[]", "{}", '{"access_token": 3}', '{"access_token": "x", "expires_in": []}'],
)
def test_an_answer_without_a_token_is_an_error_of_ours(serve: Serve, body: str) -> None:
    with pytest.raises(BrokerError, match="without an access token"):
        oauth.request_token(endpoint(f"http://{serve(answering('200 OK', body))}/token"), 5.0)


def test_an_answer_that_repeats_the_secret_is_not_repeated(serve: Serve) -> None:
    body = f'{{"error": "{SECRET}"}}'
    with pytest.raises(BrokerError) as refused:
        oauth.request_token(
            endpoint(f"http://{serve(answering('400 Bad Request', body))}/token"), 5.0
        )
    assert SECRET not in str(refused.value)


def test_credentials_do_not_follow_a_redirect(serve: Serve, server: Server) -> None:
    moved = serve(answering("307 Temporary Redirect", "", f"Location: {server.url}"))
    asked = server.asked
    with pytest.raises(BrokerError, match="307"):
        oauth.request_token(endpoint(f"http://{moved}/token"), 5.0)
    assert server.asked == asked


def drip(peer: socket.socket) -> None:
    """A byte before every time-out: no single read is late."""
    peer.recv(65_536)
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    try:
        while True:
            peer.sendall(b" ")
            time.sleep(0.05)
    except OSError:
        return


@pytest.mark.parametrize("talk", [say_nothing, drip])
def test_no_endpoint_holds_us_beyond_the_time_out(
    serve: Serve, talk: Callable[[socket.socket], None]
) -> None:
    start_s = time.monotonic()
    with pytest.raises(BrokerError, match="does not answer"):
        oauth.request_token(endpoint(f"http://{serve(talk)}/token"), 0.3)
    assert time.monotonic() - start_s < 3


def test_a_provider_is_one_for_the_client_and_shows_nothing(server: Server, tmp_path: Path) -> None:
    from kafka.net.sasl.oauth import AbstractTokenProvider

    provider = oauth.token_provider(endpoint(server.url), timeout_s=5.0)
    assert isinstance(provider, AbstractTokenProvider)
    asked = server.asked
    assert provider.token() == provider.token()
    assert server.asked == asked + 1
    assert SECRET not in repr(provider)
