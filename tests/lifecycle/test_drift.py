"""Drift: quiet on what stays the same, however noisy and seasonal; loud once a regime
has shifted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.event import F32, EventBatch, Fate, Scores
from streamer.lifecycle.drift import (
    DriftSample,
    TrafficProfile,
    counted,
    drift_of,
    profile_of,
    rate_drift,
    stability,
    units_of,
)
from streamer.lifecycle.drift_monitor import Monitor
from streamer.lifecycle.traffic_sample import SLABS, TrafficSample

DAY_S = 86_400.0
STEP_S = 20.0
STEPS = int(DAY_S / STEP_S)
THRESHOLD = 0.25


def wandering(rng: np.random.Generator, memory: float, entities: int, channels: int) -> F32:
    """Two days (T, E, C) of a daily season and noise that remembers: correlation `memory` from row
    to row.
    """
    noise = rng.normal(size=(2 * STEPS, entities, channels)) * np.sqrt(1 - memory**2)
    noise[0] = rng.normal(size=(entities, channels))
    for i in range(1, len(noise)):
        noise[i] += memory * noise[i - 1]
    season = 2 * np.sin(2 * np.pi * np.arange(2 * STEPS) * STEP_S / DAY_S)
    level = 50.0 * np.arange(entities)
    return (noise + season[:, None, None] + level[None, :, None]).astype(np.float32)


def sampled(
    rng: np.random.Generator, values: F32, start_s: float, rows: int = 10_000
) -> DriftSample:
    steps, entities, channels = values.shape
    names = tuple(f"e{i}" for i in range(entities))
    entity = np.tile(np.arange(entities, dtype=np.int32), steps)
    time_s = np.repeat(start_s + STEP_S * np.arange(steps), entities)
    pick = np.sort(rng.permutation(len(entity))[:rows])
    return DriftSample(names, entity[pick], time_s[pick], values.reshape(-1, channels)[pick])


def worst(
    seed: int, memory: float, entities: int, channels: int, change: Callable[[F32], F32]
) -> float:
    """The largest index of a second day, changed, against the first."""
    rng = np.random.default_rng(seed)
    values = wandering(rng, memory, entities, channels)
    reference = profile_of(sampled(rng, values[:STEPS], 0.0))
    return float(drift_of(reference, sampled(rng, change(values[STEPS:].copy()), DAY_S)).max())


def unchanged(values: F32) -> F32:
    return values


def shifted(values: F32) -> F32:
    """One channel of every entity stands higher by its own spread, from noon on."""
    values[len(values) // 2 :, :, 0] += 3 * values[:, 0, 0].std()
    return values


@pytest.mark.parametrize("seeds", [range(6), pytest.param(range(6, 20), marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("memory", "entities", "channels"), [(0.0, 8, 3), (0.9, 8, 3), (0.98, 1, 1), (0.9, 1, 38)]
)
def test_what_stays_the_same_does_not_drift(
    memory: float, entities: int, channels: int, seeds: range
) -> None:
    indexes = [worst(seed, memory, entities, channels, unchanged) for seed in seeds]
    assert sum(index > THRESHOLD for index in indexes) == 0


@pytest.mark.parametrize(
    ("memory", "entities", "channels"), [(0.0, 8, 3), (0.9, 8, 3), (0.98, 1, 1), (0.9, 1, 38)]
)
def test_half_a_day_of_another_regime_drifts(memory: float, entities: int, channels: int) -> None:
    indexes = [worst(seed, memory, entities, channels, shifted) for seed in range(4)]
    assert sum(index > THRESHOLD for index in indexes) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda v: 2 * v - v.mean(axis=0),
        lambda v: np.where(np.arange(len(v))[:, None, None] % 2, np.nan, v),
    ],
    ids=["wider", "half of it missing"],
)
def test_a_spread_or_gaps_that_change_are_drift_too(change: Callable[[F32], F32]) -> None:
    assert min(worst(seed, 0.5, 4, 2, change) for seed in range(5)) > THRESHOLD


def test_an_index_below_three_times_the_noise_counts_as_nothing() -> None:
    """The noise is a quarter of how far the halves of both samples are apart."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2 * STEPS, 1, 1)).astype(np.float32)
    reference = profile_of(sampled(rng, rows[:STEPS], 0.0))
    moved = sampled(rng, rows[STEPS:] + 1, DAY_S)
    quiet, noisy = (replace(reference, halves=np.array([apart])) for apart in (0.0, 100.0))
    index = drift_of(quiet, moved)
    assert index[0] > 0.5 and drift_of(noisy, moved)[0] == 0
    for share, drifts in ((0.2, True), (0.4, False)):
        held = replace(reference, halves=4 * share * index)
        assert (drift_of(held, moved)[0] > 0) == drifts


