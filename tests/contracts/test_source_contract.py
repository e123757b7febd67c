"""What every Source promises (streamer.protocols.Source)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from streamer.connect.files.source import FileSource
from streamer.connect.formats.columns import RecordFields
from streamer.connect.host import HostSource, Reading
from streamer.connect.memory import MemorySource
from streamer.connect.simulate.source import SyntheticSource
from streamer.event import EventBatch, Lease, Poll, Position
from streamer.protocols import Source
from tests.contracts import examples
from tests.integration import sources

Make = Callable[[], Source]
POLLS = 200
KAFKA_RECORDS = 50


def csv_source(directory: Path) -> Source:
    rows = "".join(
        f"{1_700_000_000 + i},m{i % 3},{i},{'oops' if i == 7 else 2 * i}\n" for i in range(50)
    )
    (directory / "some.csv").write_text("ts,who,x,y\n" + rows)
    return FileSource(directory / "some.csv", RecordFields(("x", "y"), ("who",), "ts"), rows=8)


def json_source(directory: Path) -> Source:
    rows = "".join(f'{{"ts": {1_700_000_000 + i}, "x": {i}}}\n' for i in range(50))
    (directory / "some.jsonl").write_text(rows + "nonsense\n")
    return FileSource(
        directory / "some.jsonl",
        RecordFields(("x",), (), "ts"),
        rows=8,
        pace=10,
        clock=Ticking(),
        wait=rest,
    )


def host_source(_: Path) -> Source:
    tick = Ticking()
    return HostSource(
        1.0,
        name="here",
        reader=lambda: Reading(1, 2, 3, 4, 5, 6, 7, 8),
        clock=tick,
        beat=tick,
        wait=rest,
    )


def rest(seconds: float) -> None:
    """The clocks of this file tick by being read: nobody has to wait."""


class Ticking:
    """A clock that advances by half a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        self.now += 0.5
        return self.now


SOURCES: dict[str, Callable[[Path], Source]] = {
    "csv": csv_source,
    "jsonl at its pace": json_source,
    "memory": lambda _: MemorySource(
        [examples.batch(), examples.rejected(5), examples.batch(3, first=6)], channels=("x", "y")
    ),
    "plant": lambda _: SyntheticSource("plant", events=500, rows=64),
    "cards": lambda _: SyntheticSource("cards", entities=50, events=500, rows=64),
    "host": host_source,
}


class FiniteKafka:
    """A source of so many records, each poll as patient as it must be; then its end."""

    def __init__(self, source: Source) -> None:
        self._source, self._left, self._paused = source, KAFKA_RECORDS, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def pause(self) -> None:
        self._paused = True
        self._source.pause()

    def resume(self) -> None:
        self._paused = False
        self._source.resume()

    def poll(self, timeout_s: float) -> Poll | None:
        poll = self._source.poll(timeout_s)
        while poll is not None and not poll.records and self._left and not self._paused:
            poll = self._source.poll(0.1)
        self._left -= poll.records if poll else 0
        return poll if poll and (poll.records or self._paused) else None


def kafka_sources(request: pytest.FixtureRequest) -> Make:
    """Each made one is a group of its own over the same topic."""
    broker, topic = request.getfixturevalue("kafka"), request.getfixturevalue("topic")
    values = (b'{"ts": %d, "x": %d}' % (1_700_000_000 + i, i) for i in range(KAFKA_RECORDS - 2))
    sources.send(broker.create_topic(topic) and broker.bootstrap, topic, *values, b"nonsense", None)
    groups = (f"{topic}-{n}" for n in itertools.count())

    def make() -> Source:
        made = sources.open_source(broker.bootstrap, topic=topic, group=next(groups), poll_rows=8)
        request.addfinalizer(made.close)
        return cast(Source, FiniteKafka(made))

    return make


KAFKA = pytest.param("kafka", marks=pytest.mark.needs_kafka)


def _make(request: pytest.FixtureRequest, directory: Path) -> Make:
    name = request.param
    return kafka_sources(request) if name == "kafka" else lambda: SOURCES[name](directory)


@pytest.fixture(params=[*SOURCES, KAFKA])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return _make(request, tmp_path)()


@pytest.fixture(params=[*(name for name in SOURCES if name not in ("host", "memory")), KAFKA])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    return _make(request, tmp_path)


def drain(source: Source) -> list[Poll]:
    """At most POLLS polls."""
    polls: list[Poll] = []
    for _ in range(POLLS):
        poll = source.poll(0.0)
        if poll is None:
            return polls
        polls.append(poll)
    return polls


def batches(polls: list[Poll]) -> list[EventBatch]:
    return [batch for poll in polls for batch in poll.batches]


def test_a_source_is_a_source(source: Source) -> None:
    assert isinstance(source, Source)


def test_arrays_have_the_promised_shapes_and_types(source: Source) -> None:
    for batch in batches(drain(source)):
        n = len(batch)
        assert batch.values.shape == (n, len(source.channels)) and batch.values.dtype == np.float32
        assert batch.time_s.shape == (n,) and batch.time_s.dtype == np.float64
        assert batch.entity.ndim == 2 and batch.entity.dtype == np.int32 and len(batch.entity) == n
        assert batch.offset.dtype == np.int64
        assert batch.entity.min() >= 0 and batch.entity.max() < len(batch.keys)


def test_offsets_rise_and_none_is_missing(source: Source) -> None:
    polls = drain(source)
    good = np.concatenate([batch.offset for batch in batches(polls)])
    bad = [record.offset for poll in polls for record in poll.rejected]
    assert np.all(np.diff(good) > 0)
    assert sorted([*good.tolist(), *bad]) == list(range(len(good) + len(bad)))


def test_records_counts_good_and_bad(source: Source) -> None:
    for poll in drain(source):
        assert poll.records == sum(map(len, poll.batches)) + len(poll.rejected)


def test_a_paused_source_brings_nothing_and_loses_nothing(make: Make) -> None:
    undisturbed, source = batches(drain(make())), make()
    first = source.poll(0.0)
    source.pause()
    assert [source.poll(0.0) for _ in range(3)] == [Poll(), Poll(), Poll()]
    source.resume()
    rest = drain(source)
    assert first is not None
    together = np.concatenate([batch.offset for batch in batches([first, *rest])])
    assert together.tolist() == np.concatenate([batch.offset for batch in undisturbed]).tolist()


def test_after_the_end_a_source_stays_at_its_end(make: Make) -> None:
    source = make()
    drain(source)
    assert source.poll(0.0) is None and source.poll(0.0) is None


def test_the_same_source_twice_brings_the_same(make: Make) -> None:
    for one, two in zip(batches(drain(make())), batches(drain(make())), strict=True):
        assert np.array_equal(one.values, two.values, equal_nan=True) and np.array_equal(
            one.time_s, two.time_s
        )
        assert [one.keys[i] for i in one.entity.ravel()] == [
            two.keys[i] for i in two.entity.ravel()
        ]


def test_commit_is_taken_at_any_time(source: Source) -> None:
    source.commit({})
    source.commit({Lease("topic", 0): Position(3)})


def test_close_may_be_called_twice_and_ends_the_source(source: Source) -> None:
    source.poll(0.0)
    source.close()
    source.close()
    assert source.poll(0.0) is None
