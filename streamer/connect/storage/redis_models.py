"""Models in Redis: bundles as bytes, an index of complete versions, and aliases.

A publisher uploads the parts under its own token, with an expiry. One script then makes all parts
permanent and adds them to the index. So a version is complete or absent even if a process is
killed, and nothing is left behind. Aliases move by compare-and-set.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from streamer.connect.storage.redis_client import Client
from streamer.connect.storage.registry_rules import FORMAT, MOVES_KEPT, check_format
from streamer.errors import CorruptBundle, ModelError, StoreError
from streamer.failpoints import failpoint

if TYPE_CHECKING:
    from streamer.config import RedisStore as Section

PIECE_BYTES = 2**20  # 0.25 s per piece suffices at 4 MiB/s
UNFINISHED_S = 600  # expiry of an upload that is not in the index yet

# Every script returns the same when repeated after a lost answer. KEYS: index, parts; ARGV:
# version, the previous entry (or ''), the new one.
ENTER = """
local now = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if now == ARGV[3] then return 1 end
if now ~= ARGV[2] then return 0 end
for i = 2, #KEYS do if redis.call('EXISTS', KEYS[i]) == 0 then return -1 end end
for i = 2, #KEYS do redis.call('PERSIST', KEYS[i]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
# KEYS: aliases, trail, index; ARGV: the entry of the trail, how many entries it keeps, the number
# of changes, pairs of (alias, version or '') to change, then the pairs that are expected.
MOVE = """
local first, changes = 4, tonumber(ARGV[3])
local expected = first + 2 * changes
local function holds(from, to)
  for i = from, to, 2 do
    if (redis.call('HGET', KEYS[1], ARGV[i]) or '') ~= ARGV[i + 1] then return false end
  end
  return true
end
if holds(first, expected - 1) then return 1 end
if not holds(expected, #ARGV) then return 0 end
for i = first, expected - 1, 2 do
  if ARGV[i + 1] ~= '' and redis.call('HEXISTS', KEYS[3], ARGV[i + 1]) == 0 then
    return -(i - first) / 2 - 1 end
end
for i = first, expected - 1, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[1], ARGV[i])
  else redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'move', ARGV[1])
return 1
"""
# KEYS: aliases, index; ARGV: version.
FORGET = """
for _, held in ipairs(redis.call('HVALS', KEYS[1])) do if held == ARGV[1] then return 0 end end
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
"""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A complete version.

    Its parts are stored under `token`; `parts` are (SHA-256, bytes) by file name.
    """

    token: str
    number: int  # position in the order of publication
    parts: dict[str, tuple[str, int]]
    format: str = FORMAT

    @property
    def encoded(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()

    @property
    def digest(self) -> str:
        """One hash of all parts."""
        return hashlib.sha256(json.dumps(sorted(self.parts.items())).encode()).hexdigest()


class Models:
    """Bundles, aliases and their trail under a prefix.

    Any thread may call it; StoreError if Redis does not answer.
    """

    def __init__(self, section: Section, *, client: Client | None = None) -> None:
        self._client = client or Client(section)
        self._prefix = section.prefix
        self._index, self._aliases = f"{self._prefix}!models", f"{self._prefix}!aliases"
        self.trail = f"{self._prefix}!moves"

    def publish(self, version: str, files: Mapping[str, bytes], *, instead_of: bytes = b"") -> bool:
        """Upload a version and add it to the index.

        Return False, with nothing changed, if the entry is no longer `instead_of`.
        """
        token = secrets.token_hex(8)
        parts = {name: _told(blob) for name, blob in sorted(files.items())}
        try:
            for name, blob in files.items():
                self._upload(self._part(version, token, name), blob)
                failpoint("during_publish")
            entry = StoredVersion(
                token,
                int(self._ask("number", version, "INCR", f"{self._prefix}!models-published")),
                parts,
            )
            failpoint("before_publish")
            entered = self._enter(version, entry, tuple(parts), before=instead_of)
        except StoreError:
            self._discard(version, token, parts)
            raise
        failpoint("after_publish")
        if not entered:
            self._discard(version, token, parts)
        elif instead_of and (old := _readable(version, instead_of)):
            self._discard(version, old.token, old.parts)
        return entered

    def add(self, version: str, name: str, blob: bytes) -> bool:
        """Add a part to a version; False if the version changed meanwhile."""
        before = self.held(version)
        entry = entry_of(version, before)
        self._upload(self._part(version, entry.token, name), blob)
        now = StoredVersion(entry.token, entry.number, entry.parts | {name: _told(blob)})
        return self._enter(version, now, (name,), before=before)

    def held(self, version: str) -> bytes:
        """The entry of a version as stored; b"" if there is none."""
        return bytes(self._ask("read", version, "HGET", self._index, version) or b"")

    def entry(self, version: str) -> StoredVersion | None:
        """The parsed entry of a version; None if there is none.

        CorruptBundle or SchemaMismatch if it cannot be read.
        """
        found = self.held(version)
        return entry_of(version, found) if found else None

    def versions(self) -> list[str]:
        """Versions in the order of publication; unreadable entries come first."""
        found = self._ask("list", "models", "HGETALL", self._index)
        pairs = (
            found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        )
        return [
            name
            for _, name in sorted(
                (_number(raw), name.decode("utf-8", "replace")) for name, raw in pairs
            )
        ]

    def fetch(self, version: str, entry: StoredVersion) -> dict[str, bytes]:
        """Return all parts of a version, verified; CorruptBundle if one is altered."""
        return {name: self.part(version, entry, name) for name in entry.parts}

    def part(self, version: str, entry: StoredVersion, name: str) -> bytes:
        """Return one part of a version, verified as in `fetch`."""
        (digest, size), key = entry.parts[name], self._part(version, entry.token, name)
        starts = range(0, max(size, 1), PIECE_BYTES)
        blob = b"".join(
            self._ask("read", key, "GETRANGE", key, at, at + PIECE_BYTES - 1) for at in starts
        )
        if _told(blob) != (digest, size):
            raise CorruptBundle(
                f"model {version}: its part {name} is missing or altered in Redis; publish it again"
            )
        return blob

    def aliases(self) -> dict[str, str]:
        found = self._ask("read", "aliases", "HGETALL", self._aliases)
        pairs = (
            found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        )
        return {alias.decode(): version.decode() for alias, version in pairs}

    def move(
        self,
        changes: Mapping[str, str | None],
        expected: Mapping[str, str | None],
        told: Mapping[str, Any],
    ) -> bool:
        """Move aliases if the expected ones hold; ModelError if a version does not exist."""
        words = [
            word
            for pair in (*changes.items(), *expected.items())
            for word in (pair[0], pair[1] or "")
        ]
        keys, head = (
            (self._aliases, self.trail, self._index),
            (json.dumps(told), MOVES_KEPT, len(changes)),
        )
        answer = int(self._ask("move", ", ".join(changes), "EVAL", MOVE, 3, *keys, *head, *words))
        if answer < 0:
            raise ModelError(f"the registry has no version {list(changes.values())[-answer - 1]!r}")
        return bool(answer)

    def moves(self) -> list[Any]:
        """The trail as stored, newest last."""
        found = self._ask("read", "moves", "XREVRANGE", self.trail, "+", "-", "COUNT", MOVES_KEPT)
        return [_decoded(fields) for _, fields in reversed(found)]

    def remove(self, version: str) -> bool:
        """Remove a version; False if an alias points at it."""
        entry = _readable(version, self.held(version))
        if not int(
            self._ask("remove", version, "EVAL", FORGET, 2, self._aliases, self._index, version)
        ):
            return False
        if entry is not None:
            self._discard(version, entry.token, entry.parts)
        return True

    def close(self) -> None:
        self._client.close()

    def _enter(
        self, version: str, entry: StoredVersion, names: tuple[str, ...], before: bytes
    ) -> bool:
        keys = [self._part(version, entry.token, name) for name in names]
        words = (version, before, entry.encoded)
        answer = int(
            self._ask("publish", version, "EVAL", ENTER, 1 + len(keys), self._index, *keys, *words)
        )
        if answer < 0:
            raise StoreError(
                f"cannot publish {version}: its upload took longer than {UNFINISHED_S} s; try again"
            )
        return bool(answer)

    def _upload(self, key: str, blob: bytes) -> None:
        self._ask("write", key, "SET", key, b"", "EX", UNFINISHED_S)
        for at in range(0, len(blob), PIECE_BYTES):
            self._ask("write", key, "SETRANGE", key, at, blob[at : at + PIECE_BYTES])

    def _discard(self, version: str, token: str, names: Mapping[str, object]) -> None:
        with suppress(StoreError):  # if Redis is down, an upload expires
            self._ask(
                "clear", version, "UNLINK", *(self._part(version, token, name) for name in names)
            )

    def _part(self, version: str, token: str, name: str) -> str:
        return f"{self._prefix}!model/{version}/{token}/{name}"

    @property
    def _ask(self) -> Callable[..., Any]:
        return self._client.ask


def _told(blob: bytes) -> tuple[str, int]:
    return hashlib.sha256(blob).hexdigest(), len(blob)


def _number(raw: bytes) -> int:
    try:
        return int(json.loads(raw)["number"])
    except (ValueError, TypeError, KeyError):
        return 0


def entry_of(version: str, raw: bytes) -> StoredVersion:
    """Parse an entry; CorruptBundle or SchemaMismatch if it cannot be read."""
    try:
        told = json.loads(raw)
        check_format(f"model {version} in Redis", told["format"])
        parts = {
            str(name): (str(digest), int(size)) for name, (digest, size) in told["parts"].items()
        }
        return StoredVersion(str(told["token"]), int(told["number"]), parts)
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise CorruptBundle(
            f"model {version}: its entry in Redis cannot be read; publish it again"
        ) from exc


def _readable(version: str, raw: bytes) -> StoredVersion | None:
    """Parse an entry as `entry_of`; None if it is damaged."""
    with suppress(CorruptBundle):
        return entry_of(version, raw)
    return None


def _decoded(fields: Any) -> Any:
    found = (
        dict(fields)
        if isinstance(fields, dict)
        else dict(zip(fields[::2], fields[1::2], strict=True))
    )
    try:
        return json.loads(found.get(b"move", b"null"))
    except ValueError:
        return None


if TYPE_CHECKING:
    from streamer.config import RedisStore as Section

LONGEST_S = 2.0  # bound of one blocking read, and so of a stop


class MoveNotices:
    """Waits for changes of aliases, with a client of its own.

    A blocking read occupies its connection.
    """

    def __init__(self, section: Section, models: Models) -> None:
        self._models = models
        self._blocking = Client(section, timeout_s=LONGEST_S + float(section.timeout))
        self._closed, self._asking = threading.Event(), threading.Lock()

    def wait(self, seen: Mapping[str, str], timeout_s: float) -> Mapping[str, str] | None:
        """Return the aliases once they differ from `seen`.

        None after `timeout_s`, or within LONGEST_S after `close`. StoreError, at once, if Redis
        does not answer: the caller then waits on its own stop event.
        """
        until, after = time.monotonic() + timeout_s, b""
        while True:
            with self._asking:
                if self._closed.is_set():
                    return None
                after = after or self._newest()
                now = self._models.aliases()
                if now != seen:
                    return now
                left_s = until - time.monotonic()
                if left_s <= 0:
                    return None
                after = self._block(after, min(left_s, LONGEST_S))

    def close(self) -> None:
        self._closed.set()
        with self._asking:  # a connection cannot be closed while it is being read
            self._blocking.close()

    def _newest(self) -> bytes:
        found: Any = self._blocking.ask(
            "read", "moves", "XREVRANGE", self._models.trail, "+", "-", "COUNT", 1
        )
        return bytes(found[0][0]) if found else b"0-0"

    def _block(self, after: bytes, timeout_s: float) -> bytes:
        """Wait for an entry newer than `after`; return the id of the newest one seen."""
        words = (
            "COUNT",
            64,
            "BLOCK",
            max(round(timeout_s * 1e3), 1),
            "STREAMS",
            self._models.trail,
            after,
        )
        found: Any = self._blocking.ask("wait for", "moves", "XREAD", *words)
        return next((bytes(entries[-1][0]) for _, entries in found or ()), after)
