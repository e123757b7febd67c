"""The step of the network: a pure function of state, input and weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer import artifact
from streamer.artifact import ModelSpec
from streamer.detect.network import cell
from streamer.detect.network.cell import (
    ATTENTION_BOUND,
    GAP_COMPONENTS,
    HOURS,
    MIXTURE,
    NumpyNamespace,
)
from streamer.event import F32
from tests.detect.conftest import BUNDLE

# H = 5 units, A = 3, D = 4
AXES = {
    "H": 5,
    "4H": 20,
    "2H": 10,
    "3H": 15,
    "A": 3,
    "D": 4,
    "F1": 4,
    "F2": 6,
    "H+F1": 9,
    "1": 1,
    "3M": 3 * MIXTURE,
    "3G": 3 * GAP_COMPONENTS,
    "24": HOURS,
}
LAYERS = st.integers(1, 4)


def widths(layers: int) -> tuple[int, int]:
    return cell.widths(ModelSpec(units=5, layers=layers))


def weights(seed: int, layers: int = 1) -> dict[str, F32]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 0.5, [AXES[axis] for axis in shape]).astype(np.float32)
        for name, shape in cell.shapes(layers).items()
    }


def inputs(seed: int, n: int, channels: int, layers: int = 1) -> tuple[F32, F32, F32, F32]:
    """A state in the middle of a life, and an event."""
    rng = np.random.default_rng(seed)
    v, q = widths(layers)
    shapes = ((n, channels, v), (n, q), (n, channels, 4), (n, 6))
    value, rhythm, x, r = (rng.normal(0, 1, shape).astype(np.float32) for shape in shapes)
    rhythm[:, -1] = np.abs(rhythm[:, -1]) + 1  # the mass of attention is positive
    return value, rhythm, x, r


@pytest.mark.parametrize("n", [0, 1, 7])
@pytest.mark.parametrize("channels", [1, 3, 38])
@pytest.mark.parametrize("layers", [1, 4])
def test_shapes_are_those_of_the_contract_for_any_rows_and_channels(
    n: int, channels: int, layers: int
) -> None:
    out = cell.step(NumpyNamespace, weights(0, layers), *inputs(1, n, channels, layers))
    assert [a.shape for a in out] == [
        (n, channels, 2 * layers * 5 + 4),
        (n, 2 * layers * 5 + 2 * 5 + 1),
        (n, channels),
        (n, channels, 3 * MIXTURE),
        (n, 3 * GAP_COMPONENTS),
        (n, HOURS),
        (n,),
    ]
    assert all(a.dtype == np.float32 for a in out)


@given(st.integers(0, 2**31), LAYERS)
def test_a_step_changes_none_of_its_inputs_and_repeats_itself(seed: int, layers: int) -> None:
    given_, w = inputs(seed, 3, 2, layers), weights(seed + 1, layers)
    copies = [a.copy() for a in given_]
    first, second = cell.step(NumpyNamespace, w, *given_), cell.step(NumpyNamespace, w, *given_)
    assert all(np.array_equal(a, b) for a, b in zip(given_, copies, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@given(st.integers(0, 2**31), LAYERS)
def test_a_row_is_judged_alike_alone_and_among_others(seed: int, layers: int) -> None:
    given_, w = inputs(seed, 6, 2, layers), weights(seed + 1, layers)
    whole = cell.step(NumpyNamespace, w, *given_)
    alone = cell.step(NumpyNamespace, w, *(a[2:3] for a in given_))
    for a, b in zip(whole, alone, strict=True):
        np.testing.assert_allclose(a[2:3], b, rtol=1e-4, atol=1e-5)


@given(st.integers(0, 2**31), LAYERS)
def test_the_forecast_does_not_depend_on_the_value_it_forecasts(seed: int, layers: int) -> None:
    value, rhythm, x, r = inputs(seed, 2, 2, layers)
    w = weights(seed + 1, layers)
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


@pytest.mark.parametrize("layers", [1, 3])
def test_a_life_starts_from_zeros_and_its_attention_grows_with_every_event(layers: int) -> None:
    w, (v, q) = weights(5, layers), widths(layers)
    value, rhythm = np.zeros((1, 2, v), np.float32), np.zeros((1, q), np.float32)
    for turn in range(4):
        _, _, x, r = inputs(turn, 1, 2)
        before = rhythm[0, -1]
        out = cell.step(NumpyNamespace, w, value, rhythm, x, r)
        assert all(np.isfinite(a).all() for a in out)
        value, rhythm = out[0], out[1]
        assert np.array_equal(value[:, :, -4:], x), (
            "the state ends with the features of its last event"
        )
        assert 0 < rhythm[0, -1] - before <= np.exp(ATTENTION_BOUND) * 1.001


def written_out(w: Mapping[str, F32], value: F32, rhythm: F32, x: F32, r: F32) -> tuple[F32, ...]:
    """The step of a network of one layer, without a word of layers."""
    np_, h = NumpyNamespace, len(w["value_recurrent"])
    h_v, c_v, past_x = value[:, :, :h], value[:, :, h : 2 * h], value[:, :, 2 * h :]
    h_r, c_r = rhythm[:, :h], rhythm[:, h : 2 * h]
    joint = np.concatenate([h_v.mean(axis=1), h_r], 1)
    energy = np_.matmul(
        np.tanh(np_.matmul(joint, w["attention_kernel"]) + w["attention_bias"]),
        w["attention_vector"],
    )
    logit = ATTENTION_BOUND * np.tanh(energy / ATTENTION_BOUND)
    total, mass = (
        rhythm[:, 2 * h : 4 * h] + np.exp(logit) * joint,
        rhythm[:, 4 * h :] + np.exp(logit),
    )
    context = total / mass
    now_r, now_c_r = cell.lstm(np_, r, h_r, c_r, *(w[f"rhythm_{part}"] for part in cell.LAYER))
    now_v, now_c_v = cell.lstm(np_, x, h_v, c_v, *(w[f"value_{part}"] for part in cell.LAYER))
    clock = np_.relu(
        np_.matmul(np.concatenate([h_r, context], 1), w["clock_kernel"]) + w["clock_bias"]
    )
    event = np_.matmul(np.concatenate([now_r, context], 1), w["head_event"]) + w["head_bias"]
    hidden = np_.relu(
        np_.matmul(np.concatenate([h_v, past_x], 2), w["head_value"]) + event[:, None, :]
    )
    delta, density, gap, hour = (
        np_.matmul(of, w[name]) + w[f"{name}_bias"]
        for of, name in (
            (hidden, "forecast_out"),
            (hidden, "value_out"),
            (clock, "gap_out"),
            (clock, "hour_out"),
        )
    )
    after = np.concatenate([now_v, now_c_v, x], 2), np.concatenate([now_r, now_c_r, total, mass], 1)
    return *after, delta[:, :, 0], density, gap, hour, logit[:, 0]


def test_with_one_layer_every_number_is_to_the_bit_that_of_a_network_that_knows_no_layers() -> None:
    """On the golden run of the starter: what judged before there were layers judges as it did."""
    golden = artifact.unpack_arrays(BUNDLE.parts["golden.npz"])
    state = np.zeros_like(golden["value_state"][0]), np.zeros_like(golden["rhythm_state"][0])
    for x, r in zip(golden["x"], golden["r"], strict=True):
        want = written_out(BUNDLE.weights, *state, x, r)
        got = cell.step(NumpyNamespace, BUNDLE.weights, *state, x, r)
        assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))
        state = got[:2]
    for got, name in zip(state, ("value_state", "rhythm_state"), strict=True):
        np.testing.assert_allclose(got, golden[name][-1], rtol=1e-5, atol=1e-5, err_msg=name)


def test_a_layer_reads_what_the_layer_below_says_of_the_same_event() -> None:
    value, rhythm, x, r = inputs(6, 3, 2, layers=2)
    w = weights(7, layers=2)
    after = cell.step(NumpyNamespace, w, value, rhythm, x, r)[0]
    low, _ = cell.lstm(
        NumpyNamespace, x, value[..., :5], value[..., 5:10], *(w[f"value_{p}"] for p in cell.LAYER)
    )
    top = cell.lstm(
        NumpyNamespace,
        low,
        value[..., 10:15],
        value[..., 15:20],
        *(w[f"value_{p}_2"] for p in cell.LAYER),
    )
    np.testing.assert_array_equal(after[..., 10:20], np.concatenate(top, axis=-1))


def test_heads_and_attention_read_the_top_layer_alone() -> None:
    value, rhythm, x, r = inputs(8, 3, 2, layers=2)
    w, other = weights(9, layers=2), value.copy()
    other[..., :10] += 1
    a, b = (cell.step(NumpyNamespace, w, v, rhythm, x, r) for v in (value, other))
    for seen, same in zip(a[2:], b[2:], strict=True):
        np.testing.assert_array_equal(seen, same)
    assert not np.allclose(a[0][..., 10:20], b[0][..., 10:20]), "the next event will hear of it"


def test_weights_of_the_first_layer_have_the_names_they_always_had() -> None:
    one, three = cell.shapes(1), cell.shapes(3)
    assert one.items() <= three.items()
    more = [f"{s}_{p}_{n}" for s in ("value", "rhythm") for n in (2, 3) for p in cell.LAYER]
    assert sorted(three.keys() - one.keys()) == sorted(more)
