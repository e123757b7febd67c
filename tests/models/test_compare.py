"""Which losses are more than noise, and where alarm lines and peers lie."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models import compare, evaluate, planted_trial
from tests.models.worlds import past

DRAWS = np.random.default_rng(0).multinomial(24, np.full(24, 1 / 24), 500).astype(float)
losses = st.lists(st.floats(-1, 1), min_size=24, max_size=24).map(np.array)


@given(losses, st.floats(0, 0.5))
def test_no_loss_counts_within_its_margin(loss: np.ndarray, margin: float) -> None:
    if compare.worse(loss, np.ones(24), DRAWS, margin, 0.8):
        assert loss.mean() > margin


def test_a_loss_everywhere_counts_and_one_accident_does_not() -> None:
    everywhere, once = np.full(24, 0.1), np.zeros(24)
    once[3] = 2.4
    assert compare.worse(everywhere, np.ones(24), DRAWS, 0.02, 0.8)
    assert not compare.worse(once, np.ones(24), DRAWS, 0.02, 0.8)


def outcome(log: planted_trial.Trial, alarm: np.ndarray) -> evaluate.TrialResult:
    nothing = np.zeros(log.values.shape, np.float32)
    return evaluate.TrialResult(
        alarm, alarm, nothing, nothing > 0, np.zeros(len(alarm), np.uint8), 1.0
    )


def test_the_line_for_so_many_false_alarms_allows_them_and_no_more() -> None:
    log = planted_trial.build(past().series, seed=0, aimed=8)
    alarm = np.random.default_rng(0).uniform(0, 2, len(log.time_s)).astype(np.float32)
    for allowed in (0, 3, 17):
        seen = outcome(log, alarm)
        assert (
            evaluate.hits(log, seen, evaluate.line_for(log, seen, allowed)).false_alarms.sum()
            == allowed
        )


def test_a_hit_is_counted_once_from_the_onset_on() -> None:
    log = planted_trial.build(past().series, seed=0, aimed=8)
    alarm = np.zeros(len(log.time_s), np.float32)
    rows = np.flatnonzero(log.anomaly == 2)[1:4]
    alarm[rows] = 1.5
    found = evaluate.hits(log, outcome(log, alarm))
    assert found.caught.sum() == 1 and found.caught[2]
    assert found.delay_rows[2] == log.number[rows[0]] - log.anomalies[2].start
    assert found.false_alarms.sum() == 0


def test_a_season_is_found_and_noise_has_none() -> None:
    rng = np.random.default_rng(0)
    rows = np.arange(600)
    assert (
        abs(evaluate.season(np.sin(2 * np.pi * rows / 24) + 0.1 * rng.normal(size=600)) - 24) <= 1
    )
    assert evaluate.season(rng.normal(size=600)) == 0
    assert evaluate.season(np.zeros(600)) == 0


def test_uniform_quantiles_are_calibrated_and_a_point_is_not() -> None:
    assert evaluate.pit_error(np.linspace(0, 1, 1000)) < 0.001
    assert evaluate.pit_error(np.full(1000, 0.5)) > 0.2
