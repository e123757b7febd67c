"""A lock with a fencing token: a holder that lost it can write nothing.

The lock expires by itself. Every holder gets a larger number than the one before, the fence. A
write names its fence and is refused once there is a newer holder, however late it arrives.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamer.connect.storage.files_store import checked
from streamer.connect.storage.redis_client import Client
from streamer.errors import StoreError

if TYPE_CHECKING:
    from streamer.config import RedisStore as Section

# Idempotent: the same token gets the same fence after a lost answer.
ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then return tonumber(redis.call('GET', KEYS[2])) end
if holder then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('INCR', KEYS[2])
"""
EXTEND = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])
"""
WRITE = """
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class HeldLock:
    """One holding of a lock: valid until it expires, is released, or is taken by another."""

    token: str
    fence: int


class Lock:
    """A named lock. Any thread may call it; StoreError if Redis does not answer."""

    def __init__(
        self, section: Section, name: str, *, ttl_s: float, client: Client | None = None
    ) -> None:
        """Create the lock; it is free again `ttl_s` after the last `acquire` or `extend`."""
        self._client = client or Client(section)
        self._prefix, self._name, self._ttl_ms = section.prefix, checked(name), round(ttl_s * 1e3)
        self._lock, self._fence = f"{section.prefix}!lock/{name}", f"{section.prefix}!fence/{name}"

    def acquire(self) -> HeldLock | None:
        """Return the holding, or None if another process has the lock."""
        token = secrets.token_hex(16)
        keys = (self._lock, self._fence)
        fence = int(
            self._client.ask("lock", self._name, "EVAL", ACQUIRE, 2, *keys, token, self._ttl_ms)
        )
        return HeldLock(token, fence) if fence else None

    def extend(self, held: HeldLock) -> bool:
        """Hold it for another `ttl_s`; False if it is lost."""
        return bool(
            self._client.ask(
                "lock", self._name, "EVAL", EXTEND, 1, self._lock, held.token, self._ttl_ms
            )
        )

    def release(self, held: HeldLock) -> bool:
        """Release it; False if it was lost before."""
        return bool(
            self._client.ask("unlock", self._name, "EVAL", RELEASE, 1, self._lock, held.token)
        )

    def write(self, held: HeldLock, name: str, blob: bytes) -> None:
        """Write a blob of the store.

        StoreError, with nothing written, if there is a newer holder.
        """
        key = f"{self._prefix}:{checked(name)}"
        if not self._client.ask("write", key, "EVAL", WRITE, 2, self._fence, key, held.fence, blob):
            raise StoreError(
                f"cannot write {key}: the lock {self._name!r} has a newer holder than {held.fence}"
            )

    def close(self) -> None:
        self._client.close()
