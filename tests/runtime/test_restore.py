"""Where a partition begins: behind a snapshot that is certainly its own and not too new, else a
little before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.memory import MemoryStore
from streamer.errors import StoreError
from streamer.protocols import FoundPosition, Restore
from streamer.runtime.restore import Note, Restoring, note_of, read_note, rebuild_from
from streamer.runtime.snapshot_format import Snapshot, SnapshotStore, encode

REBUILD = 50
FOUND = FoundPosition("t", 0, position=500, note="", log_start=100, log_end=900)
KEPT = Snapshot("s", "g", "t", 0, 480, "v1", (b"memory",))
WITHOUT = Restore(450)


def any_fits(parts: Sequence[bytes]) -> str | None:
    return None


class World:
    """A store, a shelf of it, and the rule over both."""

    def __init__(self, misfit: str | None = None) -> None:
        self.store = MemoryStore()
        self.shelf = SnapshotStore(self.store, "s", "g")
        self.rule = Restoring(self.shelf, lambda parts: misfit, REBUILD)

    def outcomes(self) -> dict[str, int]:
        return dict(self.rule.counters.outcomes)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("offset", [100, 480, 500])
def test_a_snapshot_between_log_start_and_position_is_used(world: World, offset: int) -> None:
    world.shelf.put(replace(KEPT, offset=offset))
    assert world.rule(FOUND) == Restore(offset, (b"memory",))
    assert world.outcomes() == {"restored": 1}
    assert world.rule.counters.reread == 500 - offset


@pytest.mark.parametrize(
    ("offset", "reason"),
    [(501, "newer_than_commit"), (10_000, "newer_than_commit"), (99, "expired"), (0, "expired")],
)
def test_a_snapshot_outside_is_not_used(world: World, offset: int, reason: str) -> None:
    world.shelf.put(replace(KEPT, offset=offset))
    assert world.rule(FOUND) == WITHOUT
    assert world.outcomes() == {reason: 1}


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (encode(KEPT)[:-1], "torn"),
        (b"", "torn"),
        (b"streamer.partition/9\n" + bytes(99), "other_format"),
        (encode(replace(KEPT, stream="other")), "foreign"),
        (encode(replace(KEPT, group="other")), "foreign"),
        (encode(replace(KEPT, topic="other")), "foreign"),
        (encode(replace(KEPT, partition=1)), "foreign"),
    ],
)
def test_what_is_damaged_or_of_another_place_is_not_used(
    world: World, blob: bytes, reason: str
) -> None:
    world.store.put(world.shelf.name("t", 0), blob)
    assert world.rule(FOUND) == WITHOUT
    assert world.outcomes() == {reason: 1}
    assert world.rule.counters.ignored == 1


def test_what_detectors_would_not_take_is_not_used() -> None:
    world = World(misfit="other channels")
    world.shelf.put(KEPT)
    assert world.rule(FOUND) == WITHOUT
    assert world.outcomes() == {"other_schema": 1}


def test_a_store_that_is_down_costs_the_memory_and_nothing_else(world: World) -> None:
    world.shelf.put(KEPT)
    world.store.fail = StoreError("down")
    assert world.rule(FOUND) == WITHOUT
    assert world.outcomes() == {"store_down": 1}
    world.store.fail = None
    assert world.rule(FOUND).start == 480


def test_the_first_start_is_no_failure(world: World) -> None:
    assert world.rule(FOUND) == WITHOUT
    assert world.outcomes() == {"none": 1}
    assert world.rule.counters.ignored == 0


def test_a_snapshot_that_the_commit_names_and_the_store_has_not_is_missed(world: World) -> None:
    assert world.rule(noted(470)) == WITHOUT
    assert world.outcomes() == {"missing": 1}


def noted(snapshot: int | None) -> FoundPosition:
    return replace(FOUND, note=note_of(snapshot, "v1"))


@pytest.mark.parametrize(("named", "stale"), [(None, 0), (400, 0), (480, 0), (490, 1)])
def test_an_older_snapshot_than_the_commit_names_is_used_and_counted(
    world: World, named: int | None, stale: int
) -> None:
    world.shelf.put(KEPT)
    assert world.rule(noted(named)).start == 480
    assert world.rule.counters.outcomes["stale"] == stale
    assert world.rule.counters.ignored == 0


def test_without_a_store_every_partition_is_rebuilt_from_its_log() -> None:
    rule = Restoring(None, any_fits, REBUILD)
    assert rule(noted(480)) == WITHOUT
    assert rule.counters.ignored == 0


OFFSETS = st.integers(0, 1000)


@given(OFFSETS, OFFSETS, OFFSETS, st.none() | OFFSETS, st.booleans())
def test_reading_begins_where_the_log_has_records_and_never_behind_the_position(
    position: int, log_start: int, rebuild: int, offset: int | None, fits: bool
) -> None:
    world = World(None if fits else "no")
    rule = Restoring(world.shelf, lambda parts: None if fits else "no", rebuild)
    if offset is not None:
        world.shelf.put(replace(KEPT, offset=offset))
    found = rule(FoundPosition("t", 0, position, "", log_start, 2000))
    assert found.start <= position
    assert found.start >= min(log_start, position)
    usable = fits and offset is not None and log_start <= offset <= position
    assert found == (Restore(offset or 0, (b"memory",)) if usable else Restore(found.start))
    assert sum(rule.counters.outcomes.values()) == 1
    assert rule.counters.reread == position - found.start


@pytest.mark.parametrize(
    ("position", "log_start", "start"),
    [(500, 0, 450), (500, 480, 480), (30, 0, 0), (500, 600, 500)],
)
def test_a_rebuild_reads_so_many_events_as_far_as_the_log_has_them(
    position: int, log_start: int, start: int
) -> None:
    assert rebuild_from(replace(FOUND, position=position, log_start=log_start), REBUILD) == start


# -- notes
@given(st.none() | st.integers(0, 2**63 - 1), st.text(max_size=200))
def test_a_note_is_read_as_it_was_written(snapshot: int | None, model: str) -> None:
    assert read_note(note_of(snapshot, model)) == Note(snapshot, model)


def test_a_note_is_short_whatever_the_model_is_called() -> None:
    assert len(note_of(2**63 - 1, "\U0001f4a5" * 10_000)) < 4096


@given(
    st.text(max_size=100)
    | st.sampled_from(["[]", "3", '"x"', "null", '{"snapshot": true}', '{"snapshot": "7"}'])
)
def test_a_note_of_somebody_else_says_nothing(text: str) -> None:
    assert read_note(text) == Note()
