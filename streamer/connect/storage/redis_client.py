"""Redis client: commands with bounded time, at most two attempts, and a circuit breaker.

Only idempotent commands are sent, because after a lost answer it is unknown whether the command was
executed.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from streamer.connect.base.tls import trusting
from streamer.errors import StoreError
from streamer.protocols import Clock

if TYPE_CHECKING:
    from streamer.config import RedisStore as Section

Word = str | bytes | int
# ACL categories that are required
RIGHTS = "+@read +@write +@scripting +@connection +time"


class Client:
    """Sends commands to Redis.

    Any thread may call it. Opening it sends nothing, so the daemon starts while Redis is down.
    """

    def __init__(
        self,
        section: Section,
        *,
        timeout_s: float | None = None,
        breaker: Breaker | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Create a client; `timeout_s` per answer, by default that of the section.

        A command takes at most twice that. ConfigError if `store.ca` cannot be read.
        """
        from redis import exceptions

        self.address = _address(section.url)
        self.exposed = section.plaintext
        self._keys = f"~{section.prefix}:* ~{section.prefix}!*"
        self._timeout_s = float(section.timeout) if timeout_s is None else timeout_s
        self._breaker = breaker or Breaker(clock=clock)
        self._errors = exceptions
        self._secret = section.password.get_secret_value() if section.password else ""
        self._refused: dict[str, str] = {}  # verb -> error that Redis answered
        self._cause = ""  # of the latest failure
        self._redis = _connect(section, self._secret, self._timeout_s)

    @property
    def up(self) -> bool:
        """Whether the latest command of every kind succeeded."""
        return not self._breaker.failures and not self._refused

    @property
    def problem(self) -> str | None:
        """The problem and its fix; None if all is well."""
        return self._cause if self._breaker.failures else next(iter(self._refused.values()), None)

    def ask(self, verb: str, what: str, *words: Word) -> Any:
        """Return the answer to a command; StoreError with cause and fix if there is none.

        The message says that it cannot `verb` `what`.
        """
        if not self._breaker.admits():
            raise StoreError(
                f"cannot {verb} {what}: {self._cause}; asked again within a second or two"
            )
        try:
            answer = self._sent(words)
        except self._errors.RedisError as exc:
            # the text of the exception may hold secrets
            raise StoreError(f"cannot {verb} {what}: {self._failed(verb, exc)}") from None
        self._breaker.succeed()
        self._refused.pop(verb, None)
        return answer

    def ping(self) -> None:
        """StoreError if Redis does not answer."""
        self.ask("reach", "it", "PING")

    def close(self) -> None:
        """Close the connections. Idempotent."""
        with suppress(self._errors.RedisError, OSError):
            self._redis.close()

    def _sent(self, words: tuple[Word, ...]) -> Any:
        """Send a command; reconnect once if the connection broke since its last use.

        A timeout is not retried.
        """
        try:
            return self._redis.execute_command(*words)
        except self._errors.ConnectionError as exc:
            if isinstance(exc, self._errors.AuthenticationError):
                raise
            return self._redis.execute_command(*words)

    def _failed(self, verb: str, exc: Exception) -> str:
        """Record a failure; return its cause and fix.

        An error that Redis answers does not open the breaker.
        """
        cause = f"Redis at {self.address} {self._explained(exc)}"
        cause = cause.replace(self._secret, "***") if self._secret else cause
        if isinstance(exc, self._errors.ConnectionError | self._errors.TimeoutError):
            self._cause = cause
            self._breaker.fail()
        else:
            self._breaker.succeed()
            self._refused[verb] = cause
        return cause

    def _explained(self, exc: Exception) -> str:
        errors = self._errors
        if isinstance(exc, errors.AuthenticationError) or "NOAUTH" in str(exc):
            return (
                "refuses the login; correct store.password, and store.username where it knows users"
            )
        if isinstance(exc, errors.NoPermissionError):
            return f"forbids it ({exc}); allow this user: {self._keys} {RIGHTS}"
        if isinstance(exc, errors.BusyLoadingError):
            return "is still loading its data; wait"
        if isinstance(exc, errors.TimeoutError):
            return (
                f"does not answer within {self._timeout_s:g} s; see whether it hangs, or raise "
                f"store.timeout"
            )
        if "CERTIFICATE_VERIFY_FAILED" in str(exc):
            return (
                f"shows a certificate that is not trusted ({exc}); name its authority in "
                f"store.ca, or correct store.url"
            )
        if isinstance(exc, errors.ConnectionError):
            return f"cannot be reached ({exc}); start it, or correct store.url"
        if isinstance(exc, errors.OutOfMemoryError):
            return "is full; raise its maxmemory, or give streamer a Redis of its own"
        if isinstance(exc, errors.ReadOnlyError):
            return "is a replica; let store.url name the primary"
        return f"answered {exc}"


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 6379}"


def _connect(section: Section, secret: str, timeout_s: float) -> Any:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # Client handles retries: redis-py's would repeat commands that timed out, and its handshake
    # sends three commands that are not needed.
    return Redis.from_url(
        section.url,
        username=section.username,
        password=secret or None,
        **_trust(section.ca),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,
        client_name=None,
    )


def _trust(ca: str | None) -> dict[str, str]:
    """Read the CA file before connecting.

    redis-py would report a missing file as an unreachable server.
    """
    if ca is None:
        return {}
    trusting(ca, "store.ca")
    return {"ssl_ca_certs": ca}


OPENS_AFTER = 3  # failures in a row
WAIT_S = 1.0  # between probes while the breaker is open


class Breaker:
    """Circuit breaker.

    Closed, it admits every call. Open, it admits one call per `wait_s`, whose success closes it.
    Any thread may use it.
    """

    def __init__(
        self,
        *,
        opens_after: int = OPENS_AFTER,
        wait_s: float = WAIT_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self.failures = 0  # in a row
        self._opens_after, self._wait_s, self._clock = opens_after, wait_s, clock
        self._probe_at = 0.0
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        return self.failures >= self._opens_after

    def admits(self) -> bool:
        """Whether the caller may send now; if so, it must report `succeed` or `fail`."""
        with self._lock:
            if not self.open:
                return True
            if self._clock() < self._probe_at:
                return False
            self._probe_at = self._clock() + self._wait_s  # other callers wait for this probe
            return True

    def succeed(self) -> None:
        with self._lock:
            self.failures = 0

    def fail(self) -> None:
        with self._lock:
            self.failures += 1
            self._probe_at = self._clock() + self._wait_s
