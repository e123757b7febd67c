"""Densities of the heads: proper distributions, whatever the network says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.detect.network import density
from streamer.detect.network.cell import GAP_COMPONENTS, LOGIT_BOUND, MIXTURE
from streamer.event import F32

SEEDS = st.integers(0, 2**31)


def gap_params(seed: int, n: int = 5) -> F32:
    """Logits, locations, log scales (n, 3G) of a plausible spread."""
    rng = np.random.default_rng(seed)
    g = GAP_COMPONENTS
    parts = [rng.normal(0, 3, (n, g)), rng.uniform(-4, 4, (n, g)), rng.uniform(-6, -0.5, (n, g))]
    return np.concatenate(parts, axis=1).astype(np.float32)


def value_params(seed: int, n: int = 4) -> F32:
    rng = np.random.default_rng(seed)
    m = MIXTURE
    parts = [
        rng.normal(0, 3, (n, 1, m)),
        rng.normal(0, 3, (n, 1, m)),
        rng.uniform(-2, 1.5, (n, 1, m)),
    ]
    return np.concatenate(parts, axis=2).astype(np.float32)


@given(SEEDS)
def test_both_tails_of_a_gap_lie_between_0_and_1_and_add_up_to_1(seed: int) -> None:
    lower, upper = density.gap_tails(gap_params(seed), np.linspace(-6, 6, 5).astype(np.float32))
    assert ((lower >= 0) & (lower <= 1 + 1e-6) & (upper >= 0) & (upper <= 1 + 1e-6)).all()
    np.testing.assert_allclose(lower + upper, 1, atol=1e-5)


@settings(max_examples=20)
@given(SEEDS)
def test_the_lower_tail_rises_from_0_to_1(seed: int) -> None:
    params = gap_params(seed, 1)
    grid = np.linspace(-40, 40, 400).astype(np.float32)
    lower, _ = density.gap_tails(np.repeat(params, len(grid), axis=0), grid)
    assert lower[0] < 1e-4
    assert lower[-1] > 1 - 1e-4
    assert (np.diff(lower) >= -1e-5).all()


@given(SEEDS, st.sampled_from([0.005, 0.1, 0.5, 0.9, 0.995]))
def test_the_quantile_inverts_the_lower_tail(seed: int, p: float) -> None:
    params = gap_params(seed)
    at = density.gap_quantile(params, p)
    # A float32 location resolves a step of the narrowest component (e^-4) to about 1e-4 of the
    # mass.
    below, _ = density.gap_tails(params, at - 1e-3)
    above, _ = density.gap_tails(params, at + 1e-3)
    assert (below <= p + 1e-3).all()
    assert (above >= p - 1e-3).all()


def test_a_quantile_beyond_the_bounded_range_is_its_edge() -> None:
    params = np.zeros((1, 3 * GAP_COMPONENTS), np.float32)
    params[:, GAP_COMPONENTS : 2 * GAP_COMPONENTS] = 1e6
    assert density.gap_quantile(params, 0.5)[0] == pytest.approx(10.0)
    params[:, GAP_COMPONENTS : 2 * GAP_COMPONENTS] = -1e6
    assert density.gap_quantile(params, 0.5)[0] == pytest.approx(-8.0)


@settings(max_examples=20)
@given(SEEDS)
def test_the_value_density_integrates_to_1(seed: int) -> None:
    params = value_params(seed)
    grid = np.linspace(-150, 150, 30_001).astype(np.float32)
    step = np.broadcast_to(grid[:, None, None], (len(grid), len(params), 1))
    log_density = density.value_log_density(params[None, :, :, :], step)
    whole = np.exp(log_density.astype(np.float64)).sum(axis=0) * (grid[1] - grid[0])
    np.testing.assert_allclose(whole, 1, atol=0.01)


@given(SEEDS)
def test_mixture_weights_are_positive_and_add_up_to_1(seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 100, (6, 4)).astype(np.float32)
    weights = density.weights(logits)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert (weights > 0).all()
    assert (weights.max(axis=-1) / weights.min(axis=-1) <= np.exp(2 * LOGIT_BOUND) * 1.001).all()


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_densities_stay_finite_for_absurd_numbers(params: float, seen: float) -> None:
    with np.errstate(over="ignore"):
        filled = np.full((1, 3 * GAP_COMPONENTS), params, np.float32)
        lower, upper = density.gap_tails(filled, np.array([seen], np.float32))
    assert np.isfinite([lower, upper]).all()
    assert np.isfinite(density.weights(filled)).all()
