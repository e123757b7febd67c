"""Snapshots are written once they are true, the newest of each lease, and never in
anybody's way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.backoff import Backoff
from streamer.connect.memory import MemoryStore
from streamer.errors import StoreError
from streamer.event import Lease
from streamer.runtime.restore import read_note
from streamer.runtime.snapshot_format import SnapshotStore
from streamer.runtime.snapshot_writer import HUNG_S, SnapshotWriter

LEASE, OTHER = Lease("t", 0, 1), Lease("t", 1, 1)


@dataclass(frozen=True)
class Memory:
    """What a detector froze."""

    blob: bytes = b"memory"

    def encode(self) -> bytes:
        return self.blob


class World:
    """A keeper over a store in memory, a log that confirms what it is told, and a clock."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.now = 0.0
        self.store = store or MemoryStore()
        self.shelf = SnapshotStore(self.store, "s", "g")
        self.committed: dict[Lease, int] = {}
        self.gone: set[Lease] = set()
        backoff = Backoff(0.5, 5.0, lambda: self.now)
        self.snapshot_writer = SnapshotWriter(
            self.shelf, self.committed.get, self.holds, backoff=backoff, clock=lambda: self.now
        )

    def holds(self, lease: Lease) -> bool:
        return lease not in self.gone

    def offer(self, offset: int, lease: Lease = LEASE) -> None:
        self.snapshot_writer.offer(lease, offset, "v1", [Memory(str(offset).encode())])

    def kept(self, lease: Lease = LEASE) -> int | None:
        self.store.fail, fail = None, self.store.fail
        found = self.shelf.get(lease.topic, lease.partition)
        self.store.fail = fail
        return None if found is None else found.offset


@pytest.fixture
def world() -> World:
    return World()


def test_nothing_is_written_before_the_log_has_confirmed_it(world: World) -> None:
    world.offer(100)
    for committed in (None, 0, 99):
        if committed is not None:
            world.committed[LEASE] = committed
        world.snapshot_writer.work()
        assert world.kept() is None
    world.committed[LEASE] = 100
    world.snapshot_writer.work()
    assert (world.kept(), world.snapshot_writer.waiting, world.snapshot_writer.stats.written) == (
        100,
        0,
        1,
    )


def test_nothing_is_written_before_the_alerts_it_knows_of_are_delivered(world: World) -> None:
    delivered = threading.Event()
    world.committed[LEASE] = 100
    world.snapshot_writer.offer(LEASE, 100, "v1", [Memory()], delivered.is_set)
    world.snapshot_writer.work()
    assert world.kept() is None
    delivered.set()
    world.snapshot_writer.work()
    assert world.kept() == 100


def test_of_each_lease_the_newest_waits(world: World) -> None:
    for offset in (10, 20, 30):
        world.offer(offset)
        world.offer(offset + 1, OTHER)
    assert world.snapshot_writer.waiting == 2
    world.committed |= {LEASE: 30, OTHER: 31}
    world.snapshot_writer.work()
    assert (world.kept(), world.kept(OTHER), world.snapshot_writer.stats.written) == (30, 31, 2)


def test_what_waits_for_a_lease_that_went_is_dropped(world: World) -> None:
    world.offer(10)
    world.committed[LEASE] = 10
    world.gone.add(LEASE)
    world.snapshot_writer.work()
    assert (world.kept(), world.snapshot_writer.waiting, world.snapshot_writer.stats.dropped) == (
        None,
        0,
        1,
    )


def test_a_store_that_is_down_is_trouble_until_it_is_back(world: World) -> None:
    world.offer(10)
    world.committed[LEASE] = 10
    world.store.fail = StoreError("cannot write: the store is down")
    world.snapshot_writer.work()
    assert world.snapshot_writer.problem == "cannot write: the store is down"
    world.store.fail = None
    world.snapshot_writer.work()
    assert world.kept() is None, "it waits before it tries again"
    world.now += 0.5
    world.snapshot_writer.work()
    assert (world.kept(), world.snapshot_writer.stats.failed) == (10, 1)
    assert not world.snapshot_writer.problem


