"""One object per problem: opened once, updated if materially worse, resolved once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.detect.alerts.incident import WORSE, Change, Incidents, alert_id, severity
from streamer.settings import DetectSettings
from tests.detect.seen import f32

OPENED, UPDATED, RESOLVED = Change.OPENED, Change.UPDATED, Change.RESOLVED
LEVELS = st.lists(st.floats(0, 4, width=32), max_size=80)


class World:
    """The incident of one slot; an event a second."""

    def __init__(self, **chosen: object) -> None:
        of_stream = {"max_entities": 2, "close_events": 3} | chosen
        self.incidents = Incidents(DetectSettings(**of_stream))  # type: ignore[arg-type]
        self.turn = 0

    def feed(self, *levels: float, fires: bool = True) -> list[Change | None]:
        """Changes by event. A level of at least 1 is an alarm, unless the refractory (`fires`)
        holds it back.
        """
        return [self._event(level, level if fires and level >= 1 else 0.0) for level in levels]

    def _event(self, scaled: float, alarm: float) -> Change | None:
        slots, time_s, offset = np.array([0]), np.array([float(self.turn)]), np.array([self.turn])
        self.turn += 1
        held = np.where(self.incidents.cooling(slots, time_s), 0, f32(alarm)).astype(np.float32)
        found = self.incidents.advance(slots, held, f32(scaled), time_s, offset, 3)
        return found[0].change if found else None


def test_an_alarm_opens_an_incident_once() -> None:
    assert World().feed(0.9, 1.0, 1.1) == [None, OPENED, None]


def test_an_incident_remembers_where_and_when_it_opened() -> None:
    world = World()
    world.feed(0, 0, 1.5, 0.8)
    incidents = world.incidents
    assert (incidents.started_s[0], incidents.offset[0], incidents.partition[0]) == (2.0, 2, 3)


def test_only_a_materially_worse_alarm_is_told_again() -> None:
    world = World(critical=100.0)
    assert world.feed(1.0, WORSE * 0.99, WORSE * 1.01, WORSE * 1.02) == [
        OPENED,
        None,
        UPDATED,
        None,
    ]
    assert world.feed(WORSE**2 * 1.03) == [UPDATED]


def test_reaching_critical_is_told_even_if_little_worse() -> None:
    assert World(critical=2.0).feed(1.9, 2.0, 2.1) == [OPENED, UPDATED, None]


def test_quiet_events_in_a_row_resolve_it_once() -> None:
    assert World().feed(1.5, 0.1, 0.1, 0.1, 0.1, 0.1) == [OPENED, None, None, RESOLVED, None, None]


def test_between_the_thresholds_nothing_changes() -> None:
    """Hysteresis: below the line, above `close_below`."""
    assert World(close_below=0.5).feed(1.5, *[0.6] * 20) == [OPENED] + [None] * 20


def test_one_event_that_is_not_quiet_starts_the_count_again() -> None:
    assert World().feed(1.5, 0.1, 0.1, 0.6, 0.1, 0.1, 0.1) == [
        OPENED,
        None,
        None,
        None,
        None,
        None,
        RESOLVED,
    ]


def test_a_level_held_back_by_the_refractory_keeps_the_incident_open() -> None:
    world = World()
    world.feed(3.0)
    assert world.feed(*[2.0] * 20, fires=False) == [None] * 20


def test_an_entity_that_cools_down_opens_nothing() -> None:
    world = World(cooldown_s=10.0)
    world.feed(1.5, 0, 0, 0)  # resolved at 3 s
    assert world.feed(*[3.0] * 10) == [None] * 9 + [OPENED]


def test_cooling_does_not_mute_an_open_incident() -> None:
    world = World(cooldown_s=10.0)
    assert world.feed(1.5, 3.0) == [OPENED, UPDATED]


def test_warning_is_the_level_that_opens() -> None:
    assert World(warning=1.5).feed(1.2, 1.6) == [None, OPENED]


@given(LEVELS)
def test_every_life_is_opened_then_updates_then_resolved(levels: list[float]) -> None:
    found = [change for change in World().feed(*levels) if change]
    assert not found or found[0] is OPENED
    for before, after in pairwise(found):
        assert (after is OPENED) == (before is RESOLVED)


@given(LEVELS)
def test_what_is_open_is_what_was_opened_and_not_resolved(levels: list[float]) -> None:
    world = World()
    found = world.feed(*levels)
    assert bool(world.incidents.open[0]) == (found.count(OPENED) > found.count(RESOLVED))


@given(LEVELS, st.integers(0, 80))
def test_a_restart_in_between_changes_nothing(levels: Sequence[float], at: int) -> None:
    whole, before, after = World(), World(), World()
    first = before.feed(*levels[:at])
    for name, array in after.incidents.state().items():
        array[:] = before.incidents.state()[name]
    after.turn = before.turn
    assert first + after.feed(*levels[at:]) == whole.feed(*levels)


def test_several_entities_change_in_row_order() -> None:
    incidents = Incidents(DetectSettings(max_entities=3))
    slots, times, offsets = np.array([2, 0, 1]), np.zeros(3), np.arange(3)
    found = incidents.advance(slots, f32(1.5, 0, 2), f32(1.5, 0, 2), times, offsets, 0)
    assert [(t.row, t.change) for t in found] == [(0, OPENED), (2, OPENED)]
    assert incidents.open.tolist() == [False, True, True]


def test_a_reset_slot_has_no_incident_and_is_not_cooling() -> None:
    world = World(cooldown_s=100.0)
    world.feed(1.5, 0, 0, 0)
    world.incidents.reset(np.array([0]))
    assert world.feed(1.5) == [OPENED]


@pytest.mark.parametrize(
    ("alarm", "word"), [(1.0, "warning"), (1.99, "warning"), (2.0, "critical"), (9.0, "critical")]
)
def test_severity_is_by_the_critical_level(alarm: float, word: str) -> None:
    assert severity(alarm, critical=2.0) == word


PLACES = st.tuples(
    st.text(max_size=5),
    st.text(max_size=5),
    st.integers(0, 99),
    st.integers(0, 2**60),
    st.integers(0, 3),
    st.sampled_from(["score", "storm", "silence"]),
)


@given(PLACES, PLACES)
def test_an_alert_id_is_the_same_for_the_same_place_only(a: tuple, b: tuple) -> None:
    assert alert_id(*a) == alert_id(*a)
    assert (alert_id(*a) == alert_id(*b)) == (a == b)
    assert len(alert_id(*a)) == 32
