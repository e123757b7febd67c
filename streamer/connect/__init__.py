"""Where data comes in and alerts go out. The only place that knows files, sockets and other
people's formats.

Here: from the sections of config.yaml to open sources and sinks. What a section names is imported
only then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.errors import ConfigError
from streamer.protocols import FoundPosition, Restore, Restorer

if TYPE_CHECKING:
    from streamer import config
    from streamer.connect.formats.columns import RecordFields
    from streamer.event import Lease, Position
    from streamer.journal import Journal
    from streamer.protocols import DeadLetters, Registry, ScoreSink, Sink, Source, Store

CARD_KEYS = ("customer", "terminal")
JOURNAL = "journal.db"  # in the folder of a file store


def without_memory(found: FoundPosition) -> Restore:
    """The rule of a reader that remembers nothing: from the position on."""
    return Restore(found.position)


def open_source(
    stream: config.Stream,
    *,
    config: config.Config | None = None,
    restore: Restorer = without_memory,
    earned: Callable[[], Mapping[Lease, Position]] = dict,
    joins: bool = True,
) -> Source:
    """The source of a stream, opened. InputError or ConfigError if it cannot be.

    `config` says where the cluster and the schemas are; `restore` and `earned` matter to sources
    with partitions, and one that does not join its group reads all partitions beside it and commits
    nothing.
    """
    section = stream.source
    if section.kind == "kafka":
        return _topic(stream, section, config, restore, earned, joins=joins)
    if section.kind == "file":
        return _file(stream, section)
    if section.kind == "synthetic":
        return _synthetic(stream.name, section)
    if section.kind == "host":
        from streamer.connect.host import HostSource

        return HostSource(float(section.every), stream=stream.name)
    from streamer.connect.memory import MemorySource

    return MemorySource([], endless=True)


def open_history(
    stream: config.Stream, config: config.Config, *, since_s: float, most: int
) -> Source:
    """The past of a Kafka stream from a time (seconds since 1970) on, about `most` records of it,
    read without a group.

    BrokerError if it cannot be read.
    """
    from streamer.connect.formats.factory import decoder_for
    from streamer.connect.kafka.consumer.archive import Archive

    section = stream.source
    if section.kind != "kafka":
        raise ConfigError("source.kind", "only topics keep a past", section.kind)
    return Archive(
        config.kafka,
        section,
        decoder_for(stream, config.schema_registry),
        since_s=since_s,
        most=most,
    )


def open_sink(section: config.Sink, config: config.Config | None = None) -> Sink:
    """The sink, opened; `config` says where the cluster is. SinkError if it cannot be."""
    from streamer.connect.files import sinks
    from streamer.connect.memory import MemorySink

    if section.kind == "kafka":
        from streamer.connect.kafka.producer.alert_sink import KafkaSink

        return KafkaSink(_cluster(config), section)
    if section.kind == "stdout":
        return sinks.StdoutSink()
    return (
        sinks.JsonlSink(section.path, fsync=section.fsync)
        if section.kind == "file"
        else MemorySink()
    )


def exposure(config: config.Config, *, asks: bool = False) -> str | None:
    """What crosses a network in the clear on the way to Kafka, in words; None if nothing does, or
    Kafka is not used.

    `asks`: the bootstrap servers which brokers there are, since these are who records go to.
    """
    sections = [*(stream.source for stream in config.streams), *config.sinks, config.dead_letters]
    if all(section is None or section.kind != "kafka" for section in sections):
        return None
    from streamer.connect.kafka.client import security
    from streamer.connect.kafka.diagnosis import broker_check

    found = security.exposure(config.kafka)
    if found is not None or not asks or config.kafka.security.encrypted:
        return found
    return security.exposure(config.kafka, broker_check.advertised(config.kafka))


def open_letters(config: config.Config) -> DeadLetters | None:
    """Where rejected records go, opened; None if nowhere. SinkError if it cannot be."""
    section = config.dead_letters
    if section is None:
        return None
    if section.kind == "kafka":
        from streamer.connect.dead_letters.kafka_sink import LetterTopic

        return LetterTopic(config.kafka, section)
    from streamer.connect.dead_letters.letter import LetterFile

    return LetterFile(section.path)


def open_store(config: config.Config) -> Store | None:
    """Where snapshots are kept; None if nowhere. A Redis that is down is no error. StoreError of a
    folder that is.
    """
    section = config.store
    if section.kind == "files":
        from streamer.connect.storage.files_store import FileStore

        return FileStore(section.path)
    if section.kind == "redis":
        from streamer.connect.storage.redis_store import RedisStore

        return RedisStore(section)
    return None


def open_journal(config: config.Config) -> Journal:
    """What is known of the past: beside the snapshots; in memory where nothing is kept. StoreError
    if it cannot be.
    """
    from streamer.connect.storage.sqlite_journal import SqliteJournal

    section = config.store
    if section.kind == "redis":
        from streamer.connect.storage.redis_journal import RedisJournal

        return RedisJournal(section)
    return SqliteJournal(Path(section.path) / JOURNAL if section.kind == "files" else None)


def open_registry(config: config.Config, *, create: bool = False) -> Registry | None:
    """The registry of models; None where none is configured. A Redis that is down is no error.

    ConfigError if its folder is not there, unless it may be created.
    """
    section, store = config.model, config.store
    if section.registry is None:
        return None
    if section.registry == "redis" and store.kind == "redis":
        from streamer.connect.storage.redis_registry import RedisRegistry

        return RedisRegistry(store)
    from streamer.connect.storage.files_registry import DirectoryRegistry

    return DirectoryRegistry(section.registry, create=create)


def open_scores(
    section: config.ScoreOutput, stream: config.Stream, channels: Sequence[str]
) -> ScoreSink:
    """The file for the scores of a stream, continued if it is there. SinkError if it cannot be."""
    from streamer.connect.files.scores import ScoreCsv, ScoreJsonl

    kind = ScoreCsv if section.kind == "csv" else ScoreJsonl
    path = section.path_for(stream.name)
    return kind(
        path, channels, keys=entity_names(stream), clock=stream.has_clock, append=True, model=True
    )


def entity_names(stream: config.Stream) -> tuple[str, ...]:
    """The entity keys of the stream's events; none where the whole stream is one entity."""
    from streamer.connect.formats.record_metadata import plain

    cards = stream.source.kind == "synthetic" and stream.source.world == "cards"
    return CARD_KEYS if cards else tuple(map(plain, stream.fields.entity))


