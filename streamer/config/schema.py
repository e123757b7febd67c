"""config.yaml as one frozen value: a section per part. Everything it accepts has an effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr

from streamer.config.address import MAX_PORT, is_loopback
from streamer.config.base import Count, Rule, Section, Text, Whole, blank_is_none, repeated
from streamer.config.kafka import DeadLetterTopic, Kafka, KafkaSink
from streamer.config.kafka_rules import kafka_rules
from streamer.config.kinds import DeadLetterKind, Kind, Kinds, SinkKind
from streamer.config.learning import Drift, Retrain, learning_rules
from streamer.config.model import Model, registry_rules
from streamer.config.origin import Path, SettingOrigin
from streamer.config.parts import DeadLetterSection, PartSection, SinkSection
from streamer.config.state import (
    LABELS,
    STORES,
    DeadLetterFile,
    Labels,
    NoStore,
    SchemaRegistry,
    Snapshots,
    Store,
)
from streamer.config.stream import SOURCES, Stream
from streamer.config.units import Duration
from streamer.errors import ConfigError


class StdoutSink(SinkSection):
    """One plain sentence per alert on standard output."""

    kind: Literal["stdout"] = Field(description="Selects standard output as the sink.")


class FileSink(SinkSection):
    """Alerts appended to a JSONL file."""

    kind: Literal["file"] = Field(description="Selects a file as the sink.")
    path: Text = Field(description="JSONL file that alerts are appended to.")
    fsync: bool = Field(
        default=False,
        description="Whether each write is synced to the disk before it counts as delivered. Set "
        "true where a power failure must not lose alerts.",
    )

    @property
    def local_file(self) -> str:
        return self.path


class MemorySink(SinkSection):
    """Alerts kept for the program that embeds streamer."""

    kind: Literal["memory"] = Field(description="Selects the embedding program as the sink.")


SINKS = Kinds(
    "sinks",
    SinkKind(StdoutSink, "streamer.connect.files.sinks:open_stdout"),
    SinkKind(FileSink, "streamer.connect.files.sinks:open_file"),
    SinkKind(MemorySink, "streamer.connect.memory:open_sink"),
    SinkKind(
        KafkaSink,
        "streamer.connect.kafka.producer.alert_sink:open_sink",
        reach="streamer.connect.kafka.diagnosis.reach:reach",
    ),
    group="streamer.sinks",
)
DEAD_LETTERS = Kinds(
    "dead_letters",
    DeadLetterKind(
        DeadLetterTopic,
        "streamer.connect.dead_letters.kafka_sink:open_letters",
        reach="streamer.connect.kafka.diagnosis.reach:reach",
        inbox="streamer.connect.dead_letters.kafka_inbox:open_inbox",
    ),
    DeadLetterKind(
        DeadLetterFile,
        "streamer.connect.dead_letters.letter:open_letters",
        inbox="streamer.connect.dead_letters.inbox:open_inbox",
    ),
)
Sink = Annotated[SinkSection, SINKS]
DeadLetters = Annotated[DeadLetterSection, DEAD_LETTERS]


class ScoreOutput(Section):
    """The scores of every event, one line each; `{stream}` in the path is the stream's name."""

    kind: Literal["jsonl", "csv"] = Field(
        default="csv", description="Format of the file: rows of CSV or lines of JSON."
    )
    path: Text = Field(
        description="File that the judgement of every event is appended to. With several streams "
        "it must hold `{stream}`."
    )

    def path_for(self, stream: str) -> str:
        return self.path.replace("{stream}", stream)


class Server(Section):
    """The HTTP address. An address other than loopback needs a token."""

    enabled: bool = Field(
        default=True,
        description="Whether the HTTP interface is opened. Set false where no port may be open.",
    )
    listen: Text = Field(
        default="127.0.0.1:8080",
        description="Address as host:port. An address that others can reach needs a token.",
    )
    token: Annotated[SecretStr | None, BeforeValidator(blank_is_none)] = Field(
        default=None,
        description="Token that every request but the probes must bear. Write "
        "`${file:/run/secrets/name}` or a variable, never the token itself.",
    )

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the address."""
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
    """Bounds of the daemon in memory and time."""

    mailbox_batches: Annotated[Count, Field(le=10_000)] = Field(
        default=8,
        description="Polls that wait between reader and scorer at most; the source is paused while "
        "it is full. Lower it for less memory.",
    )
    # A partition of 200 entities catches up an eighth faster than with 4096, because more entities
    # are anchored at once.
    batch_rows: Annotated[Count, Field(le=1_000_000)] = Field(
        default=16_384,
        description="Events that are scored together at most. Lower it for steadier latency, raise "
        "it for a faster catch-up with many entities.",
    )
    undelivered_alerts: Annotated[Count, Field(le=10_000_000)] = Field(
        default=10_000,
        description="Alerts that are kept for another attempt while a sink is down. When it is "
        "full, scoring stops until they are delivered.",
    )
    recent_alerts: Annotated[Whole, Field(le=1_000_000)] = Field(
        default=1000,
        description="Alerts that the HTTP interface shows. More use more memory, about 3 kB each.",
    )
    retry_first: Duration = Field(
        default=Duration(0.5),
        description="Wait after the first failure of a source or sink; it doubles at each further "
        "one. Raise it to spare a server that comes up slowly.",
    )
    retry_max: Duration = Field(
        default=Duration(30),
        description="Longest wait between two attempts. Lower it for a quicker recovery after a "
        "long outage.",
    )
    drain: Duration = Field(
        default=Duration(30),
        description="Time after the first signal in which what was read is still judged and "
        "delivered. Keep it below the grace period of what sends the signal.",
    )
    cores: Annotated[tuple[Annotated[Whole, Field(le=4095)], ...], Field(max_length=4096)] = Field(
        default=(),
        description="Processor cores to stay on; empty is all. One core for each process makes the "
        "slowest alerts faster. Workers take them in turn.",
    )

    def rules(self) -> Iterator[Rule]:
        if not 0 < self.retry_first <= self.retry_max:
            yield ("retry_first",), f"must be above 0s and at most retry_max ({self.retry_max})"


class Log(Section):
    """The log; `auto` is console on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="Least severe messages that are logged. Set debug to look into a problem.",
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="Form of the log; auto is console on a terminal and JSON elsewhere.",
    )


