from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamer.backoff import Backoff, delay_s
from tests.runtime.world import Hands


@given(st.integers(-3, 10_000), st.floats(0.001, 10), st.floats(0.001, 100))
def test_waits_double_from_the_first_up_to_the_most(
    failures: int, first_s: float, most_s: float
) -> None:
    wait = delay_s(failures, first_s=first_s, most_s=most_s)
    assert 0 <= wait <= most_s
    assert delay_s(failures + 1, first_s=first_s, most_s=most_s) >= wait


def test_the_first_waits_are_the_documented_ones() -> None:
    assert [delay_s(n, first_s=0.5, most_s=3) for n in range(6)] == [0, 0.5, 1, 2, 3, 3]


def test_an_attempt_is_due_again_only_after_the_wait() -> None:
    clock = Hands()
    backoff = Backoff(2.0, 8.0, clock)
    assert backoff.due
    assert backoff.fail() == 2.0
    clock.now += 1.99
    assert not backoff.due
    clock.now += 0.01
    assert backoff.due


def test_success_forgets_all_failures() -> None:
    backoff = Backoff(2.0, 8.0, Hands())
    backoff.fail()
    backoff.fail()
    backoff.succeed()
    assert backoff.due
    assert backoff.fail() == 2.0