counts = st.lists(st.integers(0, 500), min_size=11, max_size=11).map(
    lambda row: np.array([row], np.float64)
)


@given(counts, counts)
def test_the_index_is_symmetric_never_negative_and_zero_between_equals(
    one: np.ndarray, other: np.ndarray
) -> None:
    assert stability(one, one)[0] == pytest.approx(0.0)
    assert stability(one, other)[0] >= 0
    assert stability(one, other)[0] == pytest.approx(stability(other, one)[0])


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_the_unit_of_a_channel_does_not_matter(seed: int, scale: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, 2000, 2, 1))
    moved = second + 1.0
    plain = drift_of(profile_of(sampled(rng, first, 0.0, 4000)), sampled(rng, moved, 1e5, 4000))
    a, b = first * scale + offset, moved * scale + offset
    scaled = drift_of(profile_of(sampled(rng, a, 0.0, 4000)), sampled(rng, b, 1e5, 4000))
    assert scaled == pytest.approx(plain, rel=0.15, abs=0.02)


def test_a_profile_survives_its_manifest() -> None:
    rng = np.random.default_rng(0)
    sample = sampled(rng, wandering(rng, 0.5, 3, 2)[:STEPS], 0.0)
    profile = profile_of(sample)
    read = TrafficProfile.of_json(json.loads(json.dumps(profile.as_json())), channels=2)
    assert read is not None and sorted(read.units) == ["e0", "e1", "e2"]
    assert drift_of(read, sample) == pytest.approx(drift_of(profile, sample), abs=1e-3)


@pytest.mark.parametrize(
    "raw", [{}, {"edges": [[1]]}, {"edges": 1, "counts": 2, "halves": 3, "units": 4}]
)
def test_a_profile_of_another_shape_is_none(raw: dict) -> None:
    assert TrafficProfile.of_json(raw, channels=1) is None


def test_many_entities_with_few_rows_each_share_one_unit() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(10, 500, 1)).astype(np.float32)
    assert units_of(sampled(rng, values, 0.0)) == {}
    assert (
        drift_of(profile_of(sampled(rng, values, 0.0)), sampled(rng, values + 3, 0.0))[0]
        > THRESHOLD
    )


