"""From sections of config.yaml to open sources and sinks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamer.config import (
    FileSink,
    HostSource,
    MemorySink,
    MemorySource,
    ScoreOutput,
    Stream,
    SyntheticSource,
)
from streamer.connect import host, memory, open_scores, open_sink, open_source, scores, sinks, synthetic
from streamer.errors import ConfigError, InputError
from tests.contracts import examples

HEADER = "ts,who,rms,temp,label\n"


def stream(**sections: object) -> Stream:
    return Stream.model_validate({"name": "line", **sections})


def csv(directory: Path) -> str:
    (directory / "x.csv").write_text(HEADER + "".join(f"{1_700_000_000 + i},m,{i % 7},{i % 5},0\n" for i in range(30)))
    return str(directory / "x.csv")


def test_a_file_with_named_channels(tmp_path: Path) -> None:
    fields = {"entity": "who", "time": {"path": "ts", "unit": "s"}, "channels": ["temp"]}
    source = open_source(stream(source={"kind": "file", "path": csv(tmp_path), "poll_rows": 10}, fields=fields))
    poll = source.poll(0.0)
    assert poll is not None and source.channels == ("temp",) and len(poll.batches[0]) == 10
    assert poll.batches[0].keys == ("m",) and poll.batches[0].stream == "line"


def test_channels_that_are_not_named_are_found_in_the_file(tmp_path: Path) -> None:
    source = open_source(stream(source={"kind": "file", "path": csv(tmp_path)}, fields={"entity": "who", "time": "ts"}))
    assert source.channels == ("rms", "temp")


def test_a_pipe_needs_its_channels_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=r"fields\.channels: must be named for a pipe"):
        open_source(stream(source={"kind": "file", "path": str(tmp_path / "pipe")}, fields={"time": None}))


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
    source = open_source(stream(source={"kind": "synthetic", "entities": 3, "events": 50, "poll_rows": 20}))
    sizes = []
    while (poll := source.poll(0.0)) is not None:
        sizes.append(poll.records)
    assert sizes == [20, 20, 10]


def test_every_kind_of_sink_has_its_class(tmp_path: Path) -> None:
    assert isinstance(open_sink(FileSink(kind="file", path=str(tmp_path / "a.jsonl"))), sinks.JsonlSink)
    assert isinstance(open_sink(MemorySink(kind="memory")), memory.MemorySink)


@pytest.mark.parametrize(("kind", "expected"), [("csv", scores.ScoreCsv), ("jsonl", scores.ScoreJsonl)])
def test_scores_of_a_stream_go_to_its_file(tmp_path: Path, kind: str, expected: type) -> None:
    section = ScoreOutput.model_validate({"kind": kind, "path": str(tmp_path / "scores-{stream}")})
    cards = stream(source={"kind": "synthetic", "world": "cards"})
    sink = open_scores(section, cards, ("amount", "other"))
    sink.write(examples.batch(2, keys=2), examples.scores(2), 1)
    assert isinstance(sink, expected) and "terminal" in (tmp_path / "scores-line").read_text()
