"""The densities that training learns are those that detection reads."""

from __future__ import annotations

import numpy as np
import pytest

from models import losses
from streamer.detect.network import density


def test_the_value_density_equals_detection_s() -> None:
    rng = np.random.default_rng(0)
    params, step = (
        rng.normal(0, 2, (40, 3, 9)).astype(np.float32),
        rng.normal(0, 3, (40, 3)).astype(np.float32),
    )
    want = density.value_log_density(params, step)
    np.testing.assert_allclose(
        np.asarray(losses.value_log_density(params, step)), want, rtol=1e-4, atol=1e-4
    )


def test_the_gap_density_is_the_slope_of_detection_s_distribution() -> None:
    rng = np.random.default_rng(1)
    params = np.concatenate(
        [rng.normal(0, 1, (60, 12)), rng.uniform(-1, 1, (60, 6))], axis=1
    ).astype(np.float32)
    at, h = rng.normal(0, 1, 60).astype(np.float32), np.float32(1e-2)
    slope = (density.gap_tails(params, at + h)[0] - density.gap_tails(params, at - h)[0]) / (2 * h)
    np.testing.assert_allclose(
        np.exp(np.asarray(losses.gap_log_density(params, at))), slope, rtol=2e-2, atol=1e-4
    )


@pytest.mark.parametrize("name", ["value_log_density", "gap_log_density"])
def test_a_density_integrates_to_one(name: str) -> None:
    rng = np.random.default_rng(2)
    count = 3 if name == "value_log_density" else 6
    params = np.concatenate([rng.normal(0, 1, 2 * count), rng.uniform(-1, 0.5, count)]).astype(
        np.float32
    )
    grid = np.linspace(-40, 40, 40_001).astype(np.float32)
    values = np.exp(
        np.asarray(getattr(losses, name)(np.broadcast_to(params, (len(grid), 3 * count)), grid))
    )
    assert np.trapezoid(values, grid) == pytest.approx(1, abs=1e-3)


def test_hidden_events_change_no_loss() -> None:
    rng = np.random.default_rng(3)
    delta, step = (
        rng.normal(0, 1, (2, 8, 2)).astype(np.float32),
        rng.normal(0, 1, (2, 8, 2)).astype(np.float32),
    )
    weight = np.ones((2, 8, 2), np.float32)
    weight[:, 5:] = 0
    before = float(losses.forecast_loss(delta, step, weight))
    step[:, 5:] = 1e3
    assert float(losses.forecast_loss(delta, step, weight)) == before


def test_a_factor_on_a_channel_s_errors_counts_alike_on_every_channel() -> None:
    step = np.ones((1, 50, 1), np.float32) * np.array([1, 20], np.float32)
    delta, weight = step * 0.9, np.ones_like(step)
    halved = [np.array(delta), np.array(delta)]
    for channel in (0, 1):
        halved[channel][..., channel] = step[..., channel] * 0.95
    one, two = (float(losses.forecast_loss(d, step, weight)) for d in halved)
    assert one == pytest.approx(two, abs=0.1)


def test_anomalies_weigh_eight_times_in_the_supervised_loss() -> None:
    logits, ones = np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32)
    label = np.array([[1, 0]], np.float32)
    strong = float(losses.alarm_loss(np.array([[2, 0]], np.float32), label, ones))
    weak = float(losses.alarm_loss(np.array([[0, -2]], np.float32), label, ones))
    base = float(losses.alarm_loss(logits, label, ones))
    assert (base - strong) == pytest.approx(8 * (base - weak), rel=1e-3)
