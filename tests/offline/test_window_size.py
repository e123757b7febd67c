"""The suggested window holds what the past says, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.event import F64
from streamer.offline.series import Series
from streamer.offline.window_size import LONGEST, SHARE, SHORTEST, need, profile, suggest

ROWS = 4000


def moving_average(span: int, seed: int = 0) -> F64:
    """Noise smoothed over `span` rows: its autocorrelation falls linearly to 0 at that lag."""
    noise = np.random.default_rng(seed).normal(0, 1, ROWS + span)
    return np.convolve(noise, np.ones(span) / span, mode="valid")[:ROWS]


def series(*columns: F64) -> Series:
    values = np.stack(columns, axis=1).astype(np.float32)
    return Series("s", "e", np.arange(len(values), dtype=np.float64), values)


@pytest.mark.parametrize("span", [20, 60, 120])
def test_the_window_follows_how_far_back_a_stream_depends_on_itself(span: int) -> None:
    """90 % of a triangle lie within 1 - sqrt(0.1) = 68 % of its base, less what is lost in the
    noise.
    """
    found = suggest([series(moving_average(span))])
    assert 0.4 * span <= found.window <= 1.1 * span


def test_streams_of_noise_need_no_past() -> None:
    """One lag in some 2,000 exceeds chance."""
    rng = np.random.default_rng(0)
    found = suggest([series(rng.normal(0, 1, ROWS)) for _ in range(20)])
    assert found.silent >= 15


def test_the_window_serves_nearly_every_entity_not_the_most_modest_one() -> None:
    modest, greedy = moving_average(10), moving_average(100)
    both = suggest([series(modest), series(greedy)])
    assert both.window > suggest([series(modest)]).window
    assert both.window >= 0.9 * suggest([series(greedy)]).window


@pytest.mark.parametrize(
    "column", [np.zeros(ROWS), np.full(ROWS, np.nan), moving_average(20)[:100]]
)
def test_a_series_that_says_nothing_is_counted_and_has_no_say(column: F64) -> None:
    found = suggest([series(column)])
    assert (found.window, found.needs, found.silent) == (SHORTEST, (), 1)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=LONGEST).filter(lambda found: sum(found) > 1e-6)
)
def test_the_need_is_the_shortest_past_that_holds_the_share(found: list[float]) -> None:
    dependency = np.array(found)
    lag = need(dependency)
    assert dependency[:lag].sum() >= SHARE * dependency.sum() * (1 - 1e-9)
    assert dependency[: lag - 1].sum() < SHARE * dependency.sum() * (1 + 1e-9)


def test_the_profile_does_not_change_with_the_unit_and_survives_gaps() -> None:
    column = moving_average(30)
    plain, scaled = profile(column), profile(1000 * column + 7)
    holes = column.copy()
    holes[::10] = np.nan
    patched = profile(holes)
    assert plain is not None
    assert scaled is not None
    assert patched is not None
    np.testing.assert_allclose(plain, scaled, atol=1e-6)
    assert abs(need(plain) - need(patched)) <= 8
