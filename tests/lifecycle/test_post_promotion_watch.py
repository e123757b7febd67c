"""After a promotion the bounds are watched against what was before it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.config.model import Watch as Section
from streamer.lifecycle.judged_counts import JudgedCounts
from streamer.lifecycle.post_promotion_watch import Watch
from streamer.lifecycle.promotion_rules import breach, left_s
from streamer.protocols import Move
from streamer.runtime.stats import StreamStats

BOUNDS = Section()


def after(
    opened: int = 10, unsure: int = 0, event_us: float = 100, events: int = 10_000, size: int = 100
) -> JudgedCounts:
    stats = StreamStats()
    for _ in range(events // size):
        stats.judged(size, size * event_us / 1e6)
    return JudgedCounts(events, opened, unsure, paces=stats.paces)


BEFORE = after()


PROMOTED = Move("2026-01-31T12:00:00Z", {"champion": "v1", "previous": "v0"}, "")
NOON_S = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()


@given(st.floats(-86_400, 86_400), st.floats(1, 86_400))
def test_what_is_left_of_a_period_runs_from_the_promotion_and_is_never_more_than_it(
    age_s: float, period_s: float
) -> None:
    left = left_s([PROMOTED], "champion", "v1", period_s=period_s, now_s=NOON_S + age_s)
    assert left == pytest.approx(min(max(period_s - age_s, 0), period_s), abs=1e-5)


@pytest.mark.parametrize(
    "moves",
    [
        [],
        [PROMOTED, Move("2026-01-31T12:01:00Z", {"champion": "v0", "previous": None}, "")],
        [Move("2026-01-31T12:00:00Z", {"champion": "v1", "previous": None}, "")],
        [Move("2026-01-31T12:00:00Z", {"challenger": "v1"}, "")],
    ],
)
def test_who_was_not_promoted_last_has_nothing_left_of_a_watch(moves: list[Move]) -> None:
    assert left_s(moves, "champion", "v1", period_s=1800, now_s=NOON_S + 1) == 0


def test_moves_of_other_aliases_end_no_watch() -> None:
    later = Move("2026-01-31T12:01:00Z", {"challenger": "v2"}, "")
    assert left_s([PROMOTED, later], "champion", "v1", period_s=1800, now_s=NOON_S + 600) == 1200


def test_what_is_as_it_was_breaks_nothing() -> None:
    assert breach(BEFORE, after(), BOUNDS) is None


@pytest.mark.parametrize(
    ("worse", "why"),
    [
        (after(opened=46), "46 incidents"),
        (replace(after(opened=0, events=100_000), promised=60.0), "fallen silent"),
        (after(unsure=21), "no score"),
        (after(event_us=301), "301 us"),
        (after(opened=6, events=100), "6 incidents in 100 events"),
    ],
)
def test_each_bound_that_breaks_is_named(worse: JudgedCounts, why: str) -> None:
    assert why in str(breach(BEFORE, worse, BOUNDS))


@pytest.mark.parametrize(
    "fine",
    [
        after(opened=45),
        after(unsure=20),
        after(event_us=299),
        after(opened=5, event_us=900, events=400),
    ],
)
def test_up_to_its_bound_nothing_breaks(fine: JudgedCounts) -> None:
    assert breach(BEFORE, fine, BOUNDS) is None


def test_small_batches_are_not_held_against_large_ones() -> None:
    assert breach(after(size=2000), after(event_us=900, size=60), BOUNDS) is None
    both = JudgedCounts(
        20_000, 20, paces=after(size=2000).paces + after(event_us=800, size=60).paces
    )
    assert breach(both, after(event_us=900, size=60), BOUNDS) is None
    assert "an event takes 900 us, 100 us before" in str(
        breach(both, after(event_us=900, size=2000), BOUNDS)
    )


def test_a_rate_that_is_not_known_yet_is_the_promised_one() -> None:
    thin = JudgedCounts(events=20)
    assert breach(thin, JudgedCounts(10_000, 25, promised=5.0), BOUNDS) is None
    assert "26 incidents" in str(breach(thin, JudgedCounts(10_000, 26, promised=5.0), BOUNDS))


BATCHES = st.lists(st.tuples(st.integers(1, 10**5), st.floats(0, 10)), max_size=40)


@given(st.integers(500, 10**6), st.integers(0, 1000), BATCHES)
def test_better_is_never_a_breach(
    events: int, opened: int, batches: list[tuple[int, float]]
) -> None:
    slow, fast = StreamStats(), StreamStats()
    for size, took_s in batches:
        slow.judged(size, took_s)
        fast.judged(size, took_s / 2)
    assert (
        breach(
            JudgedCounts(events, opened, paces=slow.paces),
            JudgedCounts(events, opened // 2, paces=fast.paces),
            BOUNDS,
        )
        is None
    )


def test_who_alerts_less_but_as_often_as_promised_is_not_silent() -> None:
    assert breach(BEFORE, replace(after(opened=0, events=100_000), promised=12.0), BOUNDS) is None
    assert breach(BEFORE, replace(after(opened=12, events=100_000), promised=60.0), BOUNDS) is None


def test_a_watch_tells_its_first_breach_until_it_is_heard_and_is_over() -> None:
    watch = Watch("v1", BEFORE, JudgedCounts(), BOUNDS, until_s=60)
    assert watch.step(after(), 10) is None
    assert not watch.over
    assert "incidents" in str(watch.step(after(opened=100), 20))
    assert watch.over
    assert "100 incidents" in str(watch.step(after(), 30))


def test_a_watch_ends_with_its_period() -> None:
    watch = Watch("v1", BEFORE, JudgedCounts(), BOUNDS, until_s=60)
    assert watch.step(after(), 61) is None
    assert watch.over
