"""Training windows are what serving computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models import synth
from models.dataset import (
    WEEK_DAYS,
    History,
    HistorySet,
    cut,
    moved,
    rows_needed,
    windows,
    young_lengths,
)
from models.forecast_skill import replay
from streamer import artifact
from streamer.artifact import ModelSpec
from streamer.backends import open_scorer
from streamer.detect.network.features import DAY_S
from streamer.detect.network.lanes import Lanes
from streamer.detect.state.ring import Ring
from streamer.errors import InputError

SPEC = ModelSpec()


def history(entities: int = 4, rows: int = 400, channels: int = 2, seed: int = 0) -> History:
    return synth.streams(np.random.default_rng(seed), entities, rows, channels)


def served(data: History, rows: int, phase: int) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Forecast (E, C) and gap parameters (E, 3G) by event number, as detect.lanes gives them event
    after event.
    """
    scorer = open_scorer(artifact.load(artifact.PRETRAINED), "numpy")
    entities = len(data.values)
    ring, slots = Ring(entities, SPEC.ring, data.values.shape[2]), np.arange(entities)
    lanes = Lanes(scorer, SPEC, ring)
    lanes.reset(slots, np.full(entities, phase))
    out = {}
    for t in range(rows):
        values, time_s = data.values[:, t], data.time_s[:, t]
        if t >= SPEC.k_min:
            outlook = lanes.step(slots, values, time_s, ring.previous(slots)[1])
            out[t] = outlook.forecast, outlook.gap
        ring.push(slots, values, time_s, np.full(entities, t))
    return out


@pytest.mark.parametrize("young", [None, 16, 64])
def test_a_window_trains_on_exactly_what_the_lanes_serve(young: int | None) -> None:
    data = history()
    data = History(data.values, data.time_s, data.anomaly, np.ones(len(data.values), bool))
    w = windows(data, SPEC, young)
    scorer = open_scorer(artifact.load(artifact.PRETRAINED), "numpy")
    # A grown window begins at an anchor: event 64 + phase = 128 with phase 64.
    lanes = served(data, rows_needed(SPEC, young), phase=64)
    first = rows_needed(SPEC, young) - w.x.shape[1]
    measured = SPEC.scale_window if young is None else young
    last = rows_needed(SPEC, young) if young != SPEC.window else 2 * SPEC.window
    for t, out in enumerate(replay(scorer, w)):
        if measured <= first + t < last:
            np.testing.assert_allclose(out.gap, lanes[first + t][1], rtol=1e-4, atol=1e-4)


def test_the_target_is_the_step_that_the_forecast_adds_to_the_last_value() -> None:
    w = windows(history(), SPEC)
    np.testing.assert_allclose(np.arcsinh(w.step), w.x[..., 1], atol=1e-5)


def test_only_judged_known_and_normal_events_are_learnt() -> None:
    data = history()
    data.values[0, 200, 0] = np.nan
    data.anomaly[1, 220] = True
    w = windows(data, SPEC)
    replayed = SPEC.window
    assert not w.value_weight[:, :replayed].any()
    assert w.value_weight[0, 200 - SPEC.window, 0] == 0
    assert not w.value_weight[1, 220 - SPEC.window].any()
    assert w.gap_weight[1, 220 - SPEC.window] == 0
    assert w.value_weight[2, replayed:].mean() > 0.5


def test_a_row_counts_in_the_loss_as_much_as_its_weight_and_nothing_where_it_must_not_be_learnt() -> (
    None
):
    plain = history()
    plain.anomaly[0, 150] = True
    weight = np.random.default_rng(1).uniform(0.5, 3.0, plain.time_s.shape).astype(np.float32)
    whole = np.arange(rows_needed(SPEC))
    data = (
        replace(plain, weight=weight)
        .of(np.arange(4))
        .span(0, 300)
        .pieces(np.arange(4)[:, None], whole)
    )
    one, other = windows(plain, SPEC), windows(data, SPEC)
    times = weight[:, SPEC.scale_window - SPEC.window : rows_needed(SPEC)]
    np.testing.assert_allclose(other.value_weight, one.value_weight * times[:, :, None], rtol=1e-6)
    np.testing.assert_allclose(other.gap_weight, one.gap_weight * times, rtol=1e-6)


def test_without_a_clock_the_rhythm_is_silent_and_not_learnt() -> None:
    data = history()
    data.rhythm[:] = False
    w = windows(data, SPEC)
    assert not w.r.any()
    assert not w.gap_weight.any()
    assert not w.hour_weight.any()


def test_young_entities_grow_up_by_doubling() -> None:
    assert young_lengths(SPEC) == [16, 32, 64]


def test_pieces_are_consecutive_rows() -> None:
    data = history(rows=600)
    data.values[:] = np.arange(600)[None, :, None]
    pieces = cut(data, 256, 16, 10, np.random.default_rng(0))
    assert pieces.values.shape == (10, 256, 2)
    assert (np.diff(pieces.values[..., 0], axis=1) == 1).all()


def test_validation_rows_are_never_learnt() -> None:
    data = history(rows=1200)
    data.values[:] = np.arange(1200)[None, :, None] // 10
    part = HistorySet(SPEC, data)
    assert part._part(training=True).values.max() < part._part(training=False).values.min()
    assert next(iter(part.validation()))["x"].shape[1] == SPEC.window + SPEC.stride


def test_of_many_entities_some_validate_and_all_rows_of_the_others_are_learnt() -> None:
    data = history(entities=16, rows=600)
    data.values[:] = np.arange(16)[:, None, None]
    part = HistorySet(SPEC, data)
    learnt, held = (part._part(training=training) for training in (True, False))
    assert learnt.values.shape[1] == held.values.shape[1] == 600
    names = [set(one.values.flat) for one in (learnt, held)]
    assert len(names[1]) == 4
    assert names[0] | names[1] == set(range(16)) and not names[0] & names[1]


def test_too_little_history_is_refused_with_the_number_needed() -> None:
    with pytest.raises(InputError, match="has 40 rows per entity, training takes at least 64"):
        HistorySet(SPEC, history(rows=40))


@pytest.mark.parametrize(
    ("days", "same_hour", "same_week"),
    [(1.0, False, False), (3.0, True, False), (15.0, True, True)],
)
def test_nothing_is_learnt_of_a_calendar_that_was_not_seen_twice(
    days: float, same_hour: bool, same_week: bool
) -> None:
    data = history(entities=64, rows=40)
    data.time_s[:] = 1.7e9 + np.arange(40) * 60.0
    after = moved(data, days * DAY_S, np.random.default_rng(0)).time_s
    np.testing.assert_allclose(np.diff(after, axis=1), 60.0, atol=1e-5)
    by_s = after[:, 0] - data.time_s[:, 0]
    assert (by_s >= 0).all() and (by_s < WEEK_DAYS * DAY_S).all()
    assert bool(np.allclose(by_s % DAY_S, 0)) is same_hour
    assert (len(np.unique(by_s // DAY_S)) == 1) is same_week
    assert not same_week or not by_s.any()


def test_hours_that_a_short_history_never_showed_are_among_what_is_learnt_from_it() -> None:
    data = history(entities=16, rows=600)
    data.time_s[:] = 1.7e9 + np.arange(600) * 30.0  # five hours of one day
    seen = {
        int(hour)
        for batch in HistorySet(SPEC, data).epoch(np.random.default_rng(0), 64)
        for hour in batch["hour"].flat
    }
    assert len(seen) > 20
