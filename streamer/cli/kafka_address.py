"""How commands name a topic: `kafka://host:port/topic`, or a stream of a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from streamer.config import Config, Kafka, KafkaSource, SchemaRegistry, Stream

SCHEME = "kafka://"
EXAMPLE = "kafka://localhost:9092/sensors.raw"
PORT = 9092


@dataclass(frozen=True, slots=True)
class TopicAddress:
    """A topic at a cluster."""

    servers: tuple[str, ...]
    topic: str

    def __str__(self) -> str:
        return f"{SCHEME}{','.join(self.servers)}/{self.topic}"


def parse_address(text: str) -> TopicAddress:
    """`kafka://host[:port][,host[:port]...]/topic`; ValueError says what to write, and repeats no
    password.
    """
    rest = text.removeprefix(SCHEME)
    if "@" in rest:
        raise ValueError(
            f"an address holds no user or password: write {SCHEME}host:port/topic and put the "
            f"login into the "
            "kafka.security section of a file that -c names"
        )
    hosts, slash, topic = rest.partition("/")
    servers = tuple(_with_port(host.strip()) for host in hosts.split(",") if host.strip())
    if rest == text or not slash or not topic or "/" in topic or not servers:
        raise ValueError(f"{text!r} is no address of a topic; write {EXAMPLE}")
    return TopicAddress(servers, topic)


def _with_port(host: str) -> str:
    named = host.rpartition("]")[2] if host.startswith("[") else host
    return host if ":" in named else f"{host}:{PORT}"


class TopicParam(click.ParamType[TopicAddress]):
    """`kafka://host:port/topic` as an Address."""

    name = "address"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> TopicAddress:
        try:
            return value if isinstance(value, TopicAddress) else parse_address(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


@dataclass(frozen=True, slots=True)
class Base:
    """The part of a configuration that says how clusters and registries are reached."""

    kafka: Kafka
    schema_registry: SchemaRegistry | None


def quiet() -> None:
    """Before any client is built: only our own errors reach the terminal, and nothing reaches
    standard output.
    """
    from streamer import log

    log.setup("error", libraries=False)


def load_base(path: Path | None, sets: tuple[str, ...] = ()) -> Base:
    """The `kafka:` and `schema_registry:` sections of a file, which needs no others; defaults
    without one.
    """
    import os

    from streamer.config import config_from

    data = {} if path is None else _data(path)
    kept = {name: data[name] for name in ("kafka", "schema_registry") if data.get(name) is not None}
    stand_in = {"name": "none", "source": {"kind": "memory"}}
    config = config_from({"version": 1, "streams": [stand_in], **kept}, sets, dict(os.environ))
    return Base(config.kafka, config.schema_registry)


def _data(path: Path) -> dict[str, Any]:
    import os

    from streamer.config import ConfigErrors
    from streamer.config.document import parse
    from streamer.errors import InputError

    try:
        document = parse(path.read_bytes(), str(path), os.environ)
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    problems = [
        p for p in document.problems if not p.path or p.path[0] in ("kafka", "schema_registry")
    ]
    if problems:
        raise ConfigErrors(problems)
    return document.data if isinstance(document.data, dict) else {}


def at(base: Kafka, address: TopicAddress) -> Kafka:
    """The cluster of an address, reached as `base` says. ConfigError if the address cannot be."""
    from streamer.config import Kafka

    section = base.model_dump(exclude={"bootstrap_servers"}, exclude_unset=True)
    try:
        return Kafka(bootstrap_servers=address.servers, **section)
    except ValueError as exc:
        raise click.UsageError(f"{address}: {str(exc).splitlines()[-1].strip()}") from None


def the_stream(config: Config, name: str | None) -> tuple[Stream, KafkaSource]:
    """The Kafka stream that is meant, and its source: the named one, or the only one.

    UsageError or ConfigError otherwise.
    """
    from streamer.config.kafka_rules import kafka_source
    from streamer.errors import ConfigError

    if name is not None:
        stream = config.stream(name)
        source = kafka_source(stream)
        if source is None:
            problem = f"is a {stream.source.kind} source; this command speaks to topics of Kafka"
            raise ConfigError(f"streams.{name}.source", problem)
        return stream, source
    sources = [(stream, kafka_source(stream)) for stream in config.streams]
    found = [(stream, source) for stream, source in sources if source is not None]
    if len(found) != 1:
        names = ", ".join(stream.name for stream, _ in found)
        problem = (
            f"several streams read Kafka ({names}): choose one"
            if found
            else "no stream reads Kafka: name one"
        )
        raise click.UsageError(f"{problem} with --stream NAME")
    return found[0]
