"""The checks of `streamer doctor` for Kafka, Redis and the snapshot folder."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.finding import Finding, Status

if TYPE_CHECKING:
    from streamer.config import Config

# the oldest version that recovers from outages, and the one that the tests use
TRIED_CLIENT = 3, 0, 12
# Compression of records -> module that kafka-python needs for it; gzip is in the standard library.
CODECS = {"lz4": "lz4", "snappy": "snappy", "zstd": "zstandard"}


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def release(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def libraries(
    config: Config | None,
    has: Callable[[str], bool] = installed,
    version_of: Callable[[str], str | None] = release,
) -> Iterator[Finding]:
    """Check the clients of Kafka and Redis; only what the configuration needs is required."""
    needs_kafka = config is not None and config.speaks_kafka
    yield kafka_client(version_of("kafka-python"), needed=needs_kafka)
    yield crc32c(has("crc32c"), needed=needs_kafka)
    yield compression(
        {name for name, module in CODECS.items() if has(module)}, _compressions(config)
    )
    if config is not None and _reads_avro(config) and not has("fastavro"):
        yield Finding("avro", "fail", "fastavro is not installed", "pip install 'streamer[avro]'")
    for package in _required(config):
        if not has(package):
            yield Finding(
                f"{package} client",
                "fail",
                f"{package} is not installed",
                "pip install --force-reinstall streamer",
            )


def kafka_client(found: str | None, *, needed: bool) -> Finding:
    """Check the version of kafka-python.

    Another version may work. Then records are read one by one, because its internals are unknown.
    """
    status: Status = "fail" if needed else "warn"
    wanted = ".".join(map(str, TRIED_CLIENT))
    fix = f"pip install 'kafka-python=={wanted}'"
    if found is None:
        return Finding("kafka client", status, "kafka-python is not installed", fix)
    if tuple(map(int, re.findall(r"\d+", found)[:3])) < TRIED_CLIENT:
        return Finding(
            "kafka client", status, f"kafka-python {found} loses its way after outages", fix
        )
    if found != wanted:
        return Finding(
            "kafka client", "warn", f"kafka-python {found} was never tried, and reads slower", fix
        )
    return Finding("kafka client", "ok", f"kafka-python {found}")


def crc32c(there: bool, *, needed: bool) -> Finding:
    if there:
        return Finding("crc32c", "ok", "is installed")
    problem = "is not installed: checking records takes most of the time, a third as many are read"
    return Finding("crc32c", "fail" if needed else "warn", problem, "pip install crc32c")


def compression(there: set[str], wanted: set[str]) -> Finding:
    """Check the codecs: those that a sink writes are required; those of producers are unknown."""
    missing = sorted(set(CODECS) - there)
    lacking = sorted(wanted & set(missing))
    fix = "pip install 'streamer[compression]'"
    if lacking:
        return Finding(
            "compression", "fail", f"a sink wants {', '.join(lacking)}, which is not installed", fix
        )
    if missing:
        return Finding(
            "compression", "warn", f"topics compressed by {', '.join(missing)} cannot be read", fix
        )
    return Finding("compression", "ok", f"gzip, {', '.join(sorted(there))}")


def servers(config: Config) -> Iterator[Finding]:
    """Check everything that the configuration connects to."""
    from streamer.connect.connectivity import reach

    yield from reach(config)


def state_folder(path: Path) -> Finding:
    """Check that snapshots can be written, or that their folder can be created."""
    spot = (
        path
        if path.exists()
        else next(parent for parent in path.absolute().parents if parent.exists())
    )
    if path.exists() and not path.is_dir():
        return Finding("store", "fail", f"{path} is a file", "name a folder in store.path")
    if not os.access(spot, os.W_OK | os.X_OK):
        return Finding(
            "store",
            "fail",
            f"{spot} cannot be written",
            "chown it to this user, or change store.path",
        )
    return Finding("store", "ok", f"snapshots can be written to {path}")


def existing(path: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    found = path.absolute()
    return found if found.is_dir() else next(parent for parent in found.parents if parent.is_dir())


def _required(config: Config | None) -> list[str]:
    """Return the packages that the sections require, each once."""
    parts = () if config is None else config.parts()
    return list(dict.fromkeys(name for _, _, section in parts for name in section.requires))


def _compressions(config: Config | None) -> set[str]:
    if config is None:
        return set()
    from streamer.config.kafka_rules import alert_topics

    return {sink.compression for sink in alert_topics(config).values()}


def _reads_avro(config: Config) -> bool:
    framings = (stream.source.framing for stream in config.streams)
    return any(framing is not None and framing.format == "avro" for framing in framings)
