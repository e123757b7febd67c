"""Laws of the bound on delays: a machine's noise may not hide what a fault does."""

from __future__ import annotations

import pytest

from tests.faults.soak import bound_s


@pytest.mark.parametrize(
    ("healthy_s", "most_s"), [([0.1, 0.1, 0.1], 0.11), ([0.01, 0.1, 9.0], 0.11)]
)
def test_a_tenth_is_allowed_however_noisy_the_machine_is(
    healthy_s: list[float], most_s: float
) -> None:
    assert bound_s(healthy_s) == pytest.approx(most_s)


def test_five_milliseconds_are_no_change() -> None:
    assert bound_s([0.001, 0.001]) == pytest.approx(0.006)
