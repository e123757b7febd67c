"""Snapshots in the life of the service: what they may know, and when the last ones are written."""

from __future__ import annotations

import json
import threading
import time

from streamer.app.daemon import Daemon
from streamer.connect.memory import MemorySource, MemoryStore
from streamer.event import Assigned, Lease, Poll
from streamer.runtime.partitions import Partitions
from streamer.runtime.snapshot_format import SnapshotStore
from streamer.runtime.snapshot_writer import SnapshotWriter
from tests.runtime.world import HighJudge, World, alert_at, batch_of

LEASE, LOW = Lease("t", 0, 1), 1.0
CAME = Poll(assigned=(Assigned(LEASE, 0, 0),))


class Leaving(MemorySource):
    """A member of a group: once it has left, nothing is its own any more."""

    def close(self) -> None:
        super().close()
        self.revoke(LEASE)


def keeping(
    source: MemorySource, store: MemoryStore, **settings: object
) -> tuple[World, list[HighJudge]]:
    """A world that keeps snapshots; the judges in the order in which they were opened."""
    opened: list[HighJudge] = []

    def open_judges(partitions: int) -> list[HighJudge]:
        opened.append(HighJudge())
        return opened[-1:]

    writer = SnapshotWriter(SnapshotStore(store, "s", "g"), source.committed, source.holds)
    partitions = Partitions(open_judges, pace=0.0)
    return World(source, partitions=partitions, snapshots=writer, **settings), opened  # type: ignore[arg-type]


def kept(store: MemoryStore) -> int | None:
    found = SnapshotStore(store, "s", "g").get("t", 0)
    return None if found is None else found.offset


def test_the_last_snapshots_are_written_before_the_partitions_are_left() -> None:
    source, store = Leaving([CAME, batch_of([LOW] * 3, 0, epoch=1)]), MemoryStore()
    w, _ = keeping(source, store, clock=time.monotonic)
    assert Daemon(w.service, threading.Event(), drain_s=30.0).run() == 0
    assert (kept(store), w.committed) == (3, {LEASE: 3})


def test_a_snapshot_waits_for_the_alerts_of_timers_that_it_knows_of() -> None:
    """They belong to no record: in a crash they would be remembered as told, and never be told."""
    source, store = MemorySource([CAME, batch_of([LOW], 0, epoch=1)], endless=True), MemoryStore()
    w, detectors = keeping(source, store)
    w.read(2)
    w.score(3)
    w.read(1)
    assert w.committed == {LEASE: 1}
    w.sink.hold()
    detectors[0].timers = [alert_at(0)]
    w.processor.judging.run_timers()
    w.processor.keep_last()
    w.score(1)
    writer = w.processor.snapshots.writer
    assert writer is not None
    writer.work()
    assert kept(store) is None
    w.sink.release()
    w.score(1)
    writer.work()
    assert kept(store) == 1


class Timed(HighJudge):
    """Remembers its last tick in its snapshot."""

    def load(self, blob: bytes) -> None:
        self.now_s = json.loads(blob)[0]


def test_event_time_goes_on_from_the_snapshot() -> None:
    partitions = Partitions(lambda count: [Timed()], pace=0.0)
    held = partitions.assign(Assigned(LEASE, 5, 5, (b"[1700.0]",)))
    assert held.clock.now_s == 1700.0
    assert partitions.assign(Assigned(LEASE, 5, 5)).clock.now_s is None
