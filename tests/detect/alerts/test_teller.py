"""What is told, in which order, and what is not even written because a storm holds it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamer.detect.alerts.alert_builder import Teller
from streamer.detect.alerts.incident import Change, Incidents
from streamer.detect.alerts.storm import Storm
from streamer.event import Alert, EventBatch, ModelRef
from streamer.settings import DetectSettings

REF = ModelRef("m", "numpy", "")
ROWS = 40


class World:
    """A teller of a cap of 3 alerts an hour; a row a second, one slot per row unless given."""

    def __init__(self, cap: int = 3) -> None:
        of_stream = DetectSettings(max_entities=ROWS, storm_alerts=cap, storm_window_s=3600.0)
        self.incidents, self.storm = Incidents(of_stream), Storm(of_stream, 0)
        self.teller = Teller(self.storm, self.incidents)
        self.template = Storm(of_stream, 1)._alert(Change.OPENED, "t", 0.0, "", REF)
        self.written: list[str] = []
        self.time_s = np.arange(ROWS, dtype=float)

    def writer(self, name: str) -> Callable[[], Alert]:
        def write() -> Alert:
            self.written.append(name)
            return replace(self.template, entity=name)

        return write

    def changed(self, row: int, change: Change = Change.OPENED, slot: int | None = None) -> None:
        where = row if slot is None else slot
        self.teller.changed(
            row, where, change, float(self.time_s[row]), self.writer(f"{change.value} {row}")
        )

    def tell(self) -> list[str]:
        entity, values = np.zeros((ROWS, 1), np.int32), np.zeros((ROWS, 1), np.float32)
        batch = EventBatch("s", "t", 0, (), entity, self.time_s, values, np.arange(ROWS))
        return [alert.entity for alert in self.teller.tell(batch, REF)]


@given(st.permutations(range(8)), st.integers(0, 8))
def test_whatever_the_order_of_discovery_the_first_in_the_log_are_told(
    order: list[int], cap: int
) -> None:
    world = World(cap)
    for row in order:
        world.changed(row)
    first = [f"opened {row}" for row in range(cap)]
    assert world.tell() == [*first, *(["*"] if cap < 8 else [])]
    assert world.storm.held_back == 8 - cap


def test_in_a_storm_the_alerts_that_nobody_gets_are_not_written() -> None:
    world = World(cap=3)
    for row in range(ROWS):
        world.changed(row)
    world.tell()
    assert len(world.written) == 3
    assert world.incidents.muted[3:].all()


def test_who_is_held_back_is_not_written_in_later_batches_either() -> None:
    world = World(cap=1)
    world.changed(0)
    world.changed(1)
    world.tell()
    world.changed(2, Change.UPDATED, slot=1)
    world.changed(3, Change.RESOLVED, slot=1)
    world.changed(4, Change.RESOLVED, slot=0)
    assert world.tell() == ["resolved 4"]
    assert world.written == ["opened 0", "resolved 4"]


def test_what_follows_in_the_same_batch_follows_its_opening() -> None:
    world = World(cap=1)
    for row, change, slot in (
        (0, Change.OPENED, 0),
        (1, Change.OPENED, 1),
        (2, Change.UPDATED, 1),
        (3, Change.RESOLVED, 0),
    ):
        world.changed(row, change, slot)
    assert world.tell() == ["opened 0", "*", "resolved 3"]


def test_an_alert_for_which_there_is_room_after_all_is_not_lost() -> None:
    """A later row of an earlier time: the clock of the row between them has begun a new window."""
    world = World(cap=1)
    world.time_s[1] = 5000.0
    world.changed(0)
    world.changed(2)
    world.changed(1)
    assert world.tell() == ["opened 0", "opened 1", "*"]
    world = World(cap=2)
    world.time_s[2] = 5000.0
    for row in (0, 1, 3, 2):
        world.changed(row)
    assert world.tell() == ["opened 0", "opened 1", "opened 2", "opened 3"]


def test_said_is_said_whatever_the_storm_and_in_its_place() -> None:
    world = World(cap=0)
    world.changed(5)
    world.teller.say(7, replace(world.template, entity="late"))
    world.teller.say(1, replace(world.template, entity="early"))
    assert world.tell() == ["early", "*", "late"]
    assert world.tell() == []


def test_the_state_of_a_storm_survives_json() -> None:
    world = World(cap=1)
    for row in range(4):
        world.changed(row)
    world.tell()
    other = World(cap=1)
    other.storm.restore(json.loads(json.dumps(world.storm.state())))
    assert other.storm.state() == world.storm.state()
    assert other.storm.roll("t", 9000.0, REF) == world.storm.roll("t", 9000.0, REF)
