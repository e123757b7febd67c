"""The breaker: closed it lets everybody through, open it lets one ask at a time, and its success
closes it.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.storage.redis_client import Breaker


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def opened(clock: Time) -> Breaker:
    breaker = Breaker(opens_after=3, wait_s=1.0, clock=clock)
    for _ in range(3):
        assert breaker.admits()
        breaker.fail()
    return breaker


def test_it_opens_after_so_many_failures_in_a_row(opened: Breaker) -> None:
    assert opened.open
    assert not opened.admits()


def test_a_success_in_between_starts_the_count_anew(clock: Time) -> None:
    breaker = Breaker(opens_after=2, clock=clock)
    for _ in range(5):
        breaker.fail()
        breaker.succeed()
    assert breaker.admits() and not breaker.open


def test_one_probe_is_let_through_after_the_wait_and_the_others_wait_for_it(
    opened: Breaker, clock: Time
) -> None:
    clock.now = 1.0
    assert [opened.admits() for _ in range(3)] == [True, False, False]


def test_a_successful_probe_closes_it(opened: Breaker, clock: Time) -> None:
    clock.now = 1.0
    assert opened.admits()
    opened.succeed()
    assert all(opened.admits() for _ in range(3))


def test_a_failed_probe_waits_again(opened: Breaker, clock: Time) -> None:
    clock.now = 1.0
    assert opened.admits()
    clock.now = 1.5
    opened.fail()
    clock.now = 2.4
    assert not opened.admits()
    clock.now = 2.5
    assert opened.admits()


def test_a_probe_that_never_returns_is_followed_by_another(opened: Breaker, clock: Time) -> None:
    clock.now = 1.0
    assert opened.admits()
    clock.now = 2.0
    assert opened.admits()


# In parts of a second that add up exactly.
@given(st.lists(st.integers(0, 3 * 1024).map(lambda n: n / 1024), max_size=60), st.integers(1, 5))
def test_while_everything_fails_at_most_one_asks_per_wait(
    steps: list[float], opens_after: int
) -> None:
    clock = Time()
    breaker = Breaker(opens_after=opens_after, wait_s=1.0, clock=clock)
    asked = []
    for elapsed_s in steps:
        clock.now += elapsed_s
        if breaker.admits():
            asked.append(clock.now)
            breaker.fail()
    later = asked[opens_after - 1 :]
    assert all(b - a >= 1.0 for a, b in pairwise(later))
