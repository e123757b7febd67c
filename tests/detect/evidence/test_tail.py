"""The streaming tail: it learns where the largest 5 % begin and how they fall off, whatever the
distribution.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.detect.evidence.base import E_MAX, EXCESS_MIN, TAIL_E, Tail
from streamer.event import F32
from tests.detect.seen import f32

Draw = Callable[[np.random.Generator, int], np.ndarray]
# name -> (draw, its 95 % quantile)
SAMPLES: dict[str, tuple[Draw, float]] = {
    "exponential": (lambda rng, n: rng.exponential(1, n), float(np.log(20))),
    "lognormal": (lambda rng, n: rng.lognormal(0, 1, n), float(np.exp(1.6449))),
    "half normal": (lambda rng, n: np.abs(rng.normal(0, 1, n)), 1.96),
    "power law": (lambda rng, n: (1 - rng.random(n)) ** -0.5, float(np.sqrt(20))),
}
ROWS = 300
EACH = pytest.mark.parametrize("name", SAMPLES)


def tail_of(log_q: F32, excess: F32) -> Tail:
    """A tail of the prior's shape."""
    _, _, square = Tail.prior(0.0, 1.0)
    return Tail(log_q, excess, np.float32(square) * excess * excess)


def learnt(
    name: str, *, unit: float = 1.0, start: float = 1.0, events: int = 3000
) -> tuple[Tail, F32]:
    """ROWS tails that learnt `events` each from a start that is off by exp(start), and 600,000
    fresh statistics.
    """
    draw, q = SAMPLES[name]
    rng = np.random.default_rng(3)
    tail = tail_of(
        np.full(ROWS, np.log(q * unit) + start, np.float32), np.full(ROWS, 0.35, np.float32)
    )
    sure = np.ones(ROWS, np.float32)
    for seen in range(events):
        tail = tail.learn((unit * draw(rng, ROWS)).astype(np.float32), seen * sure, sure)
    fresh = draw(rng, 2000 * ROWS).reshape(2000, ROWS)
    return tail, (unit * fresh).astype(np.float32)


@EACH
@pytest.mark.parametrize("start", [-1.0, 1.0])
def test_the_quantile_is_learnt_from_above_and_from_below(name: str, start: float) -> None:
    tail, _ = learnt(name, start=start)
    assert np.median(np.exp(tail.log_q)) == pytest.approx(SAMPLES[name][1], rel=0.25)


@EACH
def test_exceedances_are_as_rare_as_promised_or_rarer(name: str) -> None:
    """Light tails are told from heavy ones, and never trusted further than an exponential one."""
    tail, fresh = learnt(name)
    e = tail.evidence(fresh)
    for level, least in ((1.5, 0.4), (2.0, 0.1)):
        promised = 10**-level
        assert least * promised < (e >= level).mean() < 1.5 * promised, level
    # Excesses are capped while learning, which understates a tail without variance.
    assert (e >= 3).mean() < 3e-3


@EACH
def test_the_unit_of_the_statistic_does_not_matter(name: str) -> None:
    (plain, fresh), (scaled, scaled_fresh) = (
        learnt(name, events=300),
        learnt(name, unit=1e4, events=300),
    )
    np.testing.assert_allclose(
        plain.evidence(fresh), scaled.evidence(scaled_fresh), rtol=1e-2, atol=1e-2
    )


@given(st.floats(-20, 20), st.floats(0.05, 3), st.floats(0, 1e30), st.floats(0, 1e30))
def test_evidence_is_bounded_and_rises_with_the_statistic(
    log_q: float, excess: float, a: float, b: float
) -> None:
    tail = tail_of(f32(log_q), f32(excess))
    low, high = (tail.evidence(f32(x))[0] for x in sorted((a, b)))
    assert 0 <= low <= high <= E_MAX


@given(st.floats(-5, 5), st.floats(0.05, 3))
def test_evidence_has_no_jump_at_the_quantile(log_q: float, excess: float) -> None:
    tail = tail_of(f32(log_q), f32(excess))
    below, above = (tail.evidence(f32(np.exp(log_q) * f))[0] for f in (0.9999, 1.0001))
    assert below == pytest.approx(TAIL_E, abs=2e-3)
    assert above == pytest.approx(TAIL_E, abs=2e-3)


@given(st.floats(-5, 5), st.floats(0.05, 3), st.floats(0, 1e30), st.integers(0, 10**7))
def test_learning_stays_finite_and_without_weight_nothing_is_learnt(
    log_q: float, excess: float, stat: float, seen: int
) -> None:
    tail = tail_of(f32(log_q), f32(excess))
    same = tail.learn(f32(stat), f32(seen), f32(0))
    assert (same.log_q[0], same.excess[0], same.square[0]) == (
        tail.log_q[0],
        tail.excess[0],
        tail.square[0],
    )
    after = tail.learn(f32(stat), f32(seen), f32(1))
    assert np.isfinite(after.log_q[0])
    assert after.excess[0] >= np.float32(EXCESS_MIN)
    assert after.square[0] >= after.excess[0] ** 2 * 0.999


def test_one_absurd_statistic_moves_a_tail_no_further_than_one_that_is_just_outside() -> None:
    tail = tail_of(f32(0), f32(0.35))
    near, far = (tail.learn(f32(stat), f32(500), f32(1)) for stat in (np.exp(3.0), 1e30))
    assert far.log_q[0] == pytest.approx(near.log_q[0], abs=1e-6)
    assert far.square[0] == pytest.approx(near.square[0], abs=1e-6)


def test_a_tail_is_a_value_and_learning_gives_another() -> None:
    log_q = f32(0.5)
    tail_of(log_q, f32(0.35)).learn(f32(9), f32(0), f32(1))
    assert log_q[0] == 0.5
