"""Synthetic streams: seeded, finite, varied, with ascending times; injected anomalies touch what
they say.
"""

from __future__ import annotations

import numpy as np
import pytest

from models import inject, synth

ROWS = 192


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("family", synth.RHYTHM_FAMILIES)
def test_event_times_of_every_rhythm_ascend(family: str) -> None:
    start = np.full((20, 1), synth.EPOCH_2024_S)
    time_s = synth.RHYTHM_FAMILIES[family](rng(), start, ROWS)
    assert time_s.shape == (20, ROWS)
    assert np.isfinite(time_s).all()
    assert (np.diff(time_s, axis=1) >= 0).mean() > 0.999


@pytest.mark.parametrize("kind", synth.VALUE_KINDS)
def test_values_of_every_kind_are_finite_and_differ(kind: str) -> None:
    time_s = synth.rhythms(rng(), 40, ROWS)
    v = synth.VALUE_KINDS[kind][1](rng(1), time_s)
    assert v.shape == time_s.shape
    assert np.isfinite(v).all()
    if kind != "constant":
        assert (v.std(axis=1) > 0).mean() > 0.8
        assert not np.array_equal(v[0], v[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_streams_are_the_same_for_the_same_seed(channels: int) -> None:
    one, two = (synth.streams(rng(5), 16, ROWS, channels) for _ in range(2))
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.time_s, two.time_s)
    assert not np.array_equal(one.values, synth.streams(rng(6), 16, ROWS, channels).values)


def test_streams_have_missing_values_and_streams_without_a_clock() -> None:
    history = synth.streams(rng(), 300, ROWS, 2)
    assert 0.001 < np.isnan(history.values).mean() < 0.1
    assert 0.1 < (~history.rhythm).mean() < 0.3
    assert not np.isinf(history.values).any()
    assert not history.anomaly.any()


@pytest.mark.parametrize("kind", [*inject.VALUE_KINDS, *inject.RHYTHM_KINDS])
def test_an_anomaly_changes_its_rows_and_nothing_before(kind: str) -> None:
    clean = synth.streams(rng(7), 24, ROWS, 2)
    spoiled, kinds = inject.inject(rng(8), clean, 100, (kind,))
    assert kinds == [kind] * 24
    before = np.arange(ROWS)[None] < np.argmax(spoiled.anomaly, axis=1)[:, None]
    assert (np.argmax(spoiled.anomaly, axis=1) >= 100).all()
    np.testing.assert_array_equal(spoiled.values[before], clean.values[before])
    np.testing.assert_allclose(spoiled.time_s[before], clean.time_s[before], rtol=0, atol=1e-5)
    changed = spoiled.values if kind in inject.VALUE_KINDS else spoiled.time_s
    assert not np.array_equal(
        changed, clean.values if kind in inject.VALUE_KINDS else clean.time_s, equal_nan=True
    )


def test_injection_leaves_the_original_alone() -> None:
    clean = synth.streams(rng(9), 8, ROWS, 1)
    copy = clean.values.copy()
    inject.inject(rng(1), clean, 100)
    np.testing.assert_array_equal(clean.values, copy)
