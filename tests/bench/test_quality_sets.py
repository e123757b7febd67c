"""The public series beside the checkout as subjects, and F1 at a bounded rate of false alarms."""

from __future__ import annotations

import numpy as np
import pytest

from bench.data import Series
from bench.quality import sets
from bench.quality.run import MODES

ROWS = 400


def series(name: str, seed: int) -> tuple[Series, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = np.zeros(ROWS, np.uint8)
    label[200:300] = 1
    values = rng.standard_normal((1500 + ROWS, 2)).astype(np.float32)
    return Series(name, values[:1500], values[1500:], label), rng.random(ROWS) + label


def test_zero_shot_is_taught_by_the_last_rows_before_the_test_part_only() -> None:
    one, _ = series("a", 1)
    zero, fitted = (sets.subject(one, MODES[name]) for name in ("zero_shot", "fitted"))
    assert (zero.taught, len(zero.values)) == (1000, 1000 + ROWS)
    assert (fitted.taught, len(fitted.values)) == (1500, 1500 + ROWS)
    np.testing.assert_array_equal(zero.values, fitted.values[500:])


def test_the_line_of_a_file_comes_from_the_other_files() -> None:
    pairs = [series(str(seed), seed) for seed in range(4)]
    known = [one for one, _ in pairs]
    scores = [score for _, score in pairs]
    figures = sets.skab_figures(known, scores)
    assert figures["false_share"] == pytest.approx(0.1, abs=0.05)
    assert figures["f1_same_files"] > 0.85
    # A file on another scale cannot be judged by the line of the others.
    scores[0] = scores[0] * 100
    assert sets.skab_figures(known, scores)["f1_elsewhere"] < figures["f1_elsewhere"]


def test_f1_counts_rows_and_adjusts_nothing() -> None:
    label = np.array([0, 1, 1, 1, 0], np.bool_)
    assert sets.f1(label, np.array([0, 1, 0, 0, 1], np.bool_)) == pytest.approx(0.4)
