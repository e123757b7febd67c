"""config.yaml as one frozen value: a section per part. What a section accepts, the program does;
nothing is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr

from streamer.config.across import kafka_rules
from streamer.config.address import MAX_PORT, is_loopback
from streamer.config.base import Count, Rule, Section, Text, Whole, blank_is_none, repeated
from streamer.config.kafka import DeadLetterTopic, Kafka, KafkaSink
from streamer.config.learning import Drift, Retrain, learning_rules
from streamer.config.model import Model, registry_rules
from streamer.config.origin import Path, SettingOrigin
from streamer.config.state import DeadLetterFile, Labels, NoStore, SchemaRegistry, Snapshots, Store
from streamer.config.stream import FileSource, Stream
from streamer.config.units import Duration
from streamer.errors import ConfigError


class StdoutSink(Section):
    """One plain sentence per alert on standard output."""

    kind: Literal["stdout"]


class FileSink(Section):
    """Alerts appended to a JSONL file."""

    kind: Literal["file"]
    path: Text
    fsync: bool = False


class MemorySink(Section):
    """Alerts kept for the program that embeds streamer."""

    kind: Literal["memory"]


Sink = Annotated[StdoutSink | FileSink | MemorySink | KafkaSink, Field(discriminator="kind")]
DeadLetters = Annotated[DeadLetterTopic | DeadLetterFile, Field(discriminator="kind")]


class ScoreOutput(Section):
    """The judgement of every event, one line each; `{stream}` in the path stands for the stream's
    name.
    """

    kind: Literal["jsonl", "csv"] = "csv"
    path: Text

    def path_for(self, stream: str) -> str:
        return self.path.replace("{stream}", stream)


class Server(Section):
    """The HTTP address. Another one than loopback needs a token."""

    enabled: bool = True
    listen: Text = "127.0.0.1:8080"
    token: Annotated[SecretStr | None, BeforeValidator(blank_is_none)] = None

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def loopback(self) -> bool:
        """True if only this machine can reach the address."""
        return is_loopback(self.host)

    def rules(self) -> Iterator[Rule]:
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > MAX_PORT:
            yield ("listen",), f'must be host:port, such as "127.0.0.1:8080", got {self.listen!r}'
        elif self.enabled and not self.loopback and self.token is None:
            yield (
                ("token",),
                f"is needed: {self.listen} can be reached from outside; set it or listen on "
                f"127.0.0.1",
            )
        secret = self.token.get_secret_value() if self.token else ""
        if not (secret.isascii() and secret.isprintable()):
            yield ("token",), "must be printable ASCII without line breaks"


class Runtime(Section):
    """Bounds of the daemon: what may wait in memory, and for how long."""

    mailbox_batches: Annotated[Count, Field(le=10_000)] = (
        8  # between reader and scorer; full = the source is paused
    )
    # Events scored together at most. A partition of 200 entities catches up an eighth faster than
    # at 4096: more of them are anchored at once.
    batch_rows: Annotated[Count, Field(le=1_000_000)] = 16_384
    undelivered_alerts: Annotated[Count, Field(le=10_000_000)] = (
        10_000  # kept for retry while a sink is down
    )
    recent_alerts: Annotated[Whole, Field(le=1_000_000)] = 1000  # shown by the HTTP interface
    retry_first: Duration = Duration(0.5)  # doubled at each failure ...
    retry_max: Duration = Duration(30)  # ... up to this
    drain: Duration = Duration(30)  # after the first signal
    # Processor cores to stay on; empty = all. With one for each process the slowest alerts are
    # faster and each event cheaper. Workers take them in turn; a training is not bound.
    cores: Annotated[tuple[Annotated[Whole, Field(le=4095)], ...], Field(max_length=4096)] = ()

    def rules(self) -> Iterator[Rule]:
        if not 0 < self.retry_first <= self.retry_max:
            yield ("retry_first",), f"must be above 0s and at most retry_max ({self.retry_max})"


class Log(Section):
    """What is logged; `auto` is console on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


