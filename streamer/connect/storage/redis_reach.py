"""The lines of `check --connect` about a Redis."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from streamer.connect.base.deadline import within
from streamer.connect.base.reach import LIMIT_S, clock_against, parted
from streamer.connect.storage.redis_client import Client
from streamer.errors import ConfigError, StoreError
from streamer.finding import Finding

if TYPE_CHECKING:
    from streamer.config import Config, RedisStore

PATIENCE_S = 1.0  # for one answer of Redis: a first connection costs more than a command


def reach(config: Config | None, sections: Sequence[RedisStore]) -> Iterator[Finding]:
    """The store's Redis: reads its clock, writes a key and removes it."""
    for section in sections:
        yield from _store(section)


def _store(section: RedisStore) -> Iterator[Finding]:
    try:
        skew_s, policy = within(LIMIT_S, lambda: _redis_answers(section))
    except (StoreError, ConfigError, TimeoutError) as exc:
        yield Finding(
            "redis", "fail", *parted(str(exc), "look whether it hangs, or correct store.url")
        )
        return
    yield Finding(
        "redis", "ok", f"{section.url} answers, and keys {section.prefix}:* can be written"
    )
    yield clock_against("redis", skew_s)
    if policy not in {"", "noeviction"}:
        fix = "set maxmemory-policy noeviction, or give the store a Redis of its own"
        yield Finding(
            "redis memory", "warn", f"maxmemory-policy {policy} may throw snapshots away", fix
        )


def _redis_answers(section: RedisStore) -> tuple[float, str]:
    """Seconds that this machine's clock is ahead, and the eviction policy ("" if it may not be
    asked).
    """
    patience_s = max(PATIENCE_S, float(section.timeout))
    with closing(Client(section, timeout_s=patience_s)) as client:
        asked_s = time.time()
        seconds, micros = client.ask("ask", "it for the time", "TIME")
        skew_s = (asked_s + time.time()) / 2 - (int(seconds) + int(micros) / 1e6)
        key = f"{section.prefix}:check:{os.getpid()}"
        client.ask("write", key, "SET", key, b"1", "PX", 10_000)
        client.ask("remove", key, "DEL", key)
        return skew_s, _policy(client)


def _policy(client: Client) -> str:
    """Managed servers hide their settings."""
    try:
        answer = client.ask("read", "maxmemory-policy", "CONFIG", "GET", "maxmemory-policy")
    except StoreError:
        return ""
    found = (
        dict(answer)
        if isinstance(answer, dict)
        else dict(zip(answer[::2], answer[1::2], strict=False))
    )
    return str(found.get(b"maxmemory-policy", b""), "ascii", "replace")
