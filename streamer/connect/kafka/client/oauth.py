"""Tokens for OAUTHBEARER by the client-credentials grant (RFC 6749, 4.4), cached.

A token is renewed before it expires.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamer.connect.base.deadline import within
from streamer.errors import BrokerError

if TYPE_CHECKING:
    from streamer.config import TokenEndpoint

MAX_ANSWER = 256 * 1024  # bytes
REFUSALS = {  # RFC 6749, 5.2
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
}
DEFAULT_LIFE_S = 300.0  # if the endpoint names none
# A broker ends the session with the token. The client logs in again at 85-95 % of its life, and
# needs a newer token by then.
FRESH_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its validity on the caller's clock."""

    text: str
    fresh_until_s: float
    valid_until_s: float

    def __repr__(self) -> str:
        return f"Token(valid_until_s={self.valid_until_s:.0f})"


class Tokens:
    """The current token, renewed by one caller at a time.

    While the old token is valid, a failure to renew raises nothing.
    """

    def __init__(
        self, ask: Callable[[], tuple[str, float]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask, self._clock = ask, clock
        self._lock = threading.Lock()
        self._token: Token | None = None

    def current(self) -> str:
        """Return a token that is valid now.

        BrokerError, without any secret in it, if there is none.
        """
        with self._lock:
            token = self._token
            if token is None or self._clock() >= token.fresh_until_s:
                token = self._token = self._renewed(token)
            return token.text

    def _renewed(self, old: Token | None) -> Token:
        start_s = self._clock()
        try:
            text, life_s = self._ask()
        except BrokerError:
            if old is None or start_s >= old.valid_until_s:
                raise
            # Not again with every connection: each attempt may take the whole timeout.
            return Token(old.text, start_s + (old.valid_until_s - start_s) / 2, old.valid_until_s)
        return Token(text, start_s + FRESH_SHARE * life_s, start_s + life_s)


def token_provider(endpoint: TokenEndpoint, *, timeout_s: float, ca: str | None = None) -> Any:
    """Return a token provider for kafka-python.

    `ca` is a PEM file of authorities trusted in addition to the system's.
    """
    from kafka.net.sasl.oauth import AbstractTokenProvider

    tokens = Tokens(lambda: request_token(endpoint, timeout_s, ca))

    class Provider(AbstractTokenProvider):  # type: ignore[misc] # the library has no types
        def token(self) -> str:
            return tokens.current()

    return Provider()


def request_token(
    endpoint: TokenEndpoint, timeout_s: float, ca: str | None = None
) -> tuple[str, float]:
    """Return a new token and its life in seconds; BrokerError, within `timeout_s`, if refused."""
    where = url_text(endpoint.url)
    try:
        return _read(within(timeout_s, lambda: _post(endpoint, timeout_s, ca)))
    except (OSError, TimeoutError) as exc:
        raise BrokerError(
            f"the token endpoint {where} does not answer: {getattr(exc, 'reason', exc)}"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise BrokerError(f"the token endpoint {where} answers without an access token") from None


def _post(endpoint: TokenEndpoint, timeout_s: float, ca: str | None) -> bytes:
    form = {"grant_type": "client_credentials"} | (
        {"scope": endpoint.scope} if endpoint.scope else {}
    )
    request = urllib.request.Request(
        endpoint.url, urllib.parse.urlencode(form).encode(), _headers(endpoint), method="POST"
    )
    try:
        with _opener(ca).open(request, timeout=timeout_s) as response:
            return bytes(response.read(MAX_ANSWER))
    except urllib.error.HTTPError as exc:
        raise BrokerError(
            f"the token endpoint {url_text(endpoint.url)} refuses us: {_refusal(exc)}"
        ) from None


def _opener(ca: str | None) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context()
    if ca is not None:
        context.load_verify_locations(ca)
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, so that credentials reach only the configured address."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _headers(endpoint: TokenEndpoint) -> dict[str, str]:
    quote = urllib.parse.quote_plus  # RFC 6749, 2.3.1
    secret = endpoint.client_secret.get_secret_value() if endpoint.client_secret else ""
    pair = f"{quote(endpoint.client_id)}:{quote(secret)}"
    basic = base64.b64encode(pair.encode()).decode()
    return {
        "Authorization": f"Basic {basic}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }


def _read(body: bytes) -> tuple[str, float]:
    answer = json.loads(body)
    text = answer["access_token"]
    if not isinstance(text, str) or not text:
        raise ValueError("not a token")
    return text, max(1.0, float(answer.get("expires_in", DEFAULT_LIFE_S)))


def _refusal(exc: urllib.error.HTTPError) -> str:
    """Return the status and the error's name, not the body, which may repeat secrets."""
    try:
        name = json.loads(exc.read(MAX_ANSWER))["error"]
    except (ValueError, KeyError, TypeError, OSError):
        name = None
    return f"{exc.code} {name}" if name in REFUSALS else str(exc.code)


def url_text(url: str) -> str:
    """Return scheme, host and path, without credentials and query."""
    parts = urllib.parse.urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
