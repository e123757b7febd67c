"""The registries under contract: how each is opened, damaged, and published into by a process that
gets killed.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

from streamer import failpoints
from streamer.config import RedisStore as Section
from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.connect.storage.redis_registry import RedisRegistry
from streamer.protocols import Registry

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Kind:
    """One kind of registry at one place; `url` is empty for a folder."""

    home: Path
    url: str = ""
    prefix: str = ""

    @classmethod
    def in_redis(cls, home: Path, url: str) -> Kind:
        return cls(home, url, f"registry-{os.getpid()}-{next(_numbers)}")

    def open(self, cache: str = "cache") -> Registry:
        if not self.url:
            return DirectoryRegistry(self.home / "registry", create=True)
        return RedisRegistry(self.section, cache=self.home / cache)

    @property
    def section(self) -> Section:
        # A machine whose processors are all taken answers late; nothing here measures that.
        return Section.model_validate(
            {"kind": "redis", "url": self.url, "prefix": self.prefix, "timeout": "5s"}
        )

    def damage(self, version: str, part: str, blob: bytes | None) -> None:
        """Let a part of a published version be other bytes, or be gone."""
        if not self.url:
            path = self.home / "registry" / "versions" / version / part
            path.unlink()
            if blob is not None:
                path.write_bytes(blob)
            return
        from redis import Redis

        with Redis.from_url(self.url) as client:
            (key,) = client.keys(f"{self.prefix}!model/{version}/*/{part}")
            client.set(key, blob) if blob is not None else client.delete(key)


def publish_and_move(kind: Kind, bundle: Path, version: str, strike: str, started: Path) -> None:
    """What the killed child does: at the failpoint, or whenever its parent pleases."""
    name, _, count = strike.partition(":")
    failpoints._NAME, failpoints._left = name, int(count or 1)
    registry = kind.open()
    started.touch()
    registry.publish(bundle)
    registry.move(
        {"champion": version, "previous": registry.aliases().get("champion")}, why=version
    )
    time.sleep(60)  # the parent kills