def _version(raw: object) -> object:
    return int(raw) if isinstance(raw, str) and raw == "1" else raw  # flags and variables are text


class Config(Section):
    """The whole configuration."""

    version: Annotated[Literal[1], BeforeValidator(_version)] = Field(
        description="Version of the format of this file; always 1."
    )
    streams: Annotated[tuple[Stream, ...], Field(min_length=1, max_length=1000)] = Field(
        description="The streams to watch, one at least."
    )
    kafka: Kafka = Field(
        default=Kafka(), description="The cluster that sources, sinks and labels of kind kafka use."
    )
    schema_registry: SchemaRegistry | None = Field(
        default=None, description="Where schemas of Avro records are looked up."
    )
    model: Model = Field(default=Model(), description="Which model judges, and what runs it.")
    sinks: tuple[Sink, ...] = Field(
        default=(StdoutSink(kind="stdout"),),
        description="Where alerts go. Each sink gets every alert.",
    )
    dead_letters: DeadLetters | None = Field(
        default=None,
        description="Where rejected records go. Null counts them and passes over them.",
    )
    labels: Labels | None = Field(
        default=None,
        description="Where operators' labels come from, beside the command line and the HTTP "
        "interface.",
    )
    scores: ScoreOutput | None = Field(
        default=None, description="Where the judgement of every event goes. Null writes none."
    )
    retrain: Retrain | None = Field(
        default=None, description="When the model is trained again. Null never trains."
    )
    drift: Drift = Field(
        default=Drift(), description="When live traffic counts as different from the training data."
    )
    store: Store = Field(
        default=NoStore(),
        description="Where snapshots, and the journal of incidents and labels, are kept.",
    )
    snapshots: Snapshots = Field(
        default=Snapshots(), description="How often the memory is written to the store."
    )
    server: Server = Field(default=Server(), description="The HTTP interface.")
    runtime: Runtime = Field(default=Runtime(), description="Bounds of memory and time.")
    log: Log = Field(default=Log(), description="What is logged.")

    _origins: Mapping[Path, SettingOrigin] = PrivateAttr(default_factory=dict)

    def stream(self, name: str) -> Stream:
        """Return the stream of that name; ConfigError lists the known ones."""
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
        yield from registry_rules(self.model, self.store)
        yield from learning_rules(self.retrain, self.model)
        yield from self._letter_rules()
        yield from self._schema_rules()
        yield from kafka_rules(self)

    def written_files(self) -> set[str]:
        """Return the files that sinks and scores write."""
        paths = {sink.local_file for sink in self.sinks if sink.local_file is not None}
        return (
            paths
            if self.scores is None
            else paths | {self.scores.path_for(stream.name) for stream in self.streams}
        )

    @property
    def speaks_kafka(self) -> bool:
        """Whether any part reads from or writes to the cluster."""
        return any(section.speaks_kafka for _, _, section in self.parts())

    def parts(self) -> Iterator[tuple[Path, Kind, PartSection]]:
        """Yield every section with a kind: its place, its row, and the section."""
        for i, stream in enumerate(self.streams):
            yield ("streams", i, "source"), SOURCES.of(stream.source), stream.source
        for i, sink in enumerate(self.sinks):
            yield ("sinks", i), SINKS.of(sink), sink
        if self.dead_letters is not None:
            yield ("dead_letters",), DEAD_LETTERS.of(self.dead_letters), self.dead_letters
        if self.labels is not None:
            yield ("labels",), LABELS.of(self.labels), self.labels
        yield ("store",), STORES.of(self.store), self.store

    def _output_rules(self) -> Iterator[Rule]:
        paths = [
            f" {i}" if sink.local_file is None else sink.local_file
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

    def _letter_rules(self) -> Iterator[Rule]:
        path = None if self.dead_letters is None else self.dead_letters.local_file
        if path in self.written_files():
            yield ("dead_letters", "path"), f"{path!r} is written by a sink too"

    def _schema_rules(self) -> Iterator[Rule]:
        for i, stream in enumerate(self.streams):
            framing = stream.source.framing
            if framing is not None and framing.format == "avro" and self.schema_registry is None:
                yield (
                    ("streams", i, "source", "format"),
                    "avro needs schema_registry: {url: ...}, where its schemas are",
                )

    def _stdin_rules(self) -> Iterator[Rule]:
        readers = [i for i, stream in enumerate(self.streams) if stream.source.local_file == "-"]
        yield from (
            (("streams", i, "source", "path"), "standard input is read by another stream")
            for i in readers[1:]
        )

    def effective(self) -> list[tuple[str, str, str]]:
        """Return (path, value as YAML text, origin) of every setting; secrets are masked."""
        from streamer.config.effective import listing

        return listing(self, self._origins)

    @property
    def origins(self) -> Mapping[Path, SettingOrigin]:
        """The origin of each value that is not a default."""
        return self._origins
