"""Many entities in one pass of the production pipeline, and what they are set beside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench import figures, tables
from bench.figures import Figure
from bench.quality import __main__ as quality
from bench.quality import nab, pump, rivals, synth
from bench.quality.found import Found, Scope, Table
from bench.quality.measures import Rated
from bench.quality.run import Said, Subject, SubjectScores, judge, limited
from models import suite
from models.suite import LabelledStream, PlantedFault
from models.suite.pump import two_days

ROWS = 600


def subject(name: str, seed: int, rows: int = ROWS, channels: int = 1, taught: int = 0) -> Subject:
    values = np.random.default_rng(seed).standard_normal((rows, channels)).astype(np.float32)
    values[-20] += 30
    return Subject(name, values, 60.0 * np.arange(rows, dtype=np.float64) + 1e9, taught)


def test_an_entity_gets_beside_others_what_it_gets_alone() -> None:
    together = [subject("a", 1), subject("b", 2, rows=450), subject("c", 3, channels=2)]
    for one, beside in zip(together, judge(together), strict=True):
        (alone,) = judge([one])
        np.testing.assert_allclose(beside.score, alone.score, atol=1e-3)
        np.testing.assert_array_equal(beside.alarm >= 1, alone.alarm >= 1)
        assert [s.row for s in beside.said] == [s.row for s in alone.said]
        assert any(580 - 600 + len(one.values) <= row < len(one.values) for row in beside.opened)


def test_rows_that_only_teach_raise_nothing_and_are_learnt_from() -> None:
    (plain,), (fitted,) = judge([subject("a", 1)]), judge([subject("a", 1, taught=300)])
    assert not fitted.score[:300].any()
    assert not fitted.judged[:300].any()
    np.testing.assert_array_equal(fitted.score[300:], plain.score[300:])
    masked = synth.silenced(plain, 300)
    np.testing.assert_array_equal(masked.score, fitted.score)
    assert masked.said == fitted.said


def test_a_backend_of_another_kind_judges_otherwise() -> None:
    (network,), (baseline,) = (judge([subject("a", 1)], name) for name in ("auto", "baseline"))
    assert not np.array_equal(network.score, baseline.score)


def test_half_space_trees_see_an_outlier_and_nothing_of_the_future() -> None:
    values = np.random.default_rng(0).standard_normal((1500, 2)).astype(np.float32)
    values[1200] += 9
    score = rivals.half_space_trees(values)
    assert score.argmax() == 1200
    prefix = rivals.half_space_trees(values[:1201])
    order = np.argsort(np.argsort(score[250:1201])), np.argsort(np.argsort(prefix[250:]))
    np.testing.assert_array_equal(*order)


@pytest.mark.parametrize("name", rivals.RIVALS)
def test_every_rival_scores_every_row(name: str) -> None:
    (verdict,) = rivals.judged_by(name, [subject("a", 1)])
    assert verdict.score.shape == (ROWS,)
    assert np.isfinite(verdict.score).all()


def test_an_alarm_scale_becomes_detections_at_exactly_one() -> None:
    alarm = np.array([0, 0.999, 1.0, 7.5, np.nan], np.float32)
    assert (nab.as_detections(alarm) >= 1).tolist() == [False, False, True, True, False]
    assert nab.as_detections(alarm).max() == 1


def test_a_fitted_threshold_may_lie_above_the_line_as_shipped() -> None:
    alarm = np.array([0, 1.0, 7.5, 9.0, 7.5], np.float32)
    spread = nab.spread_out(alarm)
    assert spread.max() < 1
    np.testing.assert_array_equal(np.argsort(spread, kind="stable"), [0, 1, 2, 4, 3])


def test_a_limit_takes_series_from_everywhere() -> None:
    assert limited(range(10), 3) == [0, 4, 9]
    assert limited(range(3), None) == [0, 1, 2]


# --- the pump ---


def operator(*said: tuple[str, int], fault: tuple[int, int] = (100, 200)) -> Rated:
    rows = np.ones(400, np.bool_)
    clock, values = 60.0 * np.arange(400, dtype=np.float64), np.zeros((400, 1), np.float32)
    planted = (PlantedFault("shift 6", *fault, 6, (0,)),)
    stream = LabelledStream("x", "pump", "shift6", 60, clock, values, 0, planted)
    blank = np.zeros(400, np.float32)
    heard = [Said(event, row, 1.0) for event, row in said]
    return Rated(stream, SubjectScores(blank, blank, np.zeros((400, 2), np.float32), rows, heard))


def test_a_fault_that_was_told_and_said_to_be_over_too_early_is_not_held() -> None:
    ended = operator(("opened", 110), ("resolved", 150))
    held = operator(("opened", 110), ("resolved", 205))
    stale = operator(("opened", 40), ("resolved", 120), ("opened", 130))
    rated = [pump.rate_shifts([one]) for one in (ended, held, stale)]
    assert [r["held_to_the_end"] for r in rated] == [0, 1, 1]
    assert [r["false_ends"] for r in rated] == [1, 0, 0]
    assert [r["false_alarms"] for r in rated] == [0, 0, 1]


def test_an_update_of_an_open_incident_tells_a_fault() -> None:
    one = operator(("opened", 40), ("updated", 140))
    assert pump.told(one, one.stream.faults[0]) == 140
    assert pump.told(operator(("opened", 40)), one.stream.faults[0]) is None


def test_the_pump_has_its_four_faults_at_every_step_and_the_same_values() -> None:
    second, minute = two_days(0, (10.0, 60.0), 10.0)
    assert [f.kind for f in second.faults] == ["stuck", "cavitation", "wear", "trip"]
    np.testing.assert_array_equal(second.values[::6], minute.values)
    for fine, coarse in zip(second.faults, minute.faults, strict=True):
        assert abs(second.time_s[fine.start] - minute.time_s[coarse.start]) < 60
    wear = second.faults[2]
    last = second.values[wear.stop - 30 : wear.stop].mean(axis=0)
    before = second.values[wear.start - 360 : wear.start].mean(axis=0)
    assert 2.3 < last[0] / before[0] < 3.8
    assert 9 < last[1] - before[1] < 19


# --- results ---


def test_parts_that_are_not_measured_keep_their_figures_and_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "quality.json"
    first, second = Found(), Found()
    first.add("nab_x", 1.0)
    first.tables["nab"] = Table(("a", "b"), [("old", 1.0)])
    second.add("nabcopies_x", 2.0)
    second.tables["nabcopies"] = Table(("a", "b"), [("copies", float("nan"))])
    quality.keep({"nab": first, "nabcopies": second}, path)
    again = Found()
    again.add("nab_x", 3.0)
    again.tables["nab"] = Table(("a", "b"), [("new", 0.123456)])
    quality.keep({"nab": again}, path)
    body = json.loads(path.read_text())
    assert body["schema"] == figures.SCHEMA
    values = {f["name"]: f["value"] for f in body["figures"]}
    assert values == {"nab_x": 3.0, "nabcopies_x": 2.0}
    assert set(body["parts"]) == {"nab", "nabcopies"}
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    text = tables.filled("<!-- bench:quality/nab -->\n<!-- /bench -->\n")
    assert "| new | 0.123 |" in text
    assert body["parts"]["nab"]["commit"] in text
    assert "| copies |  |" in tables.filled("<!-- bench:quality/nabcopies -->\n<!-- /bench -->\n")


def test_a_figure_that_could_not_be_measured_is_none() -> None:
    found = Found()
    found.add("x", float("nan"))
    found.add_all("y", {"good": 1.0, "bad": 2.0}, ("bad",))
    assert found.figures == [Figure("y_good", 1.0, ""), Figure("y_bad", 2.0, "", "lower")]


def test_a_part_of_the_suite_is_measured_beside_its_rivals() -> None:
    streams = [suite.build(r) for r in suite.recipes("choose") if r.family == "events"][:1]
    rated = synth.verdicts(streams, "choose", Scope(modes=("baseline",)))
    values, recall = synth.figures_of(rated["baseline"])
    assert rated.keys() == {"baseline", *rivals.RIVALS}
    assert 0 < values["vus_pr"] <= 1
    assert {kind for kind, _ in recall.found} == {f.kind for f in streams[0].faults}
    assert "found_at_line" not in synth.figures_of(rated["random"])[0]