def _version(raw: object) -> object:
    return int(raw) if isinstance(raw, str) and raw == "1" else raw  # flags and variables are text


class Config(Section):
    """The whole configuration."""

    version: Annotated[Literal[1], BeforeValidator(_version)]
    streams: Annotated[tuple[Stream, ...], Field(min_length=1, max_length=1000)]
    kafka: Kafka = Kafka()
    schema_registry: SchemaRegistry | None = None
    model: Model = Model()
    sinks: tuple[Sink, ...] = (StdoutSink(kind="stdout"),)
    dead_letters: DeadLetters | None = None  # null: rejected records are counted and passed over
    labels: Labels | None = (
        None  # where operators' labels come from, besides the command line and the API
    )
    scores: ScoreOutput | None = None
    retrain: Retrain | None = None  # null: never by itself
    drift: Drift = Drift()
    store: Store = NoStore()
    snapshots: Snapshots = Snapshots()
    server: Server = Server()
    runtime: Runtime = Runtime()
    log: Log = Log()

    _origins: Mapping[Path, SettingOrigin] = PrivateAttr(default_factory=dict)

    def stream(self, name: str) -> Stream:
        """The stream of that name; ConfigError naming the known ones."""
        found = next((s for s in self.streams if s.name == name), None)
        if found is None:
            known = ", ".join(stream.name for stream in self.streams)
            raise ConfigError("streams", f"no stream is named {name!r}; there are: {known}")
        return found

    def rules(self) -> Iterator[Rule]:
        names = [stream.name for stream in self.streams]
        yield from (
            (("streams", i, "name"), f"{names[i]!r} is the name of two streams")
            for i in repeated(names)
        )
        yield from self._output_rules()
        yield from self._stdin_rules()
        yield from registry_rules(self.model, self.store.kind)
        yield from learning_rules(self.retrain, self.model)
        yield from kafka_rules(self)

    def written_files(self) -> set[str]:
        """Files that sinks and scores write."""
        paths = {sink.path for sink in self.sinks if isinstance(sink, FileSink)}
        return (
            paths
            if self.scores is None
            else paths | {self.scores.path_for(stream.name) for stream in self.streams}
        )

    @property
    def speaks_kafka(self) -> bool:
        """Whether any part reads from or writes to the cluster."""
        parts = [
            *(stream.source for stream in self.streams),
            *self.sinks,
            self.dead_letters,
            self.labels,
        ]
        return any(part is not None and part.kind == "kafka" for part in parts)

    def _output_rules(self) -> Iterator[Rule]:
        paths = [
            sink.path if isinstance(sink, FileSink) else f" {i}"
            for i, sink in enumerate(self.sinks)
        ]
        yield from (
            (("sinks", i, "path"), f"{paths[i]!r} is written by two sinks") for i in repeated(paths)
        )
        if self.scores is None:
            return
        if self.scores.path in paths:
            yield ("scores", "path"), f"{self.scores.path!r} is written by a sink too"
        if len(self.streams) > 1 and "{stream}" not in self.scores.path:
            problem = (
                f"must hold {{stream}} where there are {len(self.streams)} streams: "
                f"scores-{{stream}}.csv"
            )
            yield ("scores", "path"), problem

    def _stdin_rules(self) -> Iterator[Rule]:
        paths = [s.source.path if isinstance(s.source, FileSource) else "" for s in self.streams]
        readers = [i for i, path in enumerate(paths) if path == "-"]
        yield from (
            (("streams", i, "source", "path"), "standard input is read by another stream")
            for i in readers[1:]
        )

    def effective(self) -> list[tuple[str, str, str]]:
        """(path, value as YAML text, origin) of every setting; secrets are masked."""
        from streamer.config.effective import listing

        return listing(self, self._origins)

    @property
    def origins(self) -> Mapping[Path, SettingOrigin]:
        """Where each value that is not a default was said."""
        return self._origins
