"""An OAuth token endpoint (client credentials): signed JSON web tokens over HTTP, and the key set
to check them by.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tests.servers.certificates import openssl

ISSUER, AUDIENCE, KEY_NAME = "streamer-tests", "kafka", "key-1"


class TokenEndpoint:
    """Hands tokens to `clients` (id -> secret). `asked` counts requests; `lifetime_s` holds for
    tokens to come.
    """

    def __init__(
        self, directory: Path, clients: dict[str, str], *, lifetime_s: float = 300.0
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._key = directory / "token.key"
        openssl("genrsa", "-out", self._key, "2048")
        self.keys = directory / "jwks.json"
        self.keys.write_text(json.dumps({"keys": [self._public()]}))
        self.clients = clients
        self.lifetime_s = lifetime_s
        self.asked = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="token-endpoint", daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/token"

    def start(self) -> Self:
        self._thread.start()
        return self

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, subject: str) -> str:
        """A token for `subject`, signed by RS256."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": now,
            "exp": now + int(self.lifetime_s),
        }
        head = {"alg": "RS256", "typ": "JWT", "kid": KEY_NAME}
        signed = f"{_b64(json.dumps(head).encode())}.{_b64(json.dumps(claims).encode())}"
        return f"{signed}.{_b64(openssl('dgst', '-sha256', '-sign', self._key, stdin=signed.encode()))}"

    def answer(self, client: str | None, secret: str | None) -> tuple[int, dict[str, Any]]:
        """Status and body, as RFC 6749 words them."""
        self.asked += 1
        if client is None or self.clients.get(client) != secret:
            return 401, {"error": "invalid_client"}
        body = {
            "access_token": self.token(client),
            "token_type": "Bearer",
            "expires_in": int(self.lifetime_s),
        }
        return 200, body

    def _public(self) -> dict[str, str]:
        told = openssl("rsa", "-in", self._key, "-noout", "-modulus").decode()
        modulus = bytes.fromhex(told.strip().removeprefix("Modulus="))
        return {
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": KEY_NAME,
            "n": _b64(modulus),
            "e": "AQAB",
        }


def _handler(endpoint: TokenEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            status, body = endpoint.answer(
                *_credentials(self.headers.get("Authorization", ""), form)
            )
            told = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    return Handler


def _credentials(header: str, form: str) -> tuple[str | None, str | None]:
    """Of the client: in the Authorization header (encoded, RFC 6749 2.3.1) or in the form."""
    kind, _, basic = header.partition(" ")
    if kind.lower() == "basic":
        client, _, secret = base64.b64decode(basic).decode().partition(":")
        return urllib.parse.unquote_plus(client), urllib.parse.unquote_plus(secret)
    fields = dict(urllib.parse.parse_qsl(form))
    return fields.get("client_id"), fields.get("client_secret")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
