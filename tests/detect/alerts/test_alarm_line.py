"""From level to alarm: the line, the refractory, k of n, the operator's floors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamer.detect.alerts.alarm_line import (
    INCIDENT_PENALTY,
    Decider,
    alarm_line,
    deviates,
    kth_largest,
    led_by_rhythm,
    rising,
)
from streamer.event import F32
from streamer.settings import MIN_EVIDENCE, DetectSettings
from tests.detect.seen import f32

GAPS = st.floats(1e-3, 1e6)
BUDGETS = st.floats(1e-3, 1e4)
JUDGED = st.integers(0, 10**7)


def line(gap_s: float, judged: int, budget: float, entities: int) -> float:
    return float(
        alarm_line(f32(gap_s), np.array([judged]), budget_per_day=budget, entities=entities)[0]
    )


@given(GAPS, JUDGED, BUDGETS, st.integers(1, 10**6))
def test_a_smaller_budget_never_lowers_the_line(
    gap_s: float, judged: int, budget: float, entities: int
) -> None:
    assert line(gap_s, judged, budget, entities) <= line(gap_s, judged, budget / 2, entities)


@given(GAPS, JUDGED, BUDGETS, st.integers(1, 10**6))
def test_more_entities_never_lower_the_line_of_one(
    gap_s: float, judged: int, budget: float, entities: int
) -> None:
    assert line(gap_s, judged, budget, entities) <= line(gap_s, judged, budget, 2 * entities)


@given(GAPS, JUDGED, BUDGETS, st.integers(1, 10**6))
def test_faster_entities_never_have_a_lower_line(
    gap_s: float, judged: int, budget: float, entities: int
) -> None:
    assert line(2 * gap_s, judged, budget, entities) <= line(gap_s, judged, budget, entities)


@given(GAPS, JUDGED, BUDGETS)
def test_the_line_of_an_entity_comes_down_with_its_age_from_twice_to_once(
    gap_s: float, judged: int, budget: float
) -> None:
    young, now, old = (line(gap_s, age, budget, 1) for age in (0, judged, 10**9))
    assert old <= now <= young
    assert young == pytest.approx(2 * old, rel=1e-3)


@given(GAPS, JUDGED, BUDGETS, st.integers(1, 10**6))
def test_a_generous_budget_is_no_quota(
    gap_s: float, judged: int, budget: float, entities: int
) -> None:
    assert MIN_EVIDENCE <= line(gap_s, judged, budget, entities) < 50


@given(st.lists(st.floats(0, 100, width=32), min_size=1, max_size=9), st.data())
def test_the_kth_largest_reaches_a_level_exactly_where_k_do(
    row: list[float], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(row)))
    level = data.draw(st.sampled_from(row))
    assert (kth_largest(f32(*row)[None], k)[0] >= level) == (sum(x >= level for x in row) >= k)


def test_a_level_must_exceed_every_recent_one_by_the_factor() -> None:
    recent = np.tile(f32(1, 4, 2), (3, 1))
    assert rising(f32(4, 4.1, 4.5), recent, 1.05).tolist() == [False, False, True]


def off(value: float, expected: float, **chosen: object) -> bool:
    of_stream = DetectSettings(**chosen)  # type: ignore[arg-type]
    return bool(deviates(f32(value)[None], f32(expected)[None], of_stream)[0])


@pytest.mark.parametrize(
    ("direction", "above", "below"),
    [("both", True, True), ("above", True, False), ("below", False, True)],
)
def test_only_the_operators_direction_counts(direction: str, above: bool, below: bool) -> None:
    assert off(3, 1, direction=direction, min_deviation=1.0) is above
    assert off(-3, -1, direction=direction, min_deviation=1.0) is below


@pytest.mark.parametrize(
    ("value", "passes"), [(10.4, False), (10.5, True), (9.4, True), (9.8, False)]
)
def test_a_deviation_must_reach_the_absolute_floor(value: float, passes: bool) -> None:
    assert off(value, 10, min_deviation=0.5) is passes


@pytest.mark.parametrize(
    ("value", "expected", "passes"), [(109, 100, False), (110, 100, True), (-90, -100, True)]
)
def test_a_deviation_must_reach_the_fraction_of_the_expected(
    value: float, expected: float, passes: bool
) -> None:
    assert off(value, expected, min_relative=0.1) is passes


def test_the_larger_floor_counts_and_a_missing_value_never_deviates() -> None:
    assert not off(104, 100, min_deviation=5.0, min_relative=0.01)
    assert not off(104, 100, min_deviation=1.0, min_relative=0.05)
    assert not off(np.nan, 100)
    assert not off(100, np.nan)


def test_one_channel_beyond_the_floor_is_enough_but_only_a_watched_one() -> None:
    values, expected = f32(0, 9, np.nan)[None], f32(0, 0, 0)[None]
    chosen = {"channels": ("a", "b", "c"), "min_deviation": 5.0}
    assert deviates(values, expected, DetectSettings(**chosen))[0]  # type: ignore[arg-type]
    assert not deviates(values, expected, DetectSettings(watch=("a", "c"), **chosen))[0]  # type: ignore[arg-type]


class World:
    """A decider of one old entity with an event a minute and a generous budget: the line is
    MIN_EVIDENCE.
    """

    def __init__(self, **chosen: object) -> None:
        of_stream = {"max_entities": 2, "budget_per_day": 1e5} | chosen
        self.decider = Decider(DetectSettings(**of_stream))  # type: ignore[arg-type]
        self.judged = 10**7

    def feed(self, *levels: float, off: bool = True, rhythm: float = 0.0) -> F32:
        """Alarms of levels over the line, event by event."""
        found = []
        for level in levels:
            of_level = f32(level * MIN_EVIDENCE)
            parts = np.stack([of_level * (1 - rhythm), of_level * rhythm], axis=1)
            free = np.array([off]) | led_by_rhythm(parts, of_level)
            alarm, scaled = self.decider.decide(
                np.array([0]), np.array([self.judged]), of_level, f32(60), np.array([60.0]), free
            )
            self.judged += 1
            self.decider.opened(np.array([0])[alarm >= 1])
            assert scaled[0] <= level * 1.001
            found.append(alarm[0])
        return np.array(found, np.float32)


def test_the_line_is_one() -> None:
    assert World().feed(0.99)[0] < 1
    assert World().feed(1.01)[0] >= 1


def test_an_alarm_is_not_repeated_while_the_level_stays_or_falls() -> None:
    alarms = World().feed(3, 3, 2, 3.1, 3.5)
    assert (alarms >= 1).tolist() == [True, False, False, False, True]


def test_after_the_refractory_an_equal_level_fires_again() -> None:
    world = World(refractory_events=5)
    assert (world.feed(3, 0, 0, 3, 0, 0, 0, 0, 0, 3) >= 1).tolist() == [True, *[False] * 8, True]


def test_k_of_n_fires_at_the_kth_event_of_a_lasting_fault() -> None:
    assert (World(k_of=3, n_of=5).feed(0, 2, 2, 2, 2, 2) >= 1).tolist() == [
        False,
        False,
        False,
        True,
        False,
        False,
    ]


def test_k_of_n_needs_k_among_the_last_n() -> None:
    assert not (World(k_of=2, n_of=3).feed(2, 0, 0, 2, 0, 0, 2) >= 1).any()
    assert (World(k_of=2, n_of=3).feed(2, 0, 2) >= 1).tolist() == [False, False, True]


def test_within_the_floors_only_the_rhythm_may_raise_an_alarm() -> None:
    assert World().feed(5, off=False)[0] == 0
    assert World().feed(5, off=False, rhythm=0.4)[0] == 0
    assert World().feed(5, off=False, rhythm=0.6)[0] >= 1


@given(st.lists(st.floats(0, 6), min_size=1, max_size=200))
def test_alarms_in_a_day_stay_within_the_budget_but_for_the_first_dozen(
    levels: list[float],
) -> None:
    world = World(budget_per_day=0.001, refractory_events=1, refractory_factor=0.0)
    world.decider._pace = np.float32(0)
    assert (world.feed(*levels) >= 1).sum() <= np.log(6) / INCIDENT_PENALTY + 1


@settings(max_examples=25)
@given(
    st.floats(0.5, 10),
    st.sampled_from([1, 4]),
    st.sampled_from([300.0, 3600.0, 40_000.0, 200_000.0]),
    st.lists(st.floats(0.5, 6), min_size=1, max_size=20),
)
@example(1.0, 1, 3600.0, [6.0])
def test_over_any_days_incidents_stay_within_the_budgets_pace_but_for_the_first_dozen(
    budget: float, entities: int, gap_s: float, levels: list[float]
) -> None:
    chosen: dict[str, Any] = {"refractory_events": 1, "refractory_factor": 0.0, "max_entities": 1}
    of_stream = DetectSettings(budget_per_day=budget, expected_entities=entities, **chosen)
    decider, opened, slot, events = Decider(of_stream), 0, np.array([0]), 1500
    for at in range(events):
        alarm, _ = decider.decide(
            slot,
            np.array([10**7]),
            f32(levels[at % len(levels)] * MIN_EVIDENCE),
            f32(gap_s),
            np.array([gap_s]),
            np.array([True]),
        )
        fires = alarm >= 1
        decider.opened(slot[fires])
        opened += int(fires.sum())
    days = events * gap_s / 86_400
    assert opened <= budget / entities * days + np.log(6) / INCIDENT_PENALTY + 1


@pytest.mark.parametrize("days", [1, 3, 365])
def test_however_long_an_entity_says_nothing_a_day_of_the_budget_is_paid_back(days: int) -> None:
    decider, slot = Decider(DetectSettings(budget_per_day=1.0, max_entities=1)), np.array([0])
    for _ in range(10):
        decider.opened(slot)
    calm, free = f32(0), np.array([True])
    decider.decide(slot, slot, calm, f32(60), np.array([days * 86_400.0]), free)
    assert np.log(decider.factors(0)[1]) == pytest.approx(9 * INCIDENT_PENALTY, rel=1e-5)


def test_a_reset_entity_has_no_refractory_and_its_neighbour_keeps_its_own() -> None:
    world = World()
    world.feed(3)
    for array in world.decider.state().values():
        array[1] = 7
    world.decider.reset(np.array([0]))
    assert world.feed(1.5)[0] >= 1
    assert all((array[1] == 7).all() for array in world.decider.state().values())


def test_what_may_not_alarm_holds_back_nothing_that_follows() -> None:
    """A fault that goes on after a cooldown, or grows beyond the floors, is told."""
    world = World()
    world.feed(5, 5, 5, off=False)
    assert world.feed(5)[0] >= 1
