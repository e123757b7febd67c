"""After a promotion the bounds are watched against what was before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.config.model import Watch as Section
from streamer.service.learning.watch import Sample, Watch, breach

BOUNDS = Section()
BEFORE = Sample(events=10_000, opened=10, seconds=1.0)


def after(opened: int = 10, unsure: int = 0, event_us: float = 100, events: int = 10_000) -> Sample:
    return Sample(events, opened, unsure, events * event_us / 1e6)


def test_what_is_as_it_was_breaks_nothing() -> None:
    assert breach(BEFORE, after(), BOUNDS) is None


@pytest.mark.parametrize(
    ("worse", "why"),
    [
        (after(opened=46), "46 incidents"),
        (after(unsure=21), "no score"),
        (after(event_us=301), "301 us"),
        (after(opened=6, events=100), "6 incidents in 100 events"),
    ],
)
def test_each_bound_that_breaks_is_named(worse: Sample, why: str) -> None:
    assert why in str(breach(BEFORE, worse, BOUNDS))


@pytest.mark.parametrize(
    "fine", [after(opened=45), after(unsure=20), after(event_us=299), after(opened=5, event_us=900, events=400)]
)
def test_up_to_its_bound_nothing_breaks(fine: Sample) -> None:
    assert breach(BEFORE, fine, BOUNDS) is None


def test_a_rate_that_is_not_known_yet_is_the_promised_one() -> None:
    thin = Sample(events=20)
    assert breach(thin, Sample(10_000, 25, 0, 1.0, promised=5.0), BOUNDS) is None
    assert "26 incidents" in str(breach(thin, Sample(10_000, 26, 0, 1.0, promised=5.0), BOUNDS))


@given(st.integers(500, 10**6), st.integers(0, 1000), st.floats(0, 100))
def test_better_is_never_a_breach(events: int, opened: int, seconds: float) -> None:
    before = Sample(events, opened, 0, seconds)
    assert breach(before, Sample(events, opened // 2, 0, seconds), BOUNDS) is None


def test_a_watch_tells_the_first_breach_once_and_is_over() -> None:
    watch = Watch("v1", BEFORE, Sample(), BOUNDS, until_s=60)
    assert watch.turn(after(), 10) is None
    assert not watch.over
    assert "incidents" in str(watch.turn(after(opened=100), 20))
    assert watch.over
    assert watch.turn(after(opened=100), 30) is None


def test_a_watch_ends_with_its_period() -> None:
    watch = Watch("v1", BEFORE, Sample(), BOUNDS, until_s=60)
    assert watch.turn(after(), 61) is None
    assert watch.over
