"""Rhythm: gaps too short, too long, and runs of them."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.detect.evidence.rhythm import Rhythm
from streamer.event import F32
from streamer.settings import DetectSettings
from tests.detect.seen import f32, observation

ONE = np.zeros(1, np.int64)
OF_STREAM = DetectSettings(channels=("a",), max_entities=1)


def judge(rhythm: Rhythm, gaps: np.ndarray, start: int = 0) -> F32:
    """Evidence (T,) of the log gaps of one entity, under a standard logistic density."""
    value = np.zeros((1, 1), np.float32)
    rows = (observation(ONE, start + t, value, log_gap=f32(gap)) for t, gap in enumerate(gaps))
    return np.array([rhythm.fold(seen)[0][0] for seen in rows], np.float32)


def trained(seed: int = 0, events: int = 1000) -> Rhythm:
    rhythm = Rhythm(OF_STREAM, {})
    judge(rhythm, np.random.default_rng(seed).logistic(0, 1, events))
    return rhythm


@pytest.mark.parametrize("gap", [-14.0, 14.0])
def test_one_gap_far_too_short_or_too_long_is_strange(gap: float) -> None:
    assert judge(trained(), np.array([gap]), 1000)[0] > 3


@pytest.mark.parametrize("gap", [-3.5, 3.5])
def test_a_run_of_gaps_on_one_side_is_stranger_than_any_one_of_them(gap: float) -> None:
    e = judge(trained(), np.full(8, gap), 1000)
    assert e[0] < 2
    assert e[-1] > e[0] + 1.5


def test_gaps_on_alternating_sides_make_no_run() -> None:
    run = judge(trained(), np.full(8, 3.5), 1000)[-1]
    mixed = judge(trained(), np.array([3.5, -3.5] * 4), 1000)[-1]
    assert mixed < run / 2


def test_ordinary_gaps_are_rarely_strange() -> None:
    e = judge(trained(events=2000), np.random.default_rng(9).logistic(0, 1, 2000), 2000)
    assert (e > 1.5).mean() < 0.15
    assert (e > 2).mean() < 0.03
    assert (e > 3).mean() < 0.006


def test_an_entity_with_a_wider_rhythm_than_the_density_is_given_its_own_tail() -> None:
    """The density says one gap in a million; the entity shows it all the time, so it is not strange
    for this entity.
    """
    rng = np.random.default_rng(1)
    rhythm = Rhythm(OF_STREAM, {})
    judge(rhythm, rng.logistic(0, 4, 3000))
    wide = judge(rhythm, rng.logistic(0, 4, 500), 3000)
    assert (wide > 3).mean() < 0.01


def test_a_run_is_forgotten_after_its_length() -> None:
    rhythm = trained()
    judge(rhythm, np.full(8, 6.0), 1000)
    after = judge(rhythm, np.zeros(9), 1008)
    assert after[-1] == pytest.approx(judge(trained(), np.zeros(9), 1000)[-1], abs=0.3)


def test_a_typical_gap_is_no_evidence_from_the_first_event_on() -> None:
    assert judge(Rhythm(OF_STREAM, {}), np.zeros(30)).max() < 1


def test_the_prior_is_the_tail_of_a_new_entity() -> None:
    strict, lax = (Rhythm(OF_STREAM, {"runs": [[q, 0.3]] * 3}) for q in (0.3, 2.0))
    gap = np.array([7.0])
    assert judge(strict, gap)[0] > judge(lax, gap)[0]
