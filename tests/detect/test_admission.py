"""What enters the ring: repeated, late, out-of-order and empty events, and clocks that are set
back.
"""

from __future__ import annotations

import numpy as np
import pytest

from streamer.detect.admission import CLOCK_RESET_RUN, Admission
from streamer.detect.state.ring import Ring
from streamer.event import Fate
from streamer.settings import DetectSettings

NAN = float("nan")


class World:
    """One slot of two channels, admitted and remembered as the detector does it."""

    def __init__(self, **chosen: object) -> None:
        self.ring = Ring(2, 4, 2)
        of_stream = {"channels": ("a", "b"), "max_entities": 2, "late_s": 100.0} | chosen
        self.admission = Admission(DetectSettings(**of_stream), self.ring)  # type: ignore[arg-type]

    def feed(self, time_s: float, a: float, b: float = 0.0, slot: int = 0) -> tuple[Fate, bool]:
        slots, values = np.array([slot]), np.array([[a, b]], np.float32)
        fate, restart = self.admission.judge(slots, np.array([time_s]), values)
        if restart[0]:
            self.ring.reset(slots)
            self.admission.reset(slots)
        if fate[0] == Fate.SCORED:
            self.ring.push(slots, values, np.array([time_s]), np.array([0]))
        return Fate(fate[0]), bool(restart[0])


def test_the_first_event_of_an_entity_is_accepted_whatever_its_time() -> None:
    for time_s in (-5.0, 0.0, 1e12):
        assert World().feed(time_s, 1.0) == (Fate.SCORED, False)


@pytest.mark.parametrize(
    ("a", "b", "time_s", "fate"),
    [
        (1.0, 2.0, 10.0, Fate.DUPLICATE),
        (1.0, 3.0, 10.0, Fate.SCORED),
        (1.0, 2.0, 10.5, Fate.SCORED),
    ],
)
def test_a_repeat_has_the_same_time_and_values(
    a: float, b: float, time_s: float, fate: Fate
) -> None:
    world = World()
    world.feed(10.0, 1.0, 2.0)
    assert world.feed(time_s, a, b)[0] is fate


def test_missing_values_repeat_too_and_repeats_can_be_kept() -> None:
    for policy, fate in (("drop", Fate.DUPLICATE), ("keep", Fate.SCORED)):
        world = World(duplicates=policy)
        world.feed(10.0, NAN, 2.0)
        assert world.feed(10.0, NAN, 2.0)[0] is fate


def test_a_repeat_is_one_of_the_same_entity() -> None:
    world = World()
    world.feed(10.0, 1.0)
    assert world.feed(10.0, 1.0, slot=1)[0] is Fate.SCORED


@pytest.mark.parametrize(
    ("time_s", "fate"), [(900.0, Fate.SCORED), (899.9, Fate.LATE), (-1e9, Fate.LATE)]
)
def test_an_event_older_than_the_newest_by_more_than_allowed_is_late(
    time_s: float, fate: Fate
) -> None:
    world = World()
    world.feed(1000.0, 1.0)
    assert world.feed(time_s, 2.0)[0] is fate


def test_lateness_is_measured_from_the_newest_time_not_from_the_last_event() -> None:
    world = World()
    world.feed(1000.0, 1.0)
    world.feed(910.0, 2.0)
    assert world.feed(820.0, 3.0)[0] is Fate.LATE


def test_out_of_order_within_the_allowance_is_counted_and_accepted() -> None:
    world = World()
    for time_s in (1000.0, 990.0, 1001.0, 1000.5):
        assert world.feed(time_s, time_s)[0] is Fate.SCORED
    assert world.admission.out_of_order == 2


def test_so_many_late_events_in_a_row_mean_that_the_clock_was_set_back() -> None:
    world = World()
    world.feed(1e6, 1.0)
    late = [world.feed(float(i), 2.0) for i in range(CLOCK_RESET_RUN - 1)]
    assert late == [(Fate.LATE, False)] * (CLOCK_RESET_RUN - 1)
    assert world.feed(100.0, 2.0) == (Fate.SCORED, True)
    assert world.feed(101.0, 2.0) == (Fate.SCORED, False)
    assert world.admission.clock_resets == 1


def test_one_event_in_time_ends_the_run_of_late_ones() -> None:
    world = World()
    world.feed(1e6, 1.0)
    for i in range(5 * CLOCK_RESET_RUN):
        fate, restart = (
            world.feed(1e6 + i, i) if i % (CLOCK_RESET_RUN - 1) == 0 else world.feed(float(i), 2.0)
        )
        assert not restart
        assert fate is (Fate.SCORED if i % (CLOCK_RESET_RUN - 1) == 0 else Fate.LATE)


@pytest.mark.parametrize("which", ["idle_after_s", "max_gap_s"])
def test_a_gap_longer_than_allowed_starts_the_entity_anew(which: str) -> None:
    world = World(**{which: 50.0})
    assert world.feed(0.0, 1.0) == (Fate.SCORED, False)
    assert world.feed(50.0, 1.0) == (Fate.SCORED, False)
    assert world.feed(100.1, 1.0) == (Fate.SCORED, True)
    assert world.feed(101.0, 1.0) == (Fate.SCORED, False)


@pytest.mark.parametrize(
    ("policy", "fate"), [("drop", Fate.MISSING), ("mask", Fate.SCORED), ("hold", Fate.SCORED)]
)
def test_an_event_without_any_value_follows_the_policy(policy: str, fate: Fate) -> None:
    world = World(missing=policy)
    world.feed(1.0, 1.0)
    assert world.feed(2.0, NAN, NAN)[0] is fate
    assert world.feed(3.0, NAN, 1.0)[0] is Fate.SCORED


def test_a_reset_entity_begins_a_new_run_of_late_events() -> None:
    world = World()
    world.feed(1e6, 1.0)
    for i in range(CLOCK_RESET_RUN - 1):
        world.feed(float(i), 2.0)
    world.admission.reset(np.array([0]))
    assert world.feed(50.0, 2.0) == (Fate.LATE, False)
