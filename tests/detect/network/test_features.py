"""What the network reads: robust units, scaled values and steps, gaps and the calendar."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.detect.network import features
from streamer.detect.network.features import LOG_GAP_HIGH, LOG_GAP_LOW, STEP_CLIP, Anchor, anchor_of
from streamer.event import F32, F64, Bool

SEEDS = st.integers(0, 2**31)
F32_MAX = float(np.finfo(np.float32).max)
ABSURD = st.sampled_from(
    [0.0, 1.0, -3.5, 1e30, -1e30, F32_MAX, -F32_MAX, 1e-45, -1e-40, 1e-30, np.nan, np.inf, -np.inf]
)


def window(
    seed: int, rows: int = 40, entities: int = 3, channels: int = 2
) -> tuple[F32, Bool, F64]:
    """Values with missing ones, rows that do not exist yet at the front, and times."""
    rng = np.random.default_rng(seed)
    values = rng.normal(
        rng.normal(0, 100), rng.uniform(0.1, 50), (entities, rows, channels)
    ).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    valid: Bool = np.arange(rows)[None, :] >= rng.integers(0, rows - 4, (entities, 1))
    return values, valid, 1.7e9 + np.cumsum(rng.exponential(30, (entities, rows)), axis=1)


def features_of(values: F32, anchor: Anchor) -> F32:
    """Value features (B, T, C, F1) of a whole window."""
    wide = Anchor(
        anchor.loc[:, None], anchor.scale[:, None], anchor.step[:, None], anchor.gap_s[:, None]
    )
    return features.value_features(values, features.carry_forward(values, anchor.loc), wide)[0]


def of(values: list[float], **anchor: float) -> tuple[F32, F32]:
    """Features and step of one channel: (value after value) under one anchor, by
    default 0, 1, 1.
    """
    unit = {"loc": 0.0, "scale": 1.0, "step": 1.0, "gap_s": 1.0} | anchor
    a = Anchor(*(np.array([unit[name]], np.float32) for name in ("loc", "scale", "step", "gap_s")))
    x, step = features.value_features(
        np.array([values[1]], np.float32), np.array([values[0]], np.float32), a
    )
    return x[0], step


@given(SEEDS)
def test_location_is_the_median_of_the_rows_that_exist(seed: int) -> None:
    values, valid, time_s = window(seed)
    anchor = anchor_of(values, valid, time_s)
    seen = np.where(valid[:, :, None], values, np.nan)
    columns = [[_known(seen[b, :, c]) for c in range(2)] for b in range(3)]
    expected = np.array(
        [[np.median(column) if len(column) else 0 for column in row] for row in columns]
    )
    np.testing.assert_allclose(anchor.loc, expected, rtol=1e-4, atol=1e-4)


@given(SEEDS)
def test_scale_is_the_larger_of_quartile_range_and_mean_deviation(seed: int) -> None:
    values, valid, time_s = window(seed)
    anchor = anchor_of(values, valid, time_s)
    for b, c in np.ndindex(3, 2):
        seen = _known(values[b, valid[b], c])
        if len(seen) < 2:
            continue
        q25, q50, q75 = np.percentile(seen, [25, 50, 75])
        floor = 1e-4 * abs(q50)
        expected = max((q75 - q25) / 1.35, 0.6 * np.abs(seen - q50).mean(), floor)
        assert anchor.scale[b, c] == pytest.approx(expected, rel=2e-3)


@given(SEEDS)
def test_the_unit_of_time_is_the_median_gap_between_rows_that_exist(seed: int) -> None:
    values, valid, time_s = window(seed)
    expected = [np.median(np.diff(t[v])) for t, v in zip(time_s, valid, strict=True)]
    np.testing.assert_allclose(anchor_of(values, valid, time_s).gap_s, expected, rtol=1e-4)


def _known(column: F32) -> F32:
    return column[~np.isnan(column)]


@given(SEEDS)
def test_rows_that_do_not_exist_have_no_say(seed: int) -> None:
    values, valid, time_s = window(seed)
    poisoned, later = values.copy(), time_s.copy()
    poisoned[~valid], later[~valid] = 1e30, 0.0
    for a, b in zip(
        _arrays(anchor_of(values, valid, time_s)),
        _arrays(anchor_of(poisoned, valid, later)),
        strict=True,
    ):
        assert np.array_equal(a, b)


def _arrays(anchor: Anchor) -> tuple[F32, F32, F32, F32]:
    return anchor.loc, anchor.scale, anchor.step, anchor.gap_s


@given(SEEDS, st.sampled_from([1e-6, 0.02, 3.0, -7.0, 1e6]), st.floats(-20, 20))
def test_features_do_not_change_with_the_unit_of_the_channel(seed: int, a: float, b: float) -> None:
    values, valid, time_s = window(seed)
    values = ((values - np.nanmean(values)) / max(float(np.nanstd(values)), 1e-6)).astype(
        np.float32
    )
    copy = (a * values + a * b).astype(np.float32)
    x, y = (features_of(v, anchor_of(v, valid, time_s)) for v in (values, copy))
    sign = np.array([np.sign(a), np.sign(a), 1, 1])
    # What hardly moves beside its own size, or was never seen, has no unit.
    seen = np.isfinite(np.where(valid[:, :, None], values, np.nan)).any(axis=1)
    moves = seen & (anchor_of(values, valid, time_s).scale > 0.01)
    shown = valid.reshape(3, -1, 1, 1) & moves.reshape(3, 1, -1, 1)
    np.testing.assert_allclose(
        np.where(shown, y, 0), np.where(shown, x * sign, 0), rtol=1e-3, atol=1e-3
    )


@given(st.lists(ABSURD, min_size=2, max_size=40), ABSURD)
@pytest.mark.filterwarnings("error")
def test_absurd_magnitudes_give_finite_features(past: list[float], newest: float) -> None:
    values = features.bounded(np.array(past, np.float32)[None, :, None])
    anchor = anchor_of(
        values, np.ones((1, len(past)), np.bool_), np.arange(len(past), dtype=float)[None]
    )
    assert all(np.isfinite(a).all() for a in _arrays(anchor))
    assert all((a > 0).all() for a in _arrays(anchor)[1:])
    assert np.isfinite(features_of(values, anchor)).all()
    x, step = features.value_features(
        features.bounded(np.array([[newest]], np.float32)), anchor.loc, anchor
    )
    assert np.isfinite(x).all()
    assert np.abs(step).max() <= STEP_CLIP


@pytest.mark.parametrize("constant", [0.0, 1e-20, 5.0, -1e6, 1e24])
def test_a_constant_channel_has_a_unit_and_features_of_zero(constant: float) -> None:
    values = np.full((1, 20, 1), constant, np.float32)
    anchor = anchor_of(values, np.ones((1, 20), np.bool_), np.arange(20.0)[None])
    assert anchor.loc[0, 0] == np.float32(constant)
    assert anchor.scale[0, 0] > 0
    assert (features_of(values, anchor)[..., [0, 1, 3]] == 0).all()


def test_a_channel_without_values_has_units_that_can_be_used() -> None:
    values = np.full((1, 20, 1), np.nan, np.float32)
    anchor = anchor_of(values, np.ones((1, 20), np.bool_), np.arange(20.0)[None])
    assert (anchor.loc[0, 0], anchor.scale[0, 0]) == (0.0, 1.0)
    assert np.isfinite(features_of(values, anchor)).all()


def test_a_missing_value_repeats_the_last_one_marked() -> None:
    known, step = of([3.0, 5.0])
    missing, no_step = of([3.0, np.nan])
    assert (known[3], float(step[0])) == (0.0, 2.0)
    assert (missing[1], missing[3], float(no_step[0])) == (0.0, 1.0, 0.0)
    assert missing[0] == pytest.approx(np.arcsinh(3.0))


def test_value_and_step_are_in_the_anchors_units() -> None:
    x, step = of([10.0, 16.0], loc=10.0, scale=2.0, step=3.0)
    assert x[:2] == pytest.approx([np.arcsinh(3.0), np.arcsinh(2.0)])
    assert x[2] == pytest.approx(np.log(1.5) / 4)
    assert step[0] == pytest.approx(2.0)


@given(st.floats(0, 1e12), st.floats(1e-3, 1e9))
def test_a_log_gap_is_bounded_and_grows_with_the_gap(gap_s: float, unit_s: float) -> None:
    unit = np.array([unit_s], np.float32)
    short, longer = (features.log_gap(np.array([g]), unit)[0] for g in (gap_s, gap_s * 2 + 1))
    assert LOG_GAP_LOW <= short <= longer <= LOG_GAP_HIGH


def test_the_typical_gap_is_zero_and_so_is_an_unknown_one() -> None:
    unit = np.array([20.0, 20.0], np.float32)
    assert features.log_gap(np.array([20.0, np.nan]), unit).tolist() == pytest.approx(
        [0, 0], abs=1e-6
    )


@given(SEEDS)
def test_a_log_gap_does_not_depend_on_the_unit_of_time(seed: int) -> None:
    gaps = np.random.default_rng(seed).exponential(50, 20)
    a, b = (features.log_gap(gaps * f, np.full(20, 7 * f, np.float32)) for f in (1.0, 3600.0))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@given(st.integers(0, 4_000_000_000))
def test_hour_and_calendar_are_those_of_utc(time_s: int) -> None:
    when = datetime.fromtimestamp(time_s, UTC)
    at = np.array([float(time_s)])
    assert features.hour_of_day(at)[0] == when.hour
    r = features.rhythm_features(np.zeros(1, np.float32), np.zeros(1, np.float32), at)[0]
    day = 2 * np.pi * (when.hour * 3600 + when.minute * 60 + when.second) / 86_400
    week = (2 * np.pi * when.weekday() + day) / 7
    # Monday 0:00 is the start of the week; float32 holds a sine to 1e-7, the turn of 50 years in
    # float64 to 1e-9.
    np.testing.assert_allclose(
        r[2:], [np.sin(day), np.cos(day), np.sin(week), np.cos(week)], atol=1e-5
    )


@given(
    st.lists(st.one_of(st.just(np.nan), st.floats(-100, 100, width=32)), min_size=1, max_size=30)
)
def test_the_last_known_value_is_carried_forward(values: list[float]) -> None:
    column = np.array(values, np.float32)[None, :, None]
    found = features.carry_forward(column, np.array([[7.0]], np.float32))[0, :, 0]
    last, expected = 7.0, []
    for value in values:
        expected.append(last)
        last = last if np.isnan(value) else value
    assert found.tolist() == expected
