"""The training network is the step of detect.cell, unrolled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models import network
from streamer.artifact import ModelSpec
from streamer.detect.network.cell import NumpyNamespace, shapes, step, widths
from streamer.errors import ModelError
from streamer.event import F32

SPEC = ModelSpec(units=8, attention=4, head=8)


def unrolled(spec: ModelSpec, weights: dict[str, F32], x: F32, r: F32) -> dict[str, F32]:
    """detect.cell.step over all T steps from zero state."""
    b, t, c, _ = x.shape
    v, q = widths(spec)
    value, rhythm = np.zeros((b, c, v), np.float32), np.zeros((b, q), np.float32)
    outputs = []
    for i in range(t):
        value, rhythm, *out = step(NumpyNamespace, weights, value, rhythm, x[:, i], r[:, i])
        outputs.append(out)
    names = ("delta", "value", "gap", "hour", "attention")
    return {
        name: np.stack(series, axis=1)
        for name, series in zip(names, zip(*outputs, strict=True), strict=True)
    }


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_says_at_every_step_what_the_cell_says(channels: int, layers: int) -> None:
    spec = replace(SPEC, layers=layers)
    model = network.build(spec)
    rng = np.random.default_rng(channels)
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.5, variable.shape))
    x = rng.normal(0, 1, (2, 12, channels, 4)).astype(np.float32)
    r = rng.normal(0, 1, (2, 12, 6)).astype(np.float32)
    got = model((x, r))
    for name, want in unrolled(spec, network.weights_of(model), x, r).items():
        np.testing.assert_allclose(np.asarray(got[name]), want, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("layers", [1, 3])
def test_weights_come_back_as_they_were_loaded(layers: int) -> None:
    one, two = (network.build(replace(SPEC, layers=layers)) for _ in range(2))
    weights = network.weights_of(one)
    assert list(weights) == list(shapes(layers))
    network.load_weights(two, weights)
    for name, array in network.weights_of(two).items():
        np.testing.assert_array_equal(array, weights[name])


def test_weights_of_another_shape_are_refused_by_name() -> None:
    weights = network.weights_of(network.build(SPEC))
    with pytest.raises(ModelError, match="value_kernel: the network has"):
        network.load_weights(
            network.build(SPEC), weights | {"value_kernel": np.zeros((3, 3), np.float32)}
        )


def test_between_layers_some_of_what_is_learnt_from_drops_out() -> None:
    """One layer has its dropout in the heads alone: its attention does not feel it."""
    rng = np.random.default_rng(0)
    x, r = (
        rng.normal(0, 1, (1, 10, 2, 4)).astype(np.float32),
        rng.normal(0, 1, (1, 10, 6)).astype(np.float32),
    )
    feels = []
    for layers in (1, 2):
        model = network.build(replace(SPEC, layers=layers), dropout=0.5)
        calm, learning = (
            np.asarray(model((x, r), training=mode)["attention"]) for mode in (False, True)
        )
        feels.append(not np.array_equal(calm, learning))
    assert feels == [False, True]


def test_the_future_changes_no_output_of_the_past() -> None:
    model = network.build(SPEC, supervised=True)
    rng = np.random.default_rng(0)
    x, r = (
        rng.normal(0, 1, (1, 10, 2, 4)).astype(np.float32),
        rng.normal(0, 1, (1, 10, 6)).astype(np.float32),
    )
    before = model((x, r))
    x[:, 6:], r[:, 6:] = 9, -9
    after = model((x, r))
    for name in ("value", "gap", "hour", "alarm"):
        np.testing.assert_array_equal(
            np.asarray(before[name])[:, :6], np.asarray(after[name])[:, :6]
        )


def test_a_value_is_predicted_without_being_seen() -> None:
    model = network.build(SPEC)
    rng = np.random.default_rng(0)
    x, r = (
        rng.normal(0, 1, (1, 10, 1, 4)).astype(np.float32),
        rng.normal(0, 1, (1, 10, 6)).astype(np.float32),
    )
    before = model((x, r))
    x[:, 9], r[:, 9] = 5, r[:, 9] + 1
    after = model((x, r))
    assert np.array_equal(np.asarray(before["gap"])[:, 9], np.asarray(after["gap"])[:, 9])
    assert not np.array_equal(
        np.asarray(before["value"])[:, 9], np.asarray(after["value"])[:, 9]
    )  # it knows its own gap
