"""Laws of the bound on delays: a machine's noise may not hide what a fault does."""

from __future__ import annotations

import pytest

from tests.faults.soak import bound_s


def test_the_soak_allows_a_tenth_however_noisy_the_machine_is() -> None:
    assert bound_s([0.1, 0.1, 0.1], soak=True) == pytest.approx(0.11)
    assert bound_s([0.01, 0.1, 9.0], soak=True) == pytest.approx(0.11)


def test_five_milliseconds_are_no_change() -> None:
    assert (
        bound_s([0.001, 0.001], soak=True)
        == bound_s([0.001, 0.001], soak=False)
        == pytest.approx(0.006)
    )


@pytest.mark.parametrize(
    ("healthy_s", "most_s"), [([0.1] * 3, 0.15), ([0.09, 0.1, 0.11], 0.16), ([0.0, 0.1, 9.0], 0.2)]
)
def test_the_short_form_allows_for_noise_up_to_the_double(
    healthy_s: list[float], most_s: float
) -> None:
    assert bound_s(healthy_s, soak=False) == pytest.approx(most_s)