def test_a_store_that_stays_down_is_asked_ever_more_rarely(world: World) -> None:
    world.offer(10)
    world.committed[LEASE] = 10
    world.store.fail = StoreError("down")
    for _ in range(1000):
        world.now += 0.1
        world.snapshot_writer.work()
    assert 20 <= world.snapshot_writer.stats.failed <= 30
    assert world.snapshot_writer.waiting == 1


def test_a_newer_offer_during_an_outage_takes_the_place_of_the_older(world: World) -> None:
    world.committed[LEASE] = 99
    world.store.fail = StoreError("down")
    for offset in (10, 20):
        world.offer(offset)
        world.snapshot_writer.work()
    world.store.fail, world.now = None, 10.0
    world.snapshot_writer.work()
    assert world.kept() == 20


def test_what_is_offered_while_an_older_one_is_written_still_waits(world: World) -> None:
    class Late(Memory):
        def encode(self) -> bytes:
            world.offer(20)
            return super().encode()

    world.committed[LEASE] = 99
    world.snapshot_writer.offer(LEASE, 10, "v1", [Late()])
    world.snapshot_writer.work()
    assert (world.kept(), world.snapshot_writer.waiting) == (10, 1)
    world.snapshot_writer.work()
    assert (world.kept(), world.snapshot_writer.waiting) == (20, 0)


def test_an_idle_store_is_looked_at_and_its_recovery_noticed(world: World) -> None:
    world.snapshot_writer.work()
    world.store.fail, world.now = StoreError("down"), 2.0
    world.snapshot_writer.work()
    assert world.snapshot_writer.problem == "down"
    world.store.fail, world.now = None, 4.0
    world.snapshot_writer.work()
    assert world.snapshot_writer.problem is None


class FullStore(MemoryStore):
    """It answers, and while `full` takes nothing."""

    full = True

    def put(self, name: str, blob: bytes) -> None:
        if self.full:
            raise StoreError("full")
        super().put(name, blob)


def test_a_store_that_answers_but_takes_nothing_is_away_until_it_takes_what_waits() -> None:
    world = World(store := FullStore())
    for second in range(20):
        world.now = float(second)
        world.offer(second)
        world.committed[LEASE] = (
            second - second % 2
        )  # every other offer waits for the log: the store is looked at
        world.snapshot_writer.work()
        assert world.snapshot_writer.problem == "full"
    store.full, world.now, world.committed[LEASE] = False, 30.0, 19
    world.snapshot_writer.work()
    assert (world.snapshot_writer.problem, world.kept()) == (None, 19)


def test_a_full_store_for_which_nothing_waits_any_more_is_well() -> None:
    world = World(FullStore())
    world.offer(10)
    world.committed[LEASE] = 10
    world.snapshot_writer.work()
    world.gone.add(LEASE)
    world.now = 10.0
    world.snapshot_writer.work()
    assert world.snapshot_writer.problem is None


def test_a_commit_names_the_newest_snapshot_that_is_written(world: World) -> None:
    note = lambda: read_note(world.snapshot_writer.note(LEASE, "v2"))  # noqa: E731
    assert (note().snapshot, note().model) == (None, "v2")
    world.snapshot_writer.resumed(LEASE, 5, "v1")
    assert note().snapshot == 5
    world.offer(10)
    assert note().snapshot == 5, "it is not written yet"
    world.committed[LEASE] = 10
    world.snapshot_writer.work()
    assert note().snapshot == 10
    world.gone.add(LEASE)
    world.snapshot_writer.work()
    assert note().snapshot is None


def test_the_age_is_that_of_the_oldest_of_the_newest(world: World) -> None:
    assert world.snapshot_writer.age_s == 0
    world.snapshot_writer.resumed(LEASE, 5, "v1")
    world.now = 30.0
    world.snapshot_writer.resumed(OTHER, 5, "v1")
    world.now = 40.0
    assert world.snapshot_writer.age_s == 40.0
    world.offer(10)
    world.committed[LEASE] = 10
    world.snapshot_writer.work()
    assert world.snapshot_writer.age_s == 10.0


