"""The training network is the step of detect.cell, unrolled."""

from __future__ import annotations

import numpy as np
import pytest

from models import network
from streamer.artifact import ModelSpec
from streamer.detect.cell import SHAPES, NumpyNamespace, step
from streamer.errors import ModelError
from streamer.event import F32

SPEC = ModelSpec(units=8, attention=4, head=8)


def unrolled(weights: dict[str, F32], x: F32, r: F32) -> dict[str, F32]:
    """detect.cell.step over all T steps from zero state."""
    b, t, c, _ = x.shape
    value, rhythm = np.zeros((b, c, 2 * SPEC.units + 4), np.float32), np.zeros((b, 4 * SPEC.units + 1), np.float32)
    outputs = []
    for i in range(t):
        value, rhythm, *out = step(NumpyNamespace, weights, value, rhythm, x[:, i], r[:, i])
        outputs.append(out)
    names = ("delta", "value", "gap", "hour", "attention")
    return {name: np.stack(series, axis=1) for name, series in zip(names, zip(*outputs, strict=True), strict=True)}


@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_says_at_every_step_what_the_cell_says(channels: int) -> None:
    model = network.build(SPEC)
    rng = np.random.default_rng(channels)
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.5, variable.shape))
    x = rng.normal(0, 1, (2, 12, channels, 4)).astype(np.float32)
    r = rng.normal(0, 1, (2, 12, 6)).astype(np.float32)
    got = model((x, r))
    for name, want in unrolled(network.weights_of(model), x, r).items():
        np.testing.assert_allclose(np.asarray(got[name]), want, rtol=1e-5, atol=1e-5, err_msg=name)


def test_weights_come_back_as_they_were_loaded() -> None:
    one, two = network.build(SPEC), network.build(SPEC)
    weights = network.weights_of(one)
    assert list(weights) == list(SHAPES)
    network.load_weights(two, weights)
    for name, array in network.weights_of(two).items():
        np.testing.assert_array_equal(array, weights[name])


def test_weights_of_another_shape_are_refused_by_name() -> None:
    weights = network.weights_of(network.build(SPEC))
    with pytest.raises(ModelError, match="value_kernel: the network has"):
        network.load_weights(network.build(SPEC), weights | {"value_kernel": np.zeros((3, 3), np.float32)})


def test_the_future_changes_no_output_of_the_past() -> None:
    model = network.build(SPEC, supervised=True)
    rng = np.random.default_rng(0)
    x, r = rng.normal(0, 1, (1, 10, 2, 4)).astype(np.float32), rng.normal(0, 1, (1, 10, 6)).astype(np.float32)
    before = model((x, r))
    x[:, 6:], r[:, 6:] = 9, -9
    after = model((x, r))
    for name in ("value", "gap", "hour", "alarm"):
        np.testing.assert_array_equal(np.asarray(before[name])[:, :6], np.asarray(after[name])[:, :6])


def test_a_value_is_predicted_without_being_seen() -> None:
    model = network.build(SPEC)
    rng = np.random.default_rng(0)
    x, r = rng.normal(0, 1, (1, 10, 1, 4)).astype(np.float32), rng.normal(0, 1, (1, 10, 6)).astype(np.float32)
    before = model((x, r))
    x[:, 9], r[:, 9] = 5, r[:, 9] + 1
    after = model((x, r))
    assert np.array_equal(np.asarray(before["gap"])[:, 9], np.asarray(after["gap"])[:, 9])
    assert not np.array_equal(
        np.asarray(before["value"])[:, 9], np.asarray(after["value"])[:, 9]
    )  # it knows its own gap
