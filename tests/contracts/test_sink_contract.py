"""What every Sink and every ScoreSink promises (streamer.protocols)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamer import config
from streamer.connect.kafka.sink import KafkaSink
from streamer.connect.memory import MemoryScores, MemorySink
from streamer.connect.scores import ScoreCsv, ScoreJsonl
from streamer.connect.sinks import JsonlSink, StdoutSink
from streamer.errors import SinkError
from streamer.protocols import Outgoing, ScoreSink, Sink
from tests.contracts import examples
from tests.servers.admin import Kafka

SINKS: dict[str, Callable[[Path], Sink]] = {
    "memory": lambda _: MemorySink(),
    "stdout": lambda _: StdoutSink(io.StringIO()),
    "jsonl": lambda directory: JsonlSink(directory / "new" / "alerts.jsonl"),
    "jsonl, synced": lambda directory: JsonlSink(directory / "alerts.jsonl", fsync=True),
}
SCORES: dict[str, Callable[[Path], ScoreSink]] = {
    "memory": lambda _: MemoryScores(),
    "csv": lambda directory: ScoreCsv(directory / "s.csv", ("x", "y"), keys=("k1", "k2")),
    "jsonl": lambda directory: ScoreJsonl(directory / "s.jsonl", ("x", "y"), keys=("k1", "k2")),
}


@pytest.fixture(params=[*SINKS, pytest.param("kafka", marks=pytest.mark.needs_kafka)])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sink]:
    opened = kafka_sink(request) if request.param == "kafka" else SINKS[request.param](tmp_path)
    yield opened
    opened.close()


def kafka_sink(request: pytest.FixtureRequest) -> KafkaSink:
    """To a fresh topic of a real broker."""
    kafka: Kafka = request.getfixturevalue("kafka")
    topic = kafka.create_topic(request.getfixturevalue("topic"))
    return KafkaSink(config.Kafka(bootstrap_servers=(kafka.bootstrap,)), config.KafkaSink(kind="kafka", topic=topic))


@pytest.fixture(params=SCORES)
def score_sink(request: pytest.FixtureRequest, tmp_path: Path) -> ScoreSink:
    return SCORES[request.param](tmp_path)


def test_a_sink_is_a_sink(sink: Sink) -> None:
    assert isinstance(sink, Outgoing)


def test_flush_leaves_nothing_behind(sink: Sink) -> None:
    for number in range(3):
        sink.send(examples.alert(number))
    assert sink.flush(timeout_s=5) == 0


def test_flush_without_alerts_is_nothing(sink: Sink) -> None:
    assert sink.flush(timeout_s=0) == 0


def test_a_sink_takes_alerts_of_hostile_text(sink: Sink) -> None:
    sink.send(examples.alert(summary="pump\n\x1b[2Jgone\u202e", entity='"\\', score=float("inf")))
    assert sink.flush(timeout_s=5) == 0


def test_close_may_be_called_twice(sink: Sink) -> None:
    sink.close()
    sink.close()


def test_a_closed_sink_refuses_instead_of_losing(sink: Sink) -> None:
    sink.close()
    with pytest.raises(SinkError):
        sink.send(examples.alert())


def test_a_score_sink_is_a_score_sink(score_sink: ScoreSink) -> None:
    assert isinstance(score_sink, ScoreSink)


def test_a_score_sink_takes_every_key_and_empty_batches(score_sink: ScoreSink) -> None:
    for key in (0, 1):
        score_sink.write(examples.batch(keys=2), examples.scores(), key)
    score_sink.write(examples.batch(0, keys=2), examples.scores(0), 0)


def test_a_score_sink_may_be_closed_twice(score_sink: ScoreSink) -> None:
    score_sink.close()
    score_sink.close()
