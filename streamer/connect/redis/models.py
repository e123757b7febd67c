"""Models shared through Redis: bundles as bytes, a pointer that moves by compare-and-set, and notices that it moved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from streamer.connect.redis.client import Client
from streamer.connect.redis.store import RedisStore
from streamer.connect.store_names import checked
from streamer.errors import CorruptBundle, StoreError

if TYPE_CHECKING:
    from streamer.config import RedisStore as Section

CONTENTS = "contents.json"  # written last: a version is there once it is
KEPT_NOTICES = 64

# Repeated after a lost answer it says the same: the pointer is where it was to go.
POINT = """
local now = redis.call('GET', KEYS[1]) or ''
if now == ARGV[2] then return 1 end
if now ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'version', ARGV[2])
return 1
"""


class Models:
    """Versions are written once and never change; aliases point at them. StoreError if Redis does not answer."""

    def __init__(self, section: Section, *, client: Client | None = None) -> None:
        self._client = client or Client(section)
        self._store = RedisStore(section, client=self._client)
        self._prefix = section.prefix

    def publish(self, version: str, parts: Mapping[str, bytes]) -> None:
        """Write a version: its parts, then what they are. Again with the same parts it changes nothing."""
        contents = {name: hashlib.sha256(part).hexdigest() for name, part in sorted(parts.items())}
        there = self._contents(version)
        if there is not None and there != contents:
            raise StoreError(f"cannot publish model {version!r}: there is another one of that version")
        for name, part in parts.items():
            self._store.put(_part(version, name), part)
        self._store.put(_part(version, CONTENTS), json.dumps(contents).encode())

    def fetch(self, version: str) -> dict[str, bytes]:
        """All parts of a version, checked. StoreError if there is none, CorruptBundle if a part is not what it was."""
        contents = self._contents(version)
        if contents is None:
            raise StoreError(f"cannot fetch model {version!r}: it was never published here")
        return {name: self._checked(version, name, digest) for name, digest in contents.items()}

    def versions(self) -> Sequence[str]:
        names = self._store.names("models/")
        return sorted(name.split("/")[1] for name in names if name.endswith(f"/{CONTENTS}"))

    def alias(self, alias: str) -> str | None:
        """The version that an alias points at."""
        found = self._client.ask("read", f"alias {alias}", "GET", self._pointer(alias))
        return None if found is None else str(found.decode())

    def point(self, alias: str, version: str, *, expected: str | None) -> bool:
        """Let an alias point at a version, and tell everybody; False if it does not point at `expected` any more."""
        if self._contents(version) is None:
            raise StoreError(f"cannot point {alias!r} at model {version!r}: it was never published here")
        words = (self._pointer(alias), self.notices(alias), expected or "", version, KEPT_NOTICES)
        return bool(self._client.ask("move", f"alias {alias}", "EVAL", POINT, 2, *words))

    def close(self) -> None:
        self._client.close()

    def _contents(self, version: str) -> dict[str, str] | None:
        found = self._store.get(_part(version, CONTENTS))
        if found is None:
            return None
        try:
            contents: dict[str, str] = json.loads(found)
        except ValueError as exc:
            raise CorruptBundle(f"model {version!r}: its contents cannot be read; publish it again") from exc
        return contents

    def _checked(self, version: str, name: str, digest: str) -> bytes:
        part = self._store.get(_part(version, name))
        if part is None or hashlib.sha256(part).hexdigest() != digest:
            raise CorruptBundle(f"model {version!r}: its part {name!r} is missing or altered; publish it again")
        return part

    def _pointer(self, alias: str) -> str:
        return f"{self._prefix}!alias/{checked(alias)}"

    def notices(self, alias: str) -> str:
        """The stream that gets an entry whenever the alias moves."""
        return f"{self._prefix}!alias-moved/{checked(alias)}"


def _part(version: str, name: str) -> str:
    return f"models/{version}/{name}"
