"""Blobs in Redis, one key each."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from streamer.connect.storage.files_store import checked
from streamer.connect.storage.redis_client import Client
from streamer.errors import StoreError
from streamer.failpoints import failpoint
from streamer.protocols import Clock

if TYPE_CHECKING:
    from streamer.config import RedisStore as Section

MOST_BYTES = 256 * 2**20  # of one blob; the limit of Redis is 512 MiB
# Largest single write: 0.25 s suffices at 4 MiB/s, and Redis serves other clients in between.
PIECE_BYTES = 2**20
UNFINISHED_S = 120  # expiry of an incomplete blob
PAGE = 1000  # keys per SCAN

# Rename the blob if it is complete. A key that had expired and was recreated by a later piece has
# no expiry and is refused.
FINISH = """
if redis.call('STRLEN', KEYS[1]) == tonumber(ARGV[1]) and redis.call('PTTL', KEYS[1]) > 0 then
  redis.call('PERSIST', KEYS[1])
  redis.call('RENAME', KEYS[1], KEYS[2])
  return 1
end
redis.call('UNLINK', KEYS[1])
return 0
"""


class RedisStore:
    """A Store under a prefix of a Redis.

    Any thread may call it. If Redis hangs, a command takes two timeouts of the section at most.
    """

    def __init__(
        self, section: Section, *, clock: Clock = time.monotonic, client: Client | None = None
    ) -> None:
        self._client = client or Client(section, clock=clock)
        self._prefix = f"{section.prefix}:"

    @property
    def up(self) -> bool:
        return self._client.up

    @property
    def problem(self) -> str | None:
        return self._client.problem

    @property
    def exposed(self) -> bool:
        """Whether blobs and the password cross a network in plain text."""
        return self._client.exposed

    def ping(self) -> None:
        """StoreError, with cause and fix, if Redis does not answer."""
        self._client.ping()

    def put(self, name: str, blob: bytes) -> None:
        """Write a blob atomically; the previous blob stays if it fails."""
        key = self.key(name)
        if len(blob) > MOST_BYTES:
            raise StoreError(
                f"cannot write {name}: {len(blob)} bytes are more than {MOST_BYTES}; use "
                f"store.kind files, "
                "more partitions, or a lower detect.max_entities"
            )
        if len(blob) > PIECE_BYTES:
            self._put_in_pieces(key, blob)
            return
        failpoint("during_snapshot_put")
        self._client.ask("write", key, "SET", key, blob)

    def get(self, name: str) -> bytes | None:
        key = self.key(name)
        found: bytes | None = self._client.ask("read", key, "GET", key)
        return found

    def names(self, prefix: str = "") -> Sequence[str]:
        pattern = self._prefix + re.sub(r"([][*?^\\])", r"\\\1", prefix) + "*"
        cursor, found = 0, set[str]()
        while True:
            cursor, keys = self._client.ask(
                "list", "keys", "SCAN", cursor, "MATCH", pattern, "COUNT", PAGE
            )
            found |= {key.decode("utf-8", "replace").removeprefix(self._prefix) for key in keys}
            if not int(cursor):
                return sorted(
                    name for name in found if name.startswith(prefix) and not name.startswith(".")
                )

    def delete(self, name: str) -> None:
        key = self.key(name)
        self._client.ask("delete", key, "UNLINK", key)

    def close(self) -> None:
        self._client.close()

    def key(self, name: str) -> str:
        return self._prefix + checked(name)

    def _put_in_pieces(self, key: str, blob: bytes) -> None:
        """Write a large blob in pieces under a temporary key, then rename it.

        One command with all of it would exceed its timeout.
        """
        beside = f"{self._prefix}.unfinished-{secrets.token_hex(8)}"
        try:
            self._client.ask("write", key, "SET", beside, b"", "EX", UNFINISHED_S)
            for at in range(0, len(blob), PIECE_BYTES):
                self._client.ask("write", key, "SETRANGE", beside, at, blob[at : at + PIECE_BYTES])
            failpoint("during_snapshot_put")
            whole = self._client.ask("write", key, "EVAL", FINISH, 2, beside, key, len(blob))
        except StoreError:
            with suppress(StoreError):  # if Redis refuses, the temporary key expires
                self._client.ask("clear", beside, "UNLINK", beside)
            raise
        if not whole:
            raise StoreError(
                f"cannot write {key}: it took longer than {UNFINISHED_S} s; it is tried again"
            )
