"""The held-out log: untouched streams and planted copies, the same for both models."""

from __future__ import annotations

import numpy as np

from models import planted_trial
from models.inject import RHYTHM_KINDS, VALUE_KINDS
from models.split import LabelledSpan, series_of, split
from streamer.artifact import ModelSpec
from tests.models.worlds import START_S, past, waves


def test_the_untouched_streams_are_the_recorded_rows() -> None:
    cut = past()
    log = planted_trial.build(cut.series, seed=1, aimed=24)
    for number, series in enumerate(cut.series):
        mine = log.stream == number
        np.testing.assert_array_equal(log.values[mine], series.values[-int(mine.sum()) :])
        np.testing.assert_array_equal(log.time_s[mine], series.time_s[-int(mine.sum()) :])
    assert not (log.clean & (log.anomaly >= 0)).any()


def test_every_kind_is_planted_several_times_and_only_in_held_out_rows() -> None:
    cut = past()
    log = planted_trial.build(cut.series, seed=1, aimed=40)
    kinds = [anomaly.kind for anomaly in log.anomalies]
    assert len(kinds) >= 40
    assert set(kinds) == VALUE_KINDS.keys() | RHYTHM_KINDS.keys()
    assert log.time_s[log.anomaly >= 0].min() >= cut.held_span_s[0]


def test_the_same_seed_is_the_same_trial_and_another_is_not() -> None:
    series = past().series
    one, two, other = (planted_trial.build(series, seed, aimed=24) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.values, two.values)
    assert one.anomalies == two.anomalies != other.anomalies


def test_a_confirmed_anomaly_is_something_to_catch_and_not_something_normal() -> None:
    when_s = START_S + 6500
    cut = split(series_of(waves(), "x", [LabelledSpan(when_s, when_s + 50, "2")]), ModelSpec())
    log = planted_trial.build(cut.series, seed=1, aimed=8)
    (index,) = (
        i for i, anomaly in enumerate(log.anomalies) if anomaly.kind == planted_trial.LABELLED
    )
    rows = log.anomaly == index
    assert {log.keys[s] for s in log.stream[rows]} == {"2"}
    assert not log.clean[rows].any()


def test_a_stream_is_whole_and_in_order() -> None:
    log = planted_trial.build(past().series, seed=3, aimed=24)
    for stream in range(len(log.keys)):
        mine = log.stream == stream
        np.testing.assert_array_equal(log.number[mine], np.arange(mine.sum()))
        assert (np.diff(log.time_s[mine]) >= 0).all()
    assert sum(len(batch) for batch in log.batches(100)) == len(log.time_s)
