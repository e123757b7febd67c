"""Rules between the sections of Kafka: topics, groups and members."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from streamer.config.base import Rule, repeated
from streamer.config.kafka import DeadLetterTopic, Kafka, KafkaSink, KafkaSource
from streamer.config.stream import Stream


class Whole(Protocol):
    """The parts of a configuration (schema.Config) that these rules use."""

    @property
    def streams(self) -> Sequence[Stream]: ...

    @property
    def kafka(self) -> Kafka: ...

    @property
    def sinks(self) -> Sequence[object]: ...

    @property
    def dead_letters(self) -> object | None: ...


def kafka_rules(config: Whole) -> Iterator[Rule]:
    """Yield every broken rule between sources, sinks, dead letters and cluster."""
    sources = [
        (i, s, s.source) for i, s in enumerate(config.streams) if isinstance(s.source, KafkaSource)
    ]
    yield from _group_rules([(i, source) for i, _, source in sources])
    yield from _sink_rules(config, [(stream, source) for _, stream, source in sources])
    yield from _letter_rules(config, [(stream, source) for _, stream, source in sources])


def _group_rules(sources: list[tuple[int, KafkaSource]]) -> Iterator[Rule]:
    """Yield problems of groups: a topic in one group may belong to one stream only.

    Members of a group share its partitions, so each stream would get only a part.
    """
    for n, (i, source) in enumerate(sources):
        twins = [other for _, other in sources[:n] if other.group == source.group]
        if any(source.overlaps(other) for other in twins):
            problem = (
                f"{source.group!r} reads these topics for another stream already; each "
                f"needs a group of its own"
            )
            yield ("streams", i, "source", "group"), problem
        elif any(
            source.instance is not None and source.instance == other.instance for other in twins
        ):
            yield (
                ("streams", i, "source", "instance"),
                f"{source.instance!r} is a member of the group already",
            )


def _sink_rules(config: Whole, sources: list[tuple[Stream, KafkaSource]]) -> Iterator[Rule]:
    sinks = [(i, sink) for i, sink in enumerate(config.sinks) if isinstance(sink, KafkaSink)]
    for n in repeated([sink.topic for _, sink in sinks]):
        yield ("sinks", sinks[n][0], "topic"), f"{sinks[n][1].topic!r} is written by two sinks"
    for i, sink in sinks:
        if reader := _reader(sink.topic, sources):
            yield (
                ("sinks", i, "topic"),
                f"{sink.topic!r} is read by stream {reader}: its alerts would become its events",
            )
        if sink.delivery_timeout < config.kafka.request_timeout:
            shortest = config.kafka.request_timeout
            yield (
                ("sinks", i, "delivery_timeout"),
                f"must not be below kafka.request_timeout ({shortest})",
            )


def _letter_rules(config: Whole, sources: list[tuple[Stream, KafkaSource]]) -> Iterator[Rule]:
    letters = config.dead_letters
    if isinstance(letters, DeadLetterTopic):
        if reader := _reader(letters.topic, sources):
            yield (
                ("dead_letters", "topic"),
                f"{letters.topic!r} is read by stream {reader}: a bad record would never end",
            )
        if any(
            isinstance(sink, KafkaSink) and sink.topic == letters.topic for sink in config.sinks
        ):
            yield (
                ("dead_letters", "topic"),
                f"{letters.topic!r} is the topic of the alerts; write another",
            )


def _reader(topic: str, sources: list[tuple[Stream, KafkaSource]]) -> str:
    return next((stream.name for stream, source in sources if source.reads(topic)), "")


def kafka_source(stream: Stream) -> KafkaSource | None:
    """Return the source of a stream if it reads topics, else None."""
    return stream.source if isinstance(stream.source, KafkaSource) else None


def alert_topics(config: Whole) -> dict[str, KafkaSink]:
    """Return the topics of alerts with their sinks."""
    return {sink.topic: sink for sink in config.sinks if isinstance(sink, KafkaSink)}
