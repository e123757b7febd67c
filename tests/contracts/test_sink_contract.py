"""What every way out promises, of alerts and of dead letters, and every ScoreSink
(streamer.protocols).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamer import config
from streamer.connect.dead_letters.kafka_sink import LetterTopic
from streamer.connect.dead_letters.letter import LetterFile
from streamer.connect.files.scores import ScoreCsv, ScoreJsonl
from streamer.connect.files.sinks import JsonlSink, StdoutSink
from streamer.connect.kafka.producer.alert_sink import KafkaSink
from streamer.connect.memory import MemoryScores, MemorySink
from streamer.errors import SinkError
from streamer.event import Rejected
from streamer.protocols import Letter, Outgoing, ScoreSink
from tests.contracts import examples
from tests.servers.admin import Kafka

Opener = Callable[[Path, pytest.FixtureRequest], Outgoing[Any]]


@dataclass(frozen=True)
class Way:
    """One way out: how it is opened, its n-th item, and the worst one that somebody may send."""

    open: Opener
    item: Callable[[int], Any]
    hostile: Any
    marks: tuple[pytest.MarkDecorator, ...] = ()


def cluster(request: pytest.FixtureRequest) -> tuple[config.Kafka, str]:
    """A real broker, and a fresh topic of it."""
    kafka: Kafka = request.getfixturevalue("kafka")
    topic = kafka.create_topic(request.getfixturevalue("topic"))
    return config.Kafka(bootstrap_servers=(kafka.bootstrap,)), topic


def kafka_sink(_: Path, request: pytest.FixtureRequest) -> KafkaSink:
    kafka, topic = cluster(request)
    return KafkaSink(kafka, config.KafkaSink(kind="kafka", topic=topic))


def letter_topic(_: Path, request: pytest.FixtureRequest) -> LetterTopic:
    kafka, topic = cluster(request)
    return LetterTopic(kafka, config.DeadLetterTopic(kind="kafka", topic=topic))


def alerts(open_: Opener, *marks: pytest.MarkDecorator) -> Way:
    hostile = examples.alert(summary="pump\n\x1b[2Jgone\u202e", entity='"\\', score=float("inf"))
    return Way(open_, examples.alert, hostile, marks)


def letters(open_: Opener, *marks: pytest.MarkDecorator) -> Way:
    bad = Rejected(
        2**62,
        "bad_json",
        "\ud800\n\x1b[2J",
        b"\xff\0\n{",
        None,
        b"\0\xff",
        (("x-dlq-at", b"\xfe"), ("", b"")),
    )
    return Way(
        open_,
        lambda n: Letter("stream", examples.rejected(n), AT),
        Letter("stream", bad, AT),
        marks,
    )


AT = "2026-01-01T00:00:00Z"
WAYS: dict[str, Way] = {
    "alerts: memory": alerts(lambda folder, _: MemorySink()),
    "alerts: stdout": alerts(lambda folder, _: StdoutSink(io.StringIO())),
    "alerts: jsonl": alerts(lambda folder, _: JsonlSink(folder / "new" / "alerts.jsonl")),
    "alerts: jsonl, synced": alerts(
        lambda folder, _: JsonlSink(folder / "alerts.jsonl", fsync=True)
    ),
    "alerts: kafka": alerts(kafka_sink, pytest.mark.needs_kafka),
    "letters: file": letters(lambda folder, _: LetterFile(folder / "new" / "letters.jsonl")),
    "letters: kafka": letters(letter_topic, pytest.mark.needs_kafka),
}
SCORES: dict[str, Callable[[Path], ScoreSink]] = {
    "memory": lambda _: MemoryScores(),
    "csv": lambda directory: ScoreCsv(directory / "s.csv", ("x", "y"), keys=("k1", "k2")),
    "jsonl": lambda directory: ScoreJsonl(directory / "s.jsonl", ("x", "y"), keys=("k1", "k2")),
}


@pytest.fixture(params=[pytest.param(way, marks=way.marks, id=name) for name, way in WAYS.items()])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


@pytest.fixture
def sink(way: Way, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outgoing[Any]]:
    opened = way.open(tmp_path, request)
    yield opened
    opened.close()


@pytest.fixture(params=SCORES)
def score_sink(request: pytest.FixtureRequest, tmp_path: Path) -> ScoreSink:
    return SCORES[request.param](tmp_path)


def test_a_sink_is_a_sink(sink: Outgoing[Any]) -> None:
    assert isinstance(sink, Outgoing)


def test_flush_leaves_nothing_behind(way: Way, sink: Outgoing[Any]) -> None:
    for number in range(3):
        sink.send(way.item(number))
    assert sink.flush(timeout_s=5) == 0


def test_flush_without_items_is_nothing(sink: Outgoing[Any]) -> None:
    assert sink.flush(timeout_s=0) == 0


def test_a_sink_takes_items_of_hostile_text(way: Way, sink: Outgoing[Any]) -> None:
    sink.send(way.hostile)
    assert sink.flush(timeout_s=5) == 0


def test_close_may_be_called_twice(sink: Outgoing[Any]) -> None:
    sink.close()
    sink.close()


def test_a_closed_sink_refuses_instead_of_losing(way: Way, sink: Outgoing[Any]) -> None:
    sink.close()
    with pytest.raises(SinkError):
        sink.send(way.item(0))


def test_a_score_sink_is_a_score_sink(score_sink: ScoreSink) -> None:
    assert isinstance(score_sink, ScoreSink)


def test_a_score_sink_takes_every_key_and_empty_batches(score_sink: ScoreSink) -> None:
    for key in (0, 1):
        score_sink.write(examples.batch(keys=2), examples.scores(), key)
    score_sink.write(examples.batch(0, keys=2), examples.scores(0), 0)


def test_a_score_sink_may_be_closed_twice(score_sink: ScoreSink) -> None:
    score_sink.close()
    score_sink.close()
