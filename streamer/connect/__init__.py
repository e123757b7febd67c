"""Where data comes in and alerts go out. The only place that knows files, sockets and other
people's formats.

Here: from the sections of config.yaml to open sources and sinks. The tables of kinds
(streamer.config.kinds) say which function opens which section; what it names is imported only then.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.connect.base.opening import SourceContext, function
from streamer.connect.base.opening import without_memory as without_memory
from streamer.errors import ConfigError
from streamer.protocols import Restorer

if TYPE_CHECKING:
    from streamer import config
    from streamer.connect.dead_letters.inbox import LetterBox
    from streamer.connect.storage.training_lock import TrainingLock
    from streamer.journal import Journal
    from streamer.protocols import DeadLetters, Registry, ScoreSink, Sink, Source, Store


def open_source(
    stream: config.Stream,
    *,
    config: config.Config | None = None,
    restore: Restorer = without_memory,
    joins: bool = True,
) -> Source:
    """The source of a stream, opened. InputError or ConfigError if it cannot be.

    The other arguments are those of `SourceContext`.
    """
    from streamer.config.stream import SOURCES

    context = SourceContext(config, restore, joins)
    section = stream.source
    source: Source = function(SOURCES.of(section).open)(stream, section, context)
    return source


def open_history(
    stream: config.Stream, config: config.Config, *, since_s: float, most: int
) -> Source:
    """The past of a stream's topics from a time (seconds since 1970) on, about `most` records of
    it, read without a group.

    BrokerError if it cannot be read.
    """
    from streamer.config.stream import SOURCES

    section = stream.source
    way = SOURCES.of(section).history
    if way is None:
        raise ConfigError("source.kind", "only topics keep a past", section.kind)
    source: Source = function(way)(stream, section, config, since_s=since_s, most=most)
    return source


def open_sink(section: config.Sink, config: config.Config | None = None) -> Sink:
    """The sink, opened; `config` says where the cluster is. SinkError if it cannot be."""
    from streamer.config.schema import SINKS

    sink: Sink = function(SINKS.of(section).open)(section, config)
    return sink


def exposure(config: config.Config, *, asks: bool = False) -> str | None:
    """What crosses a network in the clear on the way to Kafka, in words; None if nothing does, or
    Kafka is not used.

    `asks`: the bootstrap servers which brokers there are, since these are who records go to.
    """
    sections = [*(stream.source for stream in config.streams), *config.sinks, config.dead_letters]
    if not any(section is not None and section.speaks_kafka for section in sections):
        return None
    from streamer.connect.kafka.client import security
    from streamer.connect.kafka.diagnosis import broker_check

    found = security.exposure(config.kafka)
    if found is not None or not asks or config.kafka.security.encrypted:
        return found
    return security.exposure(config.kafka, broker_check.advertised(config.kafka))


def open_letters(config: config.Config) -> DeadLetters | None:
    """Where rejected records go, opened; None if nowhere. SinkError if it cannot be."""
    from streamer.config.schema import DEAD_LETTERS

    section = config.dead_letters
    if section is None:
        return None
    letters: DeadLetters = function(DEAD_LETTERS.of(section).open)(section, config)
    return letters


def open_inbox(config: config.Config, mark: str) -> LetterBox:
    """The letters that were kept. `mark` stands for a worker's number in the path of a file.

    ConfigError where none are kept, BrokerError if they cannot be read.
    """
    from streamer.config.schema import DEAD_LETTERS

    section = config.dead_letters
    if section is None:
        raise ConfigError(
            "dead_letters", "is not set, so rejected records are counted and not kept"
        )
    box: LetterBox = function(DEAD_LETTERS.of(section).inbox)(section, config, mark)
    return box


def open_store(config: config.Config) -> Store | None:
    """Where snapshots are kept; None if nowhere. A Redis that is down is no error. StoreError of a
    folder that is.
    """
    from streamer.config.state import STORES

    store: Store | None = function(STORES.of(config.store).open)(config.store)
    return store


def open_journal(config: config.Config) -> Journal:
    """What is known of the past: beside the snapshots; in memory where nothing is kept. StoreError
    if it cannot be.
    """
    from streamer.config.state import STORES

    journal: Journal = function(STORES.of(config.store).journal)(config.store)
    return journal


def open_turns(config: config.Config) -> TrainingLock:
    """Where the configured members agree on whose turn it is: their Redis, or a hidden folder of
    the registry.
    """
    from streamer.config.state import STORES
    from streamer.connect.storage.training_lock import FileTrainingLock

    way = STORES.of(config.store).training_lock
    if way is None:
        return FileTrainingLock(Path(config.model.registry or ".") / ".retrain")
    turns: TrainingLock = function(way)(config.store)
    return turns


def open_registry(config: config.Config, *, create: bool = False) -> Registry | None:
    """The registry of models; None where none is configured. A Redis that is down is no error.

    ConfigError if its folder is not there, unless it may be created.
    """
    from streamer.config.model import IN_REDIS
    from streamer.config.state import STORES
    from streamer.connect.storage.files_registry import DirectoryRegistry

    place, way = config.model.registry, STORES.of(config.store).registry
    if place is None:
        return None
    if place != IN_REDIS or way is None:
        return DirectoryRegistry(place, create=create)
    registry: Registry = function(way)(config.store)
    return registry


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

    return stream.source.own_keys or tuple(map(plain, stream.fields.entity))
