"""From sections of config.yaml to open sources and sinks."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from streamer.config import (
    Config,
    FileSink,
    HostSource,
    MemorySink,
    MemorySource,
    ScoreOutput,
    Stream,
    SyntheticSource,
    config_from,
)
from streamer.connect import (
    entity_names,
    host,
    memory,
    open_letters,
    open_scores,
    open_sink,
    open_source,
    open_store,
    without_memory,
)
from streamer.connect.dead_letters.kafka_sink import LetterTopic
from streamer.connect.dead_letters.letter import LetterFile
from streamer.connect.files import scores, sinks
from streamer.connect.kafka.consumer.source import KafkaSource
from streamer.connect.kafka.producer.alert_sink import KafkaSink
from streamer.connect.simulate import source as synthetic
from streamer.connect.storage.files_store import FileStore
from streamer.connect.storage.redis_store import RedisStore
from streamer.errors import ConfigError, InputError, StoreError
from streamer.event import Assigned
from streamer.protocols import FoundPosition, Restore
from tests.contracts import examples
from tests.servers.admin import Kafka

HEADER = "ts,who,rms,temp,label\n"


def stream(**sections: object) -> Stream:
    return Stream.model_validate({"name": "line", **sections})


def csv(directory: Path) -> str:
    (directory / "x.csv").write_text(
        HEADER + "".join(f"{1_700_000_000 + i},m,{i % 7},{i % 5},0\n" for i in range(30))
    )
    return str(directory / "x.csv")


def test_a_file_with_named_channels(tmp_path: Path) -> None:
    fields = {"entity": "who", "time": {"path": "ts", "unit": "s"}, "channels": ["temp"]}
    source = open_source(
        stream(source={"kind": "file", "path": csv(tmp_path), "poll_rows": 10}, fields=fields)
    )
    poll = source.poll(0.0)
    assert poll is not None and source.channels == ("temp",) and len(poll.batches[0]) == 10
    assert poll.batches[0].keys == ("m",) and poll.batches[0].stream == "line"


def test_channels_that_are_not_named_are_found_in_the_file(tmp_path: Path) -> None:
    source = open_source(
        stream(
            source={"kind": "file", "path": csv(tmp_path)}, fields={"entity": "who", "time": "ts"}
        )
    )
    assert source.channels == ("rms", "temp")


def test_a_pipe_needs_its_channels_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=r"fields\.channels: must be named for a pipe"):
        open_source(
            stream(source={"kind": "file", "path": str(tmp_path / "pipe")}, fields={"time": None})
        )


def test_a_file_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(InputError, match="there is no such file"):
        open_source(stream(source={"kind": "file", "path": "nothing.csv"}, fields={"time": None}))


def test_every_kind_of_source_has_its_class() -> None:
    kinds = [
        (SyntheticSource(kind="synthetic", world="cards", entities=30), synthetic.SyntheticSource),
        (HostSource(kind="host"), host.HostSource),
        (MemorySource(kind="memory"), memory.MemorySource),
    ]
    for section, kind in kinds:
        source = open_source(stream(source=section))
        assert isinstance(source, kind)
        source.close()


def test_a_synthetic_source_is_as_configured() -> None:
    source = open_source(
        stream(source={"kind": "synthetic", "entities": 3, "events": 50, "poll_rows": 20})
    )
    sizes = []
    while (poll := source.poll(0.0)) is not None:
        sizes.append(poll.records)
    assert sizes == [20, 20, 10]


def test_every_kind_of_sink_has_its_class(tmp_path: Path) -> None:
    assert isinstance(
        open_sink(FileSink(kind="file", path=str(tmp_path / "a.jsonl"))), sinks.JsonlSink
    )
    assert isinstance(open_sink(MemorySink(kind="memory")), memory.MemorySink)


CLUSTER = {
    "version": 1,
    "streams": [
        {
            "name": "line",
            "source": {"kind": "kafka", "topic": "t"},
            "fields": {"entity": "who", "time": "ts", "channels": ["v"]},
        }
    ],
}


def cluster(**sections: object) -> Config:
    return config_from({**CLUSTER, **sections})


@pytest.mark.needs_kafka
def test_a_topic_is_read_and_written_where_the_configuration_says(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic, partitions=2)
    source = {"kind": "kafka", "topic": topic, "group": topic}
    config = cluster(
        streams=[{**CLUSTER["streams"][0], "source": source}],  # type: ignore[index]
        kafka={"bootstrap_servers": kafka.bootstrap},
        sinks=[{"kind": "kafka", "topic": f"{topic}.alerts"}],
        dead_letters={"kind": "kafka", "topic": f"{topic}.dead"},
    )
    kafka.create_topic(f"{topic}.alerts")
    kafka.create_topic(f"{topic}.dead")
    opened: list[Any] = [
        open_source(config.streams[0], config=config),
        open_sink(config.sinks[0], config),
        open_letters(config),
    ]
    try:
        reader = opened[0]
        assert isinstance(reader, KafkaSource) and reader.channels == ("v",)
        assert isinstance(opened[1], KafkaSink) and isinstance(opened[2], LetterTopic)
        assert len(assigned(reader)) == 2
    finally:
        for part in opened:
            if part is not None:
                part.close()


def assigned(reader: KafkaSource) -> list[Assigned]:
    """The partitions that came, within seconds."""
    came: list[Assigned] = []
    end_s = time.monotonic() + 20
    while len(came) < 2 and time.monotonic() < end_s:
        poll = reader.poll(0.2)
        came += poll.assigned if poll is not None else ()
    return came


def test_avro_without_a_registry_is_said_before_anything_is_opened() -> None:
    source = {"kind": "kafka", "topic": "t", "format": "avro"}
    line = stream(source=source, fields={"entity": "who", "time": "ts", "channels": ["v"]})
    with pytest.raises(ConfigError, match="schema_registry"):
        open_source(line, config=cluster())


def test_dead_letters_go_nowhere_unless_they_are_asked_for(tmp_path: Path) -> None:
    assert open_letters(cluster()) is None
    letters = open_letters(
        cluster(dead_letters={"kind": "file", "path": str(tmp_path / "dead.jsonl")})
    )
    assert isinstance(letters, LetterFile)
    letters.close()


def test_a_store_is_opened_by_its_kind(tmp_path: Path) -> None:
    assert open_store(cluster()) is None
    assert isinstance(
        open_store(cluster(store={"kind": "files", "path": str(tmp_path / "state")})), FileStore
    )


def test_a_redis_that_is_down_is_no_reason_not_to_start() -> None:
    store = open_store(cluster(store={"kind": "redis", "url": "redis://127.0.0.1:1/0"}))
    assert isinstance(store, RedisStore)
    with pytest.raises(StoreError):
        store.put("a", b"1")


def test_entity_names_are_the_fields_or_those_of_the_world() -> None:
    cards = stream(source={"kind": "synthetic", "world": "cards"})
    assert entity_names(cards) == ("customer", "terminal")
    assert (
        entity_names(cluster().streams[0]) == ("who",)
        and entity_names(stream(source={"kind": "host"})) == ()
    )


def test_a_reader_without_memory_begins_at_the_position() -> None:
    assert without_memory(FoundPosition("t", 0, 7, "note", 3, 9)) == Restore(7)


@pytest.mark.parametrize(
    ("kind", "expected"), [("csv", scores.ScoreCsv), ("jsonl", scores.ScoreJsonl)]
)
def test_scores_of_a_stream_go_to_its_file(tmp_path: Path, kind: str, expected: type) -> None:
    section = ScoreOutput.model_validate({"kind": kind, "path": str(tmp_path / "scores-{stream}")})
    cards = stream(source={"kind": "synthetic", "world": "cards"})
    sink = open_scores(section, cards, ("amount", "other"))
    sink.write(examples.batch(2, keys=2), examples.scores(2), 1)
    assert isinstance(sink, expected) and "terminal" in (tmp_path / "scores-line").read_text()
