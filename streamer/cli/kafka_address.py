"""Topics in commands: `kafka://host:port/topic`, or a stream of a configuration."""

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
    """A topic of a cluster."""

    servers: tuple[str, ...]
    topic: str

    def __str__(self) -> str:
        return f"{SCHEME}{','.join(self.servers)}/{self.topic}"


def parse_address(text: str) -> TopicAddress:
    """Parse `kafka://host[:port][,host[:port]...]/topic`.

    ValueError says what to write, and does not repeat a password.
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
    """`kafka://host:port/topic` as a TopicAddress."""

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
    """The sections of a configuration for clusters and registries."""

    kafka: Kafka
    schema_registry: SchemaRegistry | None


def quiet() -> None:
    """Log only errors of streamer, and nothing to standard output.

    It is called before any client is created.
    """
    from streamer import log

    log.setup("error", libraries=False)


def load_base(path: Path | None, sets: tuple[str, ...] = ()) -> Base:
    """Return the sections `kafka` and `schema_registry` of a file; defaults without a file.

    The file needs no other sections.
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
    """Return the cluster of an address with the settings of `base`; UsageError if it is invalid."""
    from streamer.config import Kafka

    section = base.model_dump(exclude={"bootstrap_servers"}, exclude_unset=True)
    try:
        return Kafka(bootstrap_servers=address.servers, **section)
    except ValueError as exc:
        raise click.UsageError(f"{address}: {str(exc).splitlines()[-1].strip()}") from None


def the_stream(config: Config, name: str | None) -> tuple[Stream, KafkaSource]:
    """Return the Kafka stream of that name and its source, or the only one.

    UsageError if the choice is not clear, ConfigError if the stream does not read Kafka.
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
