"""The step of the network: a pure function of state, input and weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.detect import cell
from streamer.detect.cell import GAP_COMPONENTS, HOURS, MIXTURE, SHAPES, NumpyNamespace
from streamer.event import F32

# H = 5 units, A = 3, D = 4
AXES = {
    "H": 5, "4H": 20, "2H": 10, "3H": 15, "A": 3, "D": 4, "F1": 4, "F2": 6, "H+F1": 9, "1": 1, "3M": 3 * MIXTURE,
    "3G": 3 * GAP_COMPONENTS, "24": HOURS,
}  # fmt: skip
VALUE_WIDTH, RHYTHM_WIDTH = 2 * 5 + 4, 4 * 5 + 1


def weights(seed: int) -> dict[str, F32]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 0.5, [AXES[axis] for axis in shape]).astype(np.float32) for name, shape in SHAPES.items()
    }


def inputs(seed: int, n: int, channels: int) -> tuple[F32, F32, F32, F32]:
    """A state in the middle of a life, and an event."""
    rng = np.random.default_rng(seed)
    shapes = ((n, channels, VALUE_WIDTH), (n, RHYTHM_WIDTH), (n, channels, 4), (n, 6))
    value, rhythm, x, r = (rng.normal(0, 1, shape).astype(np.float32) for shape in shapes)
    rhythm[:, -1] = np.abs(rhythm[:, -1]) + 1  # the mass of attention is positive
    return value, rhythm, x, r


@pytest.mark.parametrize("n", [0, 1, 7])
@pytest.mark.parametrize("channels", [1, 3, 38])
def test_shapes_are_those_of_the_contract_for_any_rows_and_channels(n: int, channels: int) -> None:
    out = cell.step(NumpyNamespace, weights(0), *inputs(1, n, channels))
    assert [a.shape for a in out] == [
        (n, channels, VALUE_WIDTH), (n, RHYTHM_WIDTH), (n, channels), (n, channels, 3 * MIXTURE),
        (n, 3 * GAP_COMPONENTS), (n, HOURS), (n,),
    ]  # fmt: skip
    assert all(a.dtype == np.float32 for a in out)


@given(st.integers(0, 2**31))
def test_a_step_changes_none_of_its_inputs_and_repeats_itself(seed: int) -> None:
    given_, w = inputs(seed, 3, 2), weights(seed + 1)
    copies = [a.copy() for a in given_]
    first, second = cell.step(NumpyNamespace, w, *given_), cell.step(NumpyNamespace, w, *given_)
    assert all(np.array_equal(a, b) for a, b in zip(given_, copies, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@given(st.integers(0, 2**31))
def test_a_row_is_judged_alike_alone_and_among_others(seed: int) -> None:
    given_, w = inputs(seed, 6, 2), weights(seed + 1)
    whole = cell.step(NumpyNamespace, w, *given_)
    alone = cell.step(NumpyNamespace, w, *(a[2:3] for a in given_))
    for a, b in zip(whole, alone, strict=True):
        np.testing.assert_allclose(a[2:3], b, rtol=1e-4, atol=1e-5)


@given(st.integers(0, 2**31))
def test_the_forecast_does_not_depend_on_the_value_it_forecasts(seed: int) -> None:
    value, rhythm, x, r = inputs(seed, 2, 2)
    w = weights(seed + 1)
    a, b = (cell.step(NumpyNamespace, w, value, rhythm, event, r) for event in (x, x + 5))
    for seen, other in zip(a[2:], b[2:], strict=True):
        assert np.array_equal(seen, other)
    assert not np.allclose(a[0], b[0])


def test_gap_and_hour_do_not_depend_on_the_gap_that_they_judge() -> None:
    value, rhythm, x, r = inputs(3, 2, 2)
    a, b = (cell.step(NumpyNamespace, weights(4), value, rhythm, x, gap) for gap in (r, r + 5))
    assert np.array_equal(a[4], b[4])
    assert np.array_equal(a[5], b[5])
    assert not np.allclose(a[3], b[3]), "the value density knows the event's own gap"


def test_a_life_starts_from_zeros_and_its_attention_grows_with_every_event() -> None:
    w = weights(5)
    value, rhythm = np.zeros((1, 2, VALUE_WIDTH), np.float32), np.zeros((1, RHYTHM_WIDTH), np.float32)
    for turn in range(4):
        _, _, x, r = inputs(turn, 1, 2)
        before = rhythm[0, -1]
        out = cell.step(NumpyNamespace, w, value, rhythm, x, r)
        assert all(np.isfinite(a).all() for a in out)
        value, rhythm = out[0], out[1]
        assert np.array_equal(value[:, :, -4:], x), "the state ends with the features of its last event"
        assert 0 < rhythm[0, -1] - before <= np.exp(cell.ATTENTION_BOUND) * 1.001
