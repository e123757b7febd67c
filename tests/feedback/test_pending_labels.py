"""A label that comes before its incident waits for it, a while, in its order, across restarts, and
is heard once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.connect.label_sources import LabelFile
from streamer.connect.storage.sqlite_journal import SqliteJournal
from streamer.errors import StoreError
from streamer.feedback.label_consumer import LabelConsumer
from streamer.feedback.label_feed import LabelFeed
from streamer.feedback.labels import LabelMessage
from streamer.feedback.pending_labels import MOST, PATIENCE_S, PendingLabels
from streamer.journal import Incident, Label, LabelKind
from tests.runtime.world import Hands

PUMP = Incident("ab12", "plant", "pump", 100.0, 200.0, "warning", 1.5, "pump is hot", "t", 0, 5, 9)
VALVE = replace(PUMP, alert_id="cd34", entity="valve", partition=1)
BY_ID, BY_RECORD = {"alert_id": "ab"}, {"record": {"topic": "t", "partition": 0, "offset": 7}}


class World:
    """A file of labels, the journal, and a listener that may be started anew."""

    def __init__(self, folder: Path) -> None:
        self.path, self.journal, self.clock = folder / "labels.jsonl", SqliteJournal(None), Hands()
        self.restart()

    def restart(self) -> None:
        self.listener = LabelConsumer(
            self.journal,
            LabelFeed(),
            lambda: LabelFile(self.path, self.journal.place),
            wall=self.clock,
            clock=self.clock,
        )

    def say(self, about: Mapping[str, object], note: str, label: str = "confirmed") -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({**about, "label": label, "note": note}) + "\n")

    @property
    def heard(self) -> list[str]:
        return [label.note for label in self.journal.labels()]

    def after(self, seconds: float) -> None:
        self.clock.now += seconds
        self.listener.step()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("about", [BY_ID, BY_RECORD])
def test_a_label_that_comes_before_its_incident_is_heard_when_it_is_known(
    world: World, about: Mapping[str, object]
) -> None:
    world.say(about, "early")
    world.after(0)
    assert (world.heard, len(world.listener.waiting), world.listener.refused) == ([], 1, 0)
    said_at_s = world.clock.now
    world.journal.record([PUMP])
    world.after(60)
    assert (world.heard, len(world.listener.waiting)) == (["early"], 0)
    assert world.journal.labels()[0].said_at_s == said_at_s


def test_a_label_of_a_window_that_grows_is_heard_when_it_holds_the_record(world: World) -> None:
    world.journal.record([replace(PUMP, last_offset=6)])
    world.say(BY_RECORD, "early")
    world.after(0)
    world.journal.record([PUMP])
    world.after(1)
    assert world.heard == ["early"]


def test_a_label_is_refused_once_and_only_after_it_has_waited(world: World) -> None:
    world.say(BY_ID, "lost")
    for seconds, refused in ((0, 0), (PATIENCE_S - 1, 0), (1, 1), (PATIENCE_S, 1)):
        world.after(seconds)
        assert world.listener.refused == refused
    world.restart()
    world.after(0)
    assert (world.heard, len(world.listener.waiting)) == ([], 0)


def test_a_label_that_is_read_again_has_waited_since_it_came_first(world: World) -> None:
    waiting = PendingLabels(clock=world.clock)
    for seconds, weary in ((0.0, 0), (PATIENCE_S - 1, 0), (1.0, 1)):
        world.clock.now += seconds
        waiting.hold(LabelMessage(LabelKind.CONFIRMED, "ab"), "file:1", "file", None, 0.0)
        assert len(waiting.weary()) == weary and len(waiting) == 1


def test_who_waits_keeps_nobody_else_from_being_heard(world: World) -> None:
    world.journal.record([VALVE])
    world.say(BY_ID, "early")
    world.say({"alert_id": "cd"}, "known")
    world.after(0)
    assert world.heard == ["known"]


def test_of_too_many_that_wait_the_oldest_are_refused(world: World) -> None:
    for number in range(MOST + 2):
        world.say({"alert_id": "ff"}, str(number))
    world.after(0)
    world.after(0)
    assert (len(world.listener.waiting), world.listener.refused) == (MOST, 2)


class _Failing(SqliteJournal):
    """A journal that takes no label for a while."""

    away = False

    def label(self, label: Label) -> int:
        if self.away:
            raise StoreError("it is away")
        return super().label(label)


def test_a_journal_that_is_away_when_the_incident_has_come_costs_no_label(world: World) -> None:
    journal = world.journal = _Failing(None)
    world.restart()
    world.say(BY_ID, "early")
    world.after(0)
    journal.record([PUMP])
    for journal.away in (True, True, False):
        world.listener._backoff.succeed()
        world.after(1)
    assert world.heard == ["early"]


steps = st.lists(
    st.sampled_from(["pump", "record", "valve", "known pump", "known valve", "restart"]),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_whatever_comes_first_every_label_of_a_known_incident_is_heard_once_and_in_order(
    drawn: list[str],
) -> None:
    names: dict[str, Mapping[str, object]] = {
        "pump": BY_ID,
        "record": BY_RECORD,
        "valve": {"alert_id": "cd34"},
    }
    said: list[tuple[Incident, str]] = []
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        for number, step in enumerate(drawn):
            if step == "restart":
                world.restart()
            elif step in names:
                said.append((VALVE if step == "valve" else PUMP, str(number)))
                world.say(names[step], str(number))
            else:
                world.journal.record([PUMP if step == "known pump" else VALVE])
            world.after(1)
        world.after(1)
        for incident in (PUMP, VALVE):
            known = world.journal.incident(incident.alert_id) is not None
            mine = [
                label.note for label in world.journal.labels() if label.entity == incident.entity
            ]
            assert mine == ([note for one, note in said if one is incident] if known else [])
