"""The measures of detection quality: the published ones to the digit, ours by small cases."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import numpy as np
import pytest

from bench import data
from bench.quality import measures, vus
from bench.quality.measures import Rated
from bench.quality.run import SubjectScores
from models.suite import LabelledStream, PlantedFault

ROWS = 4000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def reference() -> Iterator[types.ModuleType]:
    """The reference scorer beside the checkout; compiled or not, it is the same Python."""
    if not (data.SHARED / "bench" / "vus_pr.py").exists():
        pytest.skip("no reference scorers beside this checkout")
    missing = "numba" not in sys.modules
    if missing:
        plain = types.ModuleType("numba")
        plain.njit = lambda **_: lambda work: work  # type: ignore[attr-defined]
        sys.modules["numba"] = plain
    yield data.reference("vus_pr")
    if missing:
        del sys.modules["numba"]


@pytest.mark.parametrize("seed", range(6))
def test_vus_pr_is_that_of_the_reference(reference: types.ModuleType, seed: int) -> None:
    draw = rng(seed)
    label = np.zeros(600, np.uint8)
    for start in draw.integers(0, 600, 5):
        label[start : start + draw.integers(1, 40)] = 1
    score = np.round(draw.standard_normal(600) + label, int(draw.integers(0, 4)))
    for window in (0, 1, 12, 47):
        expected = reference.vus_pr(label, score, window)
        assert vus.vus_pr(label, score, window) == pytest.approx(expected, rel=1e-12)


def test_vus_pr_of_a_perfect_score_is_high_and_of_chance_the_base_rate() -> None:
    label = np.zeros(ROWS, np.uint8)
    label[1000:1100] = label[2500:2540] = 1
    assert vus.vus_pr(label, label.astype(float), 20) > 0.85
    assert vus.vus_pr(label, rng().random(ROWS), 20) < 0.15
    assert np.isnan(vus.vus_pr(np.zeros(50), rng().random(50), 20))


@pytest.mark.parametrize("length", [24, 97])
def test_the_window_of_vus_is_the_season(length: int) -> None:
    assert vus.period(np.sin(2 * np.pi * np.arange(3000) / length).astype(np.float32)) == length


def test_a_constant_series_has_the_default_window() -> None:
    assert vus.period(np.ones(500, np.float32)) == 125


def stream(faults: tuple[PlantedFault, ...]) -> LabelledStream:
    clock, values = (
        60.0 * np.arange(ROWS, dtype=np.float64),
        rng().standard_normal((ROWS, 1)).astype(np.float32),
    )
    return LabelledStream("one", "choose", "plain", 60.0, clock, values, 500, faults)


def said(alarm: np.ndarray) -> SubjectScores:
    narrow = alarm.astype(np.float32)
    return SubjectScores(narrow, narrow, np.ones((ROWS, 2), np.float32), np.ones(ROWS, np.bool_))


FAULTS = (PlantedFault("spike", 1000, 1002, 5, (0,)), PlantedFault("silence", 2000, 2001, 9))


def test_recall_counts_faults_found_at_the_line_of_one_false_alarm_in_so_many_events() -> None:
    alarm = np.zeros(ROWS)
    alarm[[1001, 2000, 3000, 3010]] = 3.0, 1.0, 2.0, 1.5
    rated = [Rated(stream(FAULTS), said(alarm))]
    recall = measures.event_recall(rated, "alarm")
    assert recall.found == (("spike", True), ("silence", False))
    assert recall.of({"spike"}) == 1.0
    assert recall.share == 0.5
    # 4,000 events allow no false alarm at 1 in 10,000; the line is just above the highest of them.
    assert recall.line > 2.0


def test_many_rows_of_one_incident_are_one_false_alarm() -> None:
    alarm = np.zeros(ROWS)
    alarm[3001:3090] = 1.0
    one = Rated(stream(FAULTS), said(alarm))
    assert np.count_nonzero(measures.false_peaks(one, one.verdict.alarm)) == 1


def test_what_follows_a_fault_is_neither_right_nor_wrong() -> None:
    alarm = np.zeros(ROWS)
    alarm[1030] = 9.0
    one = Rated(stream(FAULTS), said(alarm))
    assert not measures.false_peaks(one, one.verdict.alarm).any()
    assert measures.event_recall([one], "alarm").share == 0


def test_a_kind_is_rated_without_the_rows_of_the_other_kinds() -> None:
    score = np.zeros(ROWS)
    score[1000:1002] = 1.0
    one = Rated(stream(FAULTS), said(score))
    assert (
        measures.vus_of(one, {"spike"}) > measures.vus_of(one) > measures.vus_of(one, {"silence"})
    )


def test_culprits_are_looked_for_among_the_strongest_channels() -> None:
    parts = np.array([0.1, 0.5, 0.3, 0.2, 0.4], np.float32)
    assert measures.culprits([(parts, [1, 4])]) == (1.0, 1.0)
    assert measures.culprits([(parts, [0]), (parts, [2, 3])]) == (0.5, 0.0)


def test_a_segment_is_found_by_an_alarm_inside_it() -> None:
    label = np.array([0, 1, 1, 0, 1, 0], np.uint8)
    fired = np.array([1, 0, 1, 0, 0, 1], np.bool_)
    assert measures.found_segments(label, fired) == (1, 2)
