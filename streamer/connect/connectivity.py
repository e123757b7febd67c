"""Whether what the configuration connects to can be reached and used: one line per thing, each
failure with its fix.

Every question has its limit in time, and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from streamer import artifact
from streamer.connect.base.opening import function
from streamer.connect.base.reach import LIMIT_S, parted
from streamer.errors import ConfigError, InputError, StreamerError
from streamer.finding import Finding
from streamer.protocols import ALIASES

if TYPE_CHECKING:
    from streamer.config import Config, SchemaRegistry
    from streamer.config.kinds import Way
    from streamer.config.parts import PartSection
    from streamer.signing import Trust

NO_SCHEMA = 2**31 - 1  # an id that no registry has given away yet


def reach(config: Config) -> Iterator[Finding]:
    """Every server that the configuration names, tried one after the other."""
    asked: dict[Way, list[PartSection]] = {}
    for _, kind, section in config.parts():
        if kind.reach is not None:
            asked.setdefault(kind.reach, []).append(section)
    for way, sections in asked.items():
        yield from function(way)(config, sections)
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
        return Finding(name, "fail", *parted(str(exc), "streamer model list shows what is there"))


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
            *parted(str(exc).removesuffix("; records wait"), "correct schema_registry"),
        )
    return Finding("schema registry", "ok", f"{section.url} answers")
