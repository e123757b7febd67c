"""Stuck: a live channel that repeats one value for longer than its past makes credible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamer.detect.evidence.stuck import Stuck
from streamer.event import F32
from streamer.settings import MIN_EVIDENCE, DetectSettings
from tests.detect.seen import f32, observation

ONE = np.zeros(1, np.int64)
OF_STREAM = DetectSettings(channels=("a",), max_entities=1)


def judge(stuck: Stuck, values: np.ndarray, start: int = 0) -> F32:
    """Evidence (T,) of one channel's values, event by event."""
    rows = (observation(ONE, start + t, f32(value)[None]) for t, value in enumerate(values))
    return np.array([stuck.fold(seen)[0][0] for seen in rows], np.float32)


def trained(values: np.ndarray) -> Stuck:
    stuck = Stuck(OF_STREAM, {})
    judge(stuck, values)
    return stuck


def lively(events: int = 400) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, events)


def test_a_live_sensor_that_freezes_is_strange_and_the_longer_the_stranger() -> None:
    e = judge(trained(lively()), np.full(30, 0.5), 400)
    assert e[0] == 0
    assert (np.diff(e[:10]) > 0).all()
    assert e[-1] > MIN_EVIDENCE


def test_one_repetition_is_no_alarm() -> None:
    assert judge(trained(lively()), np.array([0.5, 0.5, 0.7]), 400).max() < MIN_EVIDENCE


def test_a_channel_that_never_moved_is_constant_not_stuck() -> None:
    assert judge(Stuck(OF_STREAM, {}), np.full(2000, 7.0)).max() == 0


def test_a_sensor_that_holds_its_values_is_believed() -> None:
    held = np.repeat(lively(100), 10)
    assert judge(trained(held), np.repeat(lively(30) + 9, 10), len(held)).max() < MIN_EVIDENCE


def test_a_run_is_believed_up_to_twice_the_longest_before_it() -> None:
    """A value that comes 7 times is a run of 6 repetitions."""
    before = np.concatenate([lively(), np.full(7, 0.5), lively(10) + 9])
    e = judge(trained(before), np.full(20, 0.7), len(before))
    assert (e[:13] == 0).all() and (e[13:] > 0).all()


def test_a_coarse_sensor_is_believed_for_longer_than_a_fine_one() -> None:
    coarse, fine = (
        judge(trained(np.round(lively(600), digits)), np.full(4, 0.0), 600)[-1] for digits in (0, 4)
    )
    assert coarse < 0.5 * fine


def test_moving_again_ends_it_at_once() -> None:
    stuck = trained(lively())
    judge(stuck, np.full(30, 0.5), 400)
    assert judge(stuck, np.array([0.6]), 430)[0] == 0


def test_missing_values_neither_end_a_run_nor_make_one() -> None:
    plain = judge(trained(lively()), np.full(10, 0.5), 400)
    holes = judge(trained(lively()), np.array([0.5, np.nan] * 10), 400)
    assert holes[1::2].max() == 0
    np.testing.assert_allclose(holes[::2], plain, rtol=0.05)


def test_a_channel_that_is_not_watched_may_freeze() -> None:
    stuck = Stuck(replace(OF_STREAM, watch=("b",)), {})
    judge(stuck, lively())
    assert judge(stuck, np.full(30, 0.5), 400).max() == 0


@pytest.mark.parametrize("value", [0.0, 1e24, -1e-30])
def test_any_value_can_be_stuck(value: float) -> None:
    assert judge(trained(lively()), np.full(30, value), 400)[-1] > MIN_EVIDENCE
