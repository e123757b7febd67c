"""One trial: an input topic under load, daemons that suffer, and a verdict against the
uninterrupted run.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from tests.integration.history import Books, History, Place, Sample, Told, assert_clean, told
from tests.integration.load import Load, Pump
from tests.integration.runner import Daemon
from tests.integration.score_rows import assert_equal_scores, read
from tests.servers.admin import Kafka
from tests.servers.child import wait_until

STREAM, TRUTH, SCORES = "plant", "truth", "scores.csv"
MODEL_EVENTS = "io.streamer.model."
SAMPLE_S = 0.25
SLOWEST_PER_S = 1000.0  # records, on the busiest machine: how long a daemon is waited for
# Many alerts in little time, so that every fault hits some.
SENSITIVE = {
    "detect": {"min_evidence": 2, "refractory": {"events": 5}, "close": {"events": 5}},
    "alerts": {"budget": "100000/day", "storm": {"alerts": 100_000}},
}


class Trial:
    """Topics `name`, `name.alerts`, `name.dlq` and the group `name` on a Kafka. Close it.

    `every_score`: the daemons write the judgement of every event, and the verdict compares them
    all. `judged` are the stream's sections `detect` and `alerts`.
    """

    def __init__(
        self,
        kafka: Kafka,
        directory: Path,
        name: str,
        *,
        load: Load | None = None,
        every_score: bool = False,
        judged: Mapping[str, Any] | None = None,
        **topic: Any,
    ) -> None:
        self.kafka, self.directory, self.name, self.load = kafka, directory, name, load or Load()
        self._every_score, self._judged = every_score, SENSITIVE if judged is None else judged
        self.alerts, self.dlq = f"{name}.alerts", f"{name}.dlq"
        kafka.create_topic(
            name, self.load.partitions, message_timestamp_type="LogAppendTime", **topic
        )
        kafka.create_topic(self.alerts, 2, message_timestamp_type="LogAppendTime")
        kafka.create_topic(self.dlq)
        self._pump: Pump | None = None
        self._daemons: list[Daemon] = []
        self.books: list[Books] = []
        self.samples: list[Sample] = []
        self._in_vain = 0  # looks for a sample that brokers did not answer
        self.truth_start_s = 0.0  # how long the uninterrupted run took to start
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name=f"sampler:{name}", daemon=True)
        self._sampler.start()

    def daemon(
        self, place: str = "daemon", *, source: Mapping[str, object] | None = None, **sections: Any
    ) -> Daemon:
        """A place for a daemon of the group; snapshots are shared by all of them."""
        made = Daemon(
            self.directory / place, self.config(source or {}) | self._scores(place) | sections
        )
        self._daemons.append(made)
        return made

    def config(self, source: Mapping[str, object]) -> dict[str, Any]:
        kafka = {"kind": "kafka", "topic": self.name, "group": self.name, "commit_every": "200ms"}
        # Without a snapshot the whole log is read again: a shorter rebuild is honest about less,
        # and so not equal.
        stream = {
            "name": STREAM,
            "source": {**kafka, "rebuild_events": 10_000_000, **source},
            **self._judged,
        }
        fields = {
            "entity": "device",
            "time": {"path": "ts", "unit": "s"},
            "channels": ["rms", "temp"],
        }
        return {
            "streams": [{**stream, "fields": fields}],
            "kafka": {"bootstrap_servers": self.kafka.bootstrap},
            "sinks": [{"kind": "kafka", "topic": self.alerts}],
            "dead_letters": {"kind": "kafka", "topic": self.dlq},
            "store": {"kind": "files", "path": str(self.directory / "state")},
            "snapshots": {"every": "1s"},
        }

    def _scores(self, place: str) -> dict[str, Any]:
        return (
            {"scores": {"path": str(self.directory / place / SCORES)}} if self._every_score else {}
        )

    def pump(self, *, rate_per_s: float, count: int) -> Pump:
        """Start the load; one a trial."""
        assert self._pump is None, "one load a trial"
        self._pump = Pump(
            self.kafka.bootstrap, self.name, self.load, rate_per_s=rate_per_s, count=count
        )
        return self._pump.start()

    @property
    def committed(self) -> dict[int, int]:
        """Where the group's next member begins, by partition."""
        return self.kafka.start_offsets(self.name) | self.kafka.committed(self.name, self.name)

    def caught_up(self) -> bool:
        """Everything that is in the input is committed."""
        return self.committed == self.kafka.end_offsets(self.name)

    def wait_caught_up(self) -> None:
        self._wait(
            self.caught_up, 90.0 + self.backlog / SLOWEST_PER_S, "everything to be committed"
        )

    @property
    def backlog(self) -> int:
        """How many records wait for their commit."""
        at = sum(self.committed.values())
        return sum(self.kafka.end_offsets(self.name).values()) - at

    def wait_kept_up(self, records: float, timeout_s: float = 60.0) -> None:
        """Until fewer than so many records wait for their commit."""
        self._wait(lambda: self.backlog < records, timeout_s, "the backlog to go")

    @property
    def alerts_told(self) -> int:
        """How many alerts the alerts topic has."""
        return sum(self.kafka.end_offsets(self.alerts).values())

    def wait_alerts(self, more: int, timeout_s: float) -> float:
        """Until so many more alerts are there than now; returns the seconds it took."""
        started, wanted = time.monotonic(), self.alerts_told + more
        self._wait(lambda: self.alerts_told >= wanted, timeout_s, f"{more} more alerts")
        return time.monotonic() - started

    def _wait(self, ready: Callable[[], bool], timeout_s: float, what: str) -> None:
        """AssertionError with the log of a daemon that ended by an error of its own."""
        wait_until(
            lambda: bool(self._crashed()) or ready(), timeout_s=timeout_s, what=what, every_s=0.1
        )
        assert not self._crashed(), self._crashed()

    def _crashed(self) -> str:
        ended = (daemon.child for daemon in self._daemons if daemon.started and not daemon.running)
        return "\n".join(
            child.tail() for child in ended if child.exit_code not in {0, -signal.SIGKILL}
        )

    def run_and_stop(self, daemon: Daemon, before: Mapping[int, int]) -> None:
        """SIGTERM to the group's only daemon, which began at `before`: exit 0, and its books go
        into the verdict.
        """
        assert daemon.terminate() == 0, daemon.child.tail()
        moved = sum(self.committed.values()) - sum(before.values())
        self.books.append(daemon.books(STREAM, moved))

    def verdict(self) -> list[Told]:
        """Wait until all is told, stop every daemon, and hold the history against the uninterrupted
        run.
        """
        if self._pump is not None:
            self._pump.finish()
        self.wait_caught_up()
        for daemon in self._daemons:
            if daemon.running:
                assert daemon.terminate() == 0, daemon.child.tail()
                self.books.append(daemon.books(STREAM))
        self._end_sampling()
        truth = self.uninterrupted()
        history = self.history()
        records, twice = sum(history.end.values()), len(history.alerts) - len(truth)
        print(f"{self.name}: {records} records, {len(truth)} alerts, {twice} of them told again")
        print(f"{len(self.samples)} looks at the commits, {self._in_vain} in vain")
        assert_clean(history, truth)
        if self._every_score:
            self.assert_scores()
        return truth

    def assert_scores(self) -> None:
        """After `uninterrupted`: every event was judged, and always as there."""
        places = [
            self.directory / place / SCORES for place in {daemon.place for daemon in self._daemons}
        ]
        seen = (row for path in places if path.exists() for row in read(path))
        assert_equal_scores(seen, dict(read(self.directory / TRUTH / SCORES)))

    def history(self) -> History:
        return History(
            start=self.kafka.start_offsets(self.name),
            end=self.kafka.end_offsets(self.name),
            alerts=self.told(self.alerts),
            samples=self.samples,
            books=self.books,
            poison=self._pump.poison if self._pump else {},
            letters=[_letter(message) for message in dump(self.kafka, self.dlq)],
        )

    def told(self, topic: str) -> list[Told]:
        """The alerts in a topic."""
        return [_told(message) for message in dump(self.kafka, topic) if not _of_a_model(message)]

    def travels(self) -> list[Travel]:
        """When each alert was stored, and when the event was that raised it; repetitions too."""
        stored = {
            (m.partition(), m.offset()): m.timestamp()[1] / 1000
            for m in dump(self.kafka, self.name)
        }
        alerts = (
            (_told(m), m.timestamp()[1] / 1000)
            for m in dump(self.kafka, self.alerts)
            if not _of_a_model(m)
        )
        return [
            Travel(stored[one.source, one.upto], at) for one, at in alerts if one.upto is not None
        ]

    def uninterrupted(self) -> list[Told]:
        """The alerts of one daemon that reads the whole input in peace."""
        topic = f"{self.name}.truth"
        self.kafka.create_topic(topic, 2)
        config = (
            self.config({"group": f"{self.name}.truth"})
            | self._scores(TRUTH)
            | {
                "sinks": [{"kind": "kafka", "topic": topic}],
                "dead_letters": None,
                "store": {"kind": "none"},
            }
        )
        peaceful = Daemon(self.directory / TRUTH, config, words=["--until-idle", "2s"])
        patience_s = 120.0 + sum(self.kafka.end_offsets(self.name).values()) / SLOWEST_PER_S
        self.truth_start_s = peaceful.start().wait_started()
        assert peaceful.wait(patience_s) == 0, peaceful.child.tail()
        return self.told(topic)

    def close(self) -> None:
        for daemon in self._daemons:
            if daemon.running:
                daemon.kill()
        self._end_sampling()

    def _end_sampling(self) -> None:
        self._stop.set()
        self._sampler.join(30.0)

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._look()
        self._look()

    def _look(self) -> None:
        """Commits first, then the alerts that are there: what was committed before must be among
        them.
        """
        try:
            committed = self.kafka.committed(self.name, self.name)
            self.samples.append(Sample(committed, self.kafka.end_offsets(self.alerts)))
        except (
            KafkaException,
            TimeoutError,
        ):  # a broker that is away is part of the trial; always away is not
            self._in_vain += 1


