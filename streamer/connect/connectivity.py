"""Whether what the configuration connects to can be reached and used: one line per thing, each
failure with its fix.

Every question has its limit in time, and leaves nothing behind.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from streamer import artifact
from streamer.connect.base.deadline import within
from streamer.errors import ConfigError, InputError, StoreError, StreamerError
from streamer.finding import Finding
from streamer.protocols import ALIASES

if TYPE_CHECKING:
    from streamer.config import Config, RedisStore, SchemaRegistry
    from streamer.connect.storage.redis_client import Client
    from streamer.signing import Trust

LIMIT_S = 5.0  # of one server's answer, beyond its own timeouts
PATIENCE_S = 1.0  # for one answer of Redis: a first connection costs more than a command
SKEW_S = 2.0  # a clock that is off by more is told; tokens and certificates fail at minutes
NO_SCHEMA = 2**31 - 1  # an id that no registry has given away yet


def reach(config: Config) -> Iterator[Finding]:
    """Every server that the configuration names, tried one after the other."""
    if config.speaks_kafka:
        yield from _kafka(config)
    if config.store.kind == "redis":
        yield from redis_store(config.store)
    if config.schema_registry is not None:
        yield schema_registry(config.schema_registry)
    if config.model.registry is not None:
        yield model_registry(config)


def model_registry(config: Config) -> Finding:
    """Whether what judges is there, sound, and signed as it must be."""
    from streamer.signing import trust_of

    name, section = "model registry", config.model
    if (
        config.retrain is not None
        and section.registry != "redis"
        and not Path(str(section.registry)).exists()
    ):
        return Finding(
            name,
            "ok",
            f"{section.registry} will be made by the first retrain; until then the starter judges",
        )
    try:
        return _model(name, config, trust_of(section.keys, required=section.require_signature))
    except (StreamerError, TimeoutError) as exc:
        return Finding(name, "fail", *_parted(str(exc), "streamer model list shows what is there"))


def _model(name: str, config: Config, trust: Trust) -> Finding:
    from streamer.connect import open_registry

    registry, alias = open_registry(config), config.model.alias
    assert registry is not None  # one is configured
    with closing(registry):
        count = len(registry.versions())
        if alias in ALIASES and alias not in registry.aliases():
            return Finding(
                name,
                "warn",
                f"{count} versions, none is {alias} yet: the starter judges",
                "streamer model promote VERSION",
            )
        bundle = artifact.load(registry.path(alias), trust)
    return Finding(
        name, "ok", f"{count} versions, {alias} is {bundle.version} ({bundle.sha256[:12]}), sound"
    )


def schema_registry(section: SchemaRegistry) -> Finding:
    """Asks for a schema that nobody has: an honest `no` is an answer."""
    from streamer.connect.formats.schema_registry import SchemaRegistry, UnknownSchemaError

    try:
        SchemaRegistry(section, timeout_s=LIMIT_S).schema(NO_SCHEMA)
    except UnknownSchemaError:
        return Finding("schema registry", "ok", f"{section.url} answers")
    except (InputError, ConfigError) as exc:
        return Finding(
            "schema registry",
            "fail",
            *_parted(str(exc).removesuffix("; records wait"), "correct schema_registry"),
        )
    return Finding("schema registry", "ok", f"{section.url} answers")


def redis_store(section: RedisStore) -> Iterator[Finding]:
    """Reads the clock, writes a key and removes it."""
    try:
        skew_s, policy = within(LIMIT_S, lambda: _redis_answers(section))
    except (StoreError, ConfigError, TimeoutError) as exc:
        yield Finding(
            "redis", "fail", *_parted(str(exc), "look whether it hangs, or correct store.url")
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


def clock_against(server: str, skew_s: float) -> Finding:
    """This machine's clock against a server's, seconds ahead of it."""
    name = f"clock against {server}"
    if abs(skew_s) <= SKEW_S:
        return Finding(name, "ok", f"{abs(skew_s):.1f} s apart")
    way = "ahead" if skew_s > 0 else "behind"
    return Finding(
        name, "warn", f"{abs(skew_s):.1f} s {way}", "let NTP set the clocks of both machines"
    )


def _redis_answers(section: RedisStore) -> tuple[float, str]:
    """Seconds that this machine's clock is ahead, and the eviction policy ("" if it may not be
    asked).
    """
    from streamer.connect.storage.redis_client import Client

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


def _parted(text: str, otherwise: str) -> tuple[str, str]:
    """Problem and fix of a message that holds both."""
    problem, _, fix = text.partition("; ")
    return problem, fix or otherwise


def _kafka(config: Config) -> Iterator[Finding]:
    from streamer.connect.kafka.diagnosis.connect_check import probe

    sources = [stream.source for stream in config.streams if stream.source.kind == "kafka"]
    groups = list(dict.fromkeys(source.group for source in sources))
    reads = list(dict.fromkeys(topic for source in sources for topic in source.named_topics))
    patterns = list(
        dict.fromkeys(source.pattern for source in sources if source.pattern is not None)
    )
    group, writes = groups[0] if groups else None, _written_topics(config)
    found = probe(config.kafka, reads, group, writes=writes, patterns=patterns)
    for group in groups[1:]:
        found += [
            finding
            for finding in probe(config.kafka, (), group)
            if finding.name == f"group {group}"
        ]
    answered = any(finding.ok and finding.name.startswith("broker ") for finding in found)
    for finding in found:
        spare = answered and finding.name.startswith(
            "broker "
        )  # the others of bootstrap_servers do
        status = "warn" if spare and not finding.ok else finding.status
        yield Finding(f"kafka {finding.name}", status, finding.detail, finding.fix)


def _written_topics(config: Config) -> list[str]:
    topics = [sink.topic for sink in config.sinks if sink.kind == "kafka"]
    letters = config.dead_letters
    return [*topics, letters.topic] if letters is not None and letters.kind == "kafka" else topics
