"""Client of a Confluent schema registry: the schema of an id, requested once.

One attempt with a bounded wait per request. After a failure no request is sent for RETRY_S, so a
poll with many partitions waits once. The decoder gets RetryLater and asks again.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException, HTTPMessage
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from streamer.connect.base.tls import trusting
from streamer.errors import ConfigError, RetryLater
from streamer.protocols import Clock

if TYPE_CHECKING:
    from streamer import config

TIMEOUT_S = 3.0  # bound of the wait in the polling thread
RETRY_S = 1.0
UNKNOWN_S = 60.0  # time for which "no such schema" is kept; a registry may lag behind its producers
MAX_ANSWER = 4 << 20
NOT_THERE = {404, 422}  # 422: the id is not valid
MAX_UNKNOWN = 10_000
ADVICE = {
    401: "check schema_registry.username and password",
    403: "the user of schema_registry may not read schemas",
    407: "a proxy wants credentials; check HTTP_PROXY and NO_PROXY",
}


Answer = Mapping[str, Any]


class UnknownSchemaError(LookupError):
    """The registry answers and has no such schema."""


class SchemaRegistry:
    """Schemas by id, cached forever, because the registry never changes one.

    Used by one thread. RetryLater while the registry does not answer, ConfigError if the section is
    invalid. No message contains a secret.
    """

    def __init__(
        self,
        section: config.SchemaRegistry,
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self.url = section.url.rstrip("/")
        self._timeout_s, self._clock = timeout_s, clock
        self._headers = _headers(section)
        self._opener = _opener(self.url, section.ca)
        self._known: dict[str, Answer] = {}  # by path
        self._unknown: dict[str, float] = {}  # path -> time until which it counts as unknown
        self._down: tuple[float, str] = (0.0, "")

    def schema(self, number: int) -> Answer:
        """The answer for an id: `schema` (text), optional `schemaType` and `references`."""
        return self._once(f"/schemas/ids/{number:d}")

    def version(self, subject: str, version: int) -> Answer:
        """The answer for one version of a subject, as named in `references` of a schema."""
        return self._once(f"/subjects/{quote(subject, safe='')}/versions/{version:d}?deleted=true")

    def _once(self, path: str) -> Answer:
        if path not in self._known:
            self._known[path] = self._asked(path)
        return self._known[path]

    def _asked(self, path: str) -> Answer:
        if self._clock() < self._unknown.get(path, 0.0):
            raise UnknownSchemaError(f"{self.url} has no {path}")
        try:
            return self._get(path)
        except UnknownSchemaError:
            self._disbelieve(path)
            raise

    def _disbelieve(self, path: str) -> None:
        now = self._clock()
        if len(self._unknown) >= MAX_UNKNOWN:
            self._unknown = {
                path: until for path, until in self._unknown.items() if until > now + UNKNOWN_S / 2
            }
        self._unknown[path] = now + UNKNOWN_S

    def _get(self, path: str) -> Answer:
        until, problem = self._down
        if self._clock() < until:
            raise RetryLater(problem)
        try:
            return self._answer(path)
        except RetryLater as exc:
            self._down = (self._clock() + RETRY_S, str(exc))
            raise

    def _answer(self, path: str) -> Answer:
        try:
            body = self._fetched(path)
        except urllib.error.HTTPError as exc:
            exc.close()
            if exc.code in NOT_THERE:
                raise UnknownSchemaError(f"{self.url} has no {path}") from None
            raise self._later(
                f"answered HTTP {exc.code}", ADVICE.get(exc.code, "check the registry")
            ) from None
        except urllib.error.URLError as exc:
            raise self._unreachable(exc.reason) from None
        except (OSError, HTTPException) as exc:
            raise self._unreachable(exc) from None
        return self._parsed(body)

    def _fetched(self, path: str) -> bytes:
        request = urllib.request.Request(self.url + path, headers=self._headers)
        with self._opener.open(request, timeout=self._timeout_s) as answer:
            return _read(answer, time.monotonic() + self._timeout_s)

    def _parsed(self, body: bytes) -> Answer:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not isinstance(found.get("schema"), str):
            raise self._later("answered something else than a schema", "check schema_registry.url")
        return found

    def _unreachable(self, reason: object) -> RetryLater:
        if isinstance(reason, ssl.SSLCertVerificationError):
            problem = f"has a certificate that is not trusted: {reason.verify_message}"
            return self._later(problem, "name its authority in schema_registry.ca")
        text = getattr(reason, "strerror", None) or reason or type(reason).__name__
        return self._later(f"does not answer: {text}", "start it, or check schema_registry.url")

    def _later(self, problem: str, advice: str) -> RetryLater:
        return RetryLater(f"the schema registry at {self.url} {problem}; {advice}; records wait")


def _headers(section: config.SchemaRegistry) -> dict[str, str]:
    headers = {
        "Accept": "application/vnd.schemaregistry.v1+json, application/json",
        "User-Agent": "streamer",
    }
    if section.username is not None:
        password = section.password.get_secret_value() if section.password is not None else ""
        token = base64.b64encode(f"{section.username}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    return headers


def _opener(url: str, ca: str | None) -> urllib.request.OpenerDirector:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError("schema_registry.url", "must be http://host:port or https://host:port")
    if parts.username or parts.password:
        raise ConfigError(
            "schema_registry.url",
            "must not hold credentials: set schema_registry.username and password",
        )
    context = trusting(ca, "schema_registry.ca")
    return urllib.request.build_opener(_SameHost, urllib.request.HTTPSHandler(context=context))


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects only within one host and scheme, so credentials reach no other host."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if (old.scheme, old.netloc) != (new.scheme, new.netloc):
            raise urllib.error.URLError(
                f"it redirects to another host ({new.hostname}), which is refused"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read(answer: Any, deadline: float) -> bytes:
    """Read the body; OSError if it is too long or does not end in time."""
    parts, size = [], 0
    while block := answer.read1(1 << 16):
        parts.append(block)
        size += len(block)
        if size > MAX_ANSWER:
            raise OSError(f"its answer is longer than {MAX_ANSWER} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError("its answer does not end")
    return b"".join(parts)