def _cluster(config: config.Config | None) -> config.Kafka:
    from streamer.config import Kafka

    return Kafka() if config is None else config.kafka


def _topic(
    stream: config.Stream,
    section: config.KafkaSource,
    config: config.Config | None,
    restore: Restorer,
    earned: Callable[[], Mapping[Lease, Position]],
    *,
    joins: bool,
) -> Source:
    from streamer.connect.formats.factory import decoder_for
    from streamer.connect.kafka.consumer.factory import open_topics

    registry = None if config is None else config.schema_registry
    decoder = decoder_for(stream, registry)
    return open_topics(_cluster(config), section, decoder, restore, earned=earned, joins=joins)


def _file(stream: config.Stream, section: config.FileSource) -> Source:
    from streamer.connect.files.source import FileSource

    return FileSource(
        section.path,
        _fields(stream.fields, section),
        stream=stream.name,
        form=section.format,
        separator=section.separator,
        rows=section.poll_rows,
        pace=section.pace,
        max_line_bytes=int(section.max_line),
    )


def _fields(section: config.Fields, source: config.FileSource) -> RecordFields:
    """The fields as configured; channels that are not named are looked for in the file."""
    from streamer.connect.files.infer import guess_fields
    from streamer.connect.files.lines import is_pipe
    from streamer.connect.formats.factory import fields_of
    from streamer.connect.formats.record_metadata import plain

    if section.channels:
        return fields_of(section)
    if is_pipe(source.path):
        raise ConfigError(
            "fields.channels", "must be named for a pipe, which cannot be read twice", source.path
        )
    separator = None if source.separator == "auto" else source.separator
    time, entity = (
        plain(section.time.path) if section.time else "",
        tuple(map(plain, section.entity)),
    )
    return fields_of(
        section,
        guess_fields(source.path, time=time, entity=entity, separator=separator).fields.channels,
    )


def _synthetic(name: str, section: config.SyntheticSource) -> Source:
    from streamer.connect.simulate.source import SyntheticSource

    return SyntheticSource(
        section.world,
        seed=section.seed,
        entities=section.entities,
        faults=section.faults,
        stream=name,
        rows=section.poll_rows,
        events=section.events,
        pace=section.pace,
    )
