"""Every precision of the starter keeps its scores and alerts; one that does not is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models import evaluate, parity, planted_trial
from models.parity import Form
from tests.models.worlds import past, starter, waves


def test_the_shipped_precisions_change_scores_little_and_flip_nothing() -> None:
    bundle = starter()
    log = planted_trial.build(past(**waves(entities=3, rows=560)).series, seed=0, aimed=12)
    forms = parity.measure(bundle, log, evaluate.settings_for(log, {}))
    assert [form.backend for form in forms] == list(parity.BACKENDS)
    assert all(finding.ok for finding in parity.findings(forms)), forms
    exact, half, rough = forms
    assert exact.mean_difference < half.mean_difference < rough.mean_difference
    assert exact.bytes > half.bytes > rough.bytes


def test_an_alert_one_event_later_is_the_same_and_one_that_is_gone_is_flipped() -> None:
    ours = np.array([100, 500, 900])
    assert parity.flipped(ours, ours + 1) == 0
    assert parity.flipped(ours, np.array([100, 900])) == 1
    assert parity.flipped(ours, np.array([100, 500 + parity.NEAR + 1, 900])) == 2
    assert parity.flipped(np.array([], np.int64), ours) == 3


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"mean_difference": 0.2}, "scores differ by"),
        ({"mean_difference": float("nan")}, "nan"),
        ({"flipped": 1}, ""),
        ({"flipped": 9}, "9 of 40 alerts are flipped"),
    ],
)
def test_a_precision_that_changes_too_much_is_refused(changes: dict[str, Any], why: str) -> None:
    form = replace(Form("litert-int8", 1, 1.0, 0.1, 0.01, 40, 0), **changes)
    (finding,) = parity.findings([form])
    assert finding.ok is not bool(why)
    assert why in finding.said