def test_every_row_is_counted_once() -> None:
    z = np.array([[-5.0], [0.0], [5.0], [np.nan]])
    assert counted(z, np.linspace(-1, 1, 9)[None]).sum() == 4


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 5.0))
def test_an_alert_rate_that_only_fluctuates_hardly_ever_drifts(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    before, now = rng.poisson(rate, SLABS), rng.poisson(rate, SLABS)
    assert rate_drift(before, 10_000, now, 10_000) < 1.5 * THRESHOLD


def test_an_alert_rate_that_rises_tenfold_drifts() -> None:
    calm, loud = np.full(SLABS, 1), np.full(SLABS, 10)
    assert rate_drift(calm, 10_000, loud, 10_000) > THRESHOLD
    assert rate_drift(loud, 10_000, calm, 10_000) > THRESHOLD
    assert rate_drift(calm, 10_000, 10 * calm, 100_000) == 0


# -- live
def judged(values: F32, start_s: float) -> tuple[EventBatch, Scores]:
    """Rows (T, E, 1) of a stream and a score that follows them, nothing alarming."""
    steps, entities, _ = values.shape
    n = steps * entities
    entity = np.tile(np.arange(entities, dtype=np.int32), steps)[:, None]
    time_s = np.repeat(start_s + STEP_S * np.arange(steps), entities)
    names = tuple(f"e{i}" for i in range(entities))
    batch = EventBatch("s", "t", 0, names, entity, time_s, values.reshape(n, 1), np.arange(n))
    blank = np.full((n, 1), np.nan, np.float32)
    score = np.abs(np.random.default_rng(int(start_s)).normal(size=n)).astype(np.float32)
    fate = np.full(n, Fate.SCORED, np.uint8)
    return batch, Scores(
        fate, score, score * 0, np.stack([score, score * 0], axis=1), blank, blank, blank
    )


def live(traffic: TrafficSample, values: F32, start_s: float, rows: int = 200) -> None:
    for first in range(0, len(values), rows):
        batch, scores = judged(values[first : first + rows], start_s + first * STEP_S)
        traffic.see(batch, [scores])


def monitored() -> Monitor:
    monitor = Monitor("s", ("rms",), TrafficSample(DAY_S, 10_000), THRESHOLD)
    monitor.model("v1", {})
    return monitor


def test_a_regime_that_shifts_live_is_told_with_its_channel_after_two_looks() -> None:
    rng = np.random.default_rng(3)
    values, monitor = wandering(rng, 0.5, 4, 1), monitored()
    live(monitor.traffic, values[:STEPS], 0.0)
    monitor.look()  # the reference
    live(monitor.traffic, values[STEPS:], DAY_S)
    for _ in range(3):
        monitor.look()
    assert monitor.cause is None and monitor.signals["input:rms"] < THRESHOLD
    live(monitor.traffic, values[:STEPS] + 6, 2 * DAY_S)
    monitor.look()
    assert monitor.cause is None
    monitor.look()
    assert monitor.cause is not None and monitor.cause.startswith("input:rms")


def test_nothing_is_said_before_a_whole_window_was_seen() -> None:
    monitor, values = monitored(), wandering(np.random.default_rng(0), 0.5, 4, 1)
    live(monitor.traffic, values[: STEPS // 2], 0.0)
    monitor.look()
    assert monitor.signals == {}


def test_another_model_begins_a_new_comparison_with_what_its_training_saw() -> None:
    rng = np.random.default_rng(5)
    values, monitor = wandering(rng, 0.5, 4, 1), monitored()
    learnt = {"profiles": {"s": profile_of(sampled(rng, values[:STEPS], 0.0)).as_json()}}
    monitor.model("v2", learnt)
    live(monitor.traffic, values[STEPS:] + 6, DAY_S)
    monitor.look()
    monitor.look()
    assert monitor.drifted.keys() == {"input:rms"}
    monitor.model("v3", {})
    assert monitor.cause is None and monitor.traffic.take() is None


def test_a_window_holds_a_bounded_and_even_sample_of_what_flowed() -> None:
    traffic = TrafficSample(DAY_S, 2400, seed=1)
    live(traffic, np.zeros((4 * STEPS, 4, 1), np.float32), 0.0)
    view = traffic.take()
    assert view is not None and view.whole
    assert 1200 <= len(view.sample) <= 2400
    per_slab = np.bincount(
        ((view.sample.time_s - 3 * DAY_S) // (DAY_S / SLABS)).astype(int), minlength=SLABS
    )
    assert per_slab.min() > 30
    assert view.rows == 4 * STEPS


def test_rows_that_come_too_late_for_the_window_are_left_out() -> None:
    traffic = TrafficSample(DAY_S, 2400)
    live(traffic, np.zeros((10, 1, 1), np.float32), 10 * DAY_S)
    live(traffic, np.ones((10, 1, 1), np.float32), 0.0)
    view = traffic.take()
    assert view is not None and view.sample.values.max() == 0


def test_rows_that_come_a_few_at_a_time_stay_what_they_were() -> None:
    """Their blocks are joined now and then, and each block has names and numbers of its own."""
    traffic, values = (
        TrafficSample(DAY_S, 24_000),
        np.arange(400, dtype=np.float32).reshape(100, 4, 1),
    )
    live(traffic, values, 0.0, rows=1)
    view = traffic.take()
    assert view is not None and len(view.sample) == 400
    found = {
        (view.sample.names[entity], time_s, value)
        for entity, time_s, value in zip(
            view.sample.entity, view.sample.time_s, view.sample.values[:, 0], strict=True
        )
    }
    assert found == {(f"e{e}", t * STEP_S, 4.0 * t + e) for t in range(100) for e in range(4)}