def test_what_was_written_is_counted(world: World) -> None:
    world.offer(10)
    world.committed[LEASE] = 10
    world.snapshot_writer.work()
    (blob,) = world.store.blobs.values()
    assert (world.snapshot_writer.stats.written, world.snapshot_writer.stats.bytes) == (
        1,
        len(blob),
    )


class Truthful(MemoryStore):
    """Looks, at every put, whether the log had confirmed what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World

    def put(self, name: str, blob: bytes) -> None:
        super().put(name, blob)
        for lease in (LEASE, OTHER):
            kept = self.world.kept(lease)
            assert kept is None or kept <= self.world.committed.get(lease, -1)


STEPS = st.tuples(
    st.sampled_from(["offer", "commit", "work", "down", "up", "wait"]),
    st.sampled_from([LEASE, OTHER]),
)


@given(st.lists(STEPS, max_size=80))
def test_the_store_never_knows_more_than_the_log(steps: list[tuple[str, Lease]]) -> None:
    store = Truthful()
    world = store.world = World(store)
    judged = dict.fromkeys([LEASE, OTHER], 0)
    for step, lease in steps:
        if step == "offer":
            judged[lease] += 10
            world.offer(judged[lease], lease)
        elif step == "commit":
            world.committed[lease] = judged[lease]
        elif step == "work":
            world.snapshot_writer.work()
        elif step == "wait":
            world.now += 1.0
        else:
            store.fail = StoreError("down") if step == "down" else None
        assert world.snapshot_writer.waiting <= 2
    store.fail, world.now = None, world.now + 60
    world.committed |= judged
    world.snapshot_writer.work()
    assert world.snapshot_writer.waiting == 0
    assert all(world.kept(lease) in (None, at) for lease, at in judged.items())


# -- the thread
class Slow(MemoryStore):
    """A store that hangs in `put` until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.hanging, self.go = threading.Event(), threading.Event()

    def put(self, name: str, blob: bytes) -> None:
        self.hanging.set()
        assert self.go.wait(30)
        super().put(name, blob)


@pytest.fixture
def running() -> Iterator[World]:
    world, stop = World(Slow()), threading.Event()
    thread = threading.Thread(target=world.snapshot_writer.run, args=(stop,), daemon=True)
    thread.start()
    yield world
    stop.set()
    if isinstance(world.store, Slow):
        world.store.go.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_store_that_hangs_is_told_and_nobody_else_waits(running: World) -> None:
    assert isinstance(running.store, Slow)
    running.committed[LEASE] = 100
    running.offer(10)
    assert running.store.hanging.wait(30)
    running.offer(20)
    assert running.snapshot_writer.flush(0.05) == 1
    running.now += HUNG_S + 1
    assert "has not answered for" in (running.snapshot_writer.problem or "")
    running.store.go.set()
    assert running.snapshot_writer.flush(30) == 0
    assert (running.kept(), running.snapshot_writer.problem) == (20, None)


def test_flush_does_not_wait_for_a_backoff(running: World) -> None:
    assert isinstance(running.store, Slow)
    running.store.go.set()
    running.committed[LEASE] = 10
    running.store.fail = StoreError("down")
    running.offer(10)
    while not running.snapshot_writer.stats.failed:
        threading.Event().wait(0.01)
    running.store.fail = None
    assert running.snapshot_writer.flush(30) == 0, "the clock stands still: no backoff ever ends"
    assert running.kept() == 10


def test_flush_says_what_was_not_confirmed_in_time(running: World) -> None:
    running.offer(10)
    assert running.snapshot_writer.flush(0.05) == 1


def test_an_error_that_nobody_foresaw_does_not_end_the_thread(running: World) -> None:
    assert isinstance(running.store, Slow)
    running.store.go.set()
    running.committed[LEASE] = 10
    running.snapshot_writer.offer(LEASE, 10, "v1", [None])  # type: ignore[list-item]
    while running.snapshot_writer.problem is None:
        threading.Event().wait(0.01)
    assert "encode" in running.snapshot_writer.problem
    running.offer(10)
    assert running.snapshot_writer.flush(30) == 0