class Travel(NamedTuple):
    """Of one alert, by the clock of the brokers that stored both (seconds since 1970)."""

    event_s: float
    alert_s: float


def dump(kafka: Kafka, topic: str) -> list[Message]:
    """Every record of a topic, partition by partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "dump",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": False,
            "log_level": 0,
        }
    )
    try:
        return [
            message
            for partition in kafka.partitions(topic)
            for message in _partition(consumer, topic, partition)
        ]
    finally:
        consumer.close()


def _partition(consumer: Consumer, topic: str, partition: int) -> Iterator[Message]:
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10.0)
    consumer.assign([TopicPartition(topic, partition, low)])
    at = low
    while at < high:
        found = consumer.consume(
            min(high - at, 10_000), timeout=10.0
        )  # returns once it has so many
        assert found, f"{topic}-{partition}: nothing comes at {at} of {high}"
        for message in found:
            assert message.error() is None, message.error()
            at = (message.offset() or 0) + 1
            yield message


def _letter(message: Message) -> tuple[Place, bytes]:
    headers = dict(message.headers() or [])
    return Place(
        int(headers["x-dlq-partition"] or b""), int(headers["x-dlq-offset"] or b"")
    ), message.value() or b""


def _of_a_model(message: Message) -> bool:
    """Whether it tells of a model that took over."""
    return MODEL_EVENTS in str(dict(message.headers() or [])["ce_type"])


def _told(message: Message) -> Told:
    return told(message.value() or b"", message.partition() or 0, message.offset() or 0)
