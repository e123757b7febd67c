"""Evaluations of the champion: when one is due, what it says beside the one before, and that it
changes nothing.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.config import Config, Retrain
from streamer.connect import open_turns
from streamer.connect.storage.training_lock import FileTrainingLock
from streamer.errors import StreamerError
from streamer.lifecycle.evaluation import (
    EVALUATED,
    FIGURES,
    compared,
    last_attempt,
    last_evaluation,
    remembered,
)
from streamer.lifecycle.retrain_job import BUSY, NOT_DUE, PUBLISHED, Job
from streamer.lifecycle.retrain_scheduler import REST_S, Retrainer
from streamer.lifecycle.schedule import Known, evaluation_of, judge, next_slot
from streamer.protocols import Registry
from tests.lifecycle.test_retrain_job import (
    COMMAND,
    START_S,
    config,
    configured,
    data,
    job,
    registry,
    trainer,
)
from tests.lifecycle.test_retrain_scheduler import ENDED, TELLS, clock, counted, retrainer
from tests.runtime.world import Hands

__all__ = ["clock", "config", "data", "registry"]
WEEK_S = 7 * 86_400.0
EVALUATED_BY_CHILD = ENDED.replace("retrain_ended", "evaluation_ended")
WEEKLY = evaluation_of(Retrain(), "plant")


def evaluating(config: Config, registry: Registry, now_s: float = START_S, **more: Any) -> Job:
    return job(config, registry, reviewer=COMMAND, clock=lambda: now_s, **more)


@pytest.fixture
def recalled(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda recall: trainer(monkeypatch, "review", RECALL=str(recall))


def test_unless_told_otherwise_the_champion_is_evaluated_once_a_week() -> None:
    assert WEEKLY is not None and WEEKLY.every_s == WEEK_S
    assert evaluation_of(Retrain.model_validate({"evaluate": {"enabled": False}}), "plant") is None


def test_an_evaluation_has_a_schedule_of_its_own() -> None:
    section = {
        "cron": "30 3 * * *",
        "evaluate": {"cron": "0 5 * * 1", "timezone": "Europe/Berlin", "jitter": "1m"},
    }
    plan = evaluation_of(Retrain.model_validate(section), "plant")
    assert plan is not None and (plan.cron, plan.zone, plan.jitter_s) == (
        "0 5 * * 1",
        "Europe/Berlin",
        60,
    )


@given(st.floats(0, 400 * 86_400))
def test_neither_age_nor_drift_makes_an_evaluation_due(age_s: float) -> None:
    assert WEEKLY is not None
    known = Known(1.8e9, last_s=1.8e9, trained_s=1.8e9 - age_s, drift="input:rms 0.50")
    assert not judge(WEEKLY, known).due


def test_an_evaluation_keeps_its_report_and_moves_no_alias(
    config: Config, registry: Registry, recalled: Any
) -> None:
    recalled(0.75)
    found = evaluating(config, registry).evaluate()
    kept = json.loads(Path(found.report["report"]).read_text())
    assert (found.outcome, kept["recall"], kept["previous"], kept["change"]) == (
        EVALUATED,
        0.75,
        None,
        {},
    )
    assert "75% of 12 planted anomalies caught" in found.words and found.words.endswith(
        found.report["report"]
    )
    assert (registry.versions(), registry.aliases()) == ([], {})


def test_an_evaluation_says_what_changed_since_the_one_before(
    config: Config, registry: Registry, recalled: Any
) -> None:
    recalled(0.75)
    evaluating(config, registry).evaluate()
    recalled(0.5)
    found = evaluating(config, registry, START_S + WEEK_S).evaluate()
    assert found.report["change"] == {
        "recall": -0.25,
        "false_alarms_per_day": 0.0,
        "skill_over_persistence": 0.0,
        "unscored_share": 0.0,
    }
    assert (found.report["previous"]["recall"], found.report["previous"]["at_s"]) == (0.75, START_S)
    assert "(75% and 0.50 before)" in found.words


def test_what_one_member_evaluated_no_other_evaluates_again(
    config: Config, registry: Registry, recalled: Any
) -> None:
    recalled(0.75)
    assert evaluating(config, registry).evaluate(cause="schedule").outcome == EVALUATED
    late = evaluating(config, registry, START_S + 60).evaluate(cause="schedule")
    assert late.outcome == NOT_DUE and "next by schedule at" in late.words
    assert (
        evaluating(config, registry, START_S + WEEK_S).evaluate(cause="schedule").outcome
        == EVALUATED
    )


def test_with_too_few_rows_nothing_is_due(
    tmp_path: Path, data: Path, registry: Registry, recalled: Any
) -> None:
    recalled(0.75)
    found = evaluating(configured(tmp_path, data, min_rows=5000), registry).evaluate(
        cause="schedule"
    )
    assert found.outcome == NOT_DUE and "history holds 2400 of 5000 rows" in found.words


def test_it_waits_for_a_training_that_has_the_turn(
    config: Config, registry: Registry, recalled: Any
) -> None:
    recalled(0.75)
    turn = open_turns(config).take()
    assert turn is not None and evaluating(config, registry).evaluate().outcome == BUSY
    turn.end()
    assert evaluating(config, registry).evaluate().outcome == EVALUATED


def test_a_failed_one_is_remembered_and_leaves_the_figures_before_it(
    config: Config, registry: Registry, recalled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recalled(0.75)
    one = evaluating(config, registry)
    one.evaluate()
    trainer(monkeypatch, "fail")
    with pytest.raises(
        StreamerError, match="the evaluation ended with exit code 1: something broke"
    ):
        evaluating(config, registry, START_S + WEEK_S).evaluate()
    known = last_evaluation(one.turns)
    assert (known.at_s, known.figures["at_s"], known.figures["recall"]) == (
        START_S + WEEK_S,
        START_S,
        0.75,
    )


def test_a_training_and_an_evaluation_keep_what_the_other_noted(
    config: Config, registry: Registry, recalled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recalled(0.75)
    one = evaluating(config, registry)
    one.evaluate()
    assert last_attempt(one.turns) is None
    trainer(monkeypatch, "publish")
    assert job(config, registry, clock=lambda: START_S + 5).run().outcome == PUBLISHED
    assert (last_attempt(one.turns), last_evaluation(one.turns).figures["recall"]) == (
        START_S + 5,
        0.75,
    )


figures = st.fixed_dictionaries({name: st.none() | st.floats(-1e6, 1e6) for name in FIGURES})


@given(figures, figures)
def test_a_change_is_told_of_every_figure_that_both_have(
    was: dict[str, Any], now: dict[str, Any]
) -> None:
    change = compared(now, {"version": "v1", "at_s": 1.0, **was})["change"]
    assert change == {
        k: now[k] - was[k] for k in FIGURES if now[k] is not None and was[k] is not None
    }


@pytest.mark.parametrize(
    "noted", [{}, {"evaluation": 5}, {"evaluation": {"at": "x", "figures": []}}]
)
def test_a_note_of_another_kind_is_no_evaluation(noted: dict[str, Any]) -> None:
    assert remembered(noted) == remembered({})


def of_daemon(folder: Path, clock: Hands, source: str, *more: str) -> Retrainer:
    """It evaluates weekly, and trains so rarely that no training comes between."""
    seldom = Retrain.model_validate({"evaluate": {"cron": "0 0 29 2 *"}})
    plan = evaluation_of(seldom, "plant")
    assert plan is not None
    return retrainer(folder, clock, source, *more, plan=plan, evaluation=WEEKLY)


def test_the_daemon_starts_an_evaluation_at_its_slot(tmp_path: Path, clock: Hands) -> None:
    told = tmp_path / "told.json"
    one = of_daemon(tmp_path, clock, TELLS, str(told))
    one.step()
    assert not told.exists()
    assert WEEKLY is not None
    clock.now = next_slot(WEEKLY, clock.now)
    one.step()
    assert json.loads(told.read_text()) == ["--evaluate", "--cause", "schedule"]


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        (EVALUATED_BY_CHILD % "evaluated", "evaluated"),
        (EVALUATED_BY_CHILD % "not_due", "not_due"),
        (EVALUATED_BY_CHILD % "busy", "busy"),
        ("import sys; sys.exit(1)", "failed"),
    ],
)
def test_every_end_is_counted_as_what_it_was(
    tmp_path: Path, clock: Hands, source: str, outcome: str
) -> None:
    one = of_daemon(tmp_path, clock, source)
    clock.now += WEEK_S + 600
    one.step()
    assert {name: n for name, n in one.evaluations.items() if n} == {outcome: 1}
    assert counted(one) == {}


def test_what_is_not_to_be_done_now_is_asked_about_after_a_rest(
    tmp_path: Path, clock: Hands
) -> None:
    one = of_daemon(tmp_path, clock, EVALUATED_BY_CHILD % "busy")
    clock.now += WEEK_S + 600
    one.step()
    one.step()
    clock.now += REST_S + 1
    one.step()
    assert one.evaluations["busy"] == 2


def test_a_training_that_is_due_goes_first(tmp_path: Path, clock: Hands) -> None:
    one = retrainer(tmp_path, clock, ENDED % "published", evaluation=WEEKLY)
    clock.now += WEEK_S + 600
    one.step()
    assert counted(one) == {"published": 1} and not +one.evaluations


def test_after_a_restart_the_daemon_knows_what_was_evaluated(
    tmp_path: Path, config: Config, registry: Registry, recalled: Any, clock: Hands
) -> None:
    recalled(0.75)
    evaluating(config, registry, clock.now).evaluate()
    with closing(FileTrainingLock(tmp_path / "registry" / ".retrain")) as turns:
        assert last_evaluation(turns).at_s == clock.now
    one = of_daemon(tmp_path, clock, "import sys; sys.exit(1)")
    one.step()
    assert one.evaluated.figures["recall"] == 0.75 and not +one.evaluations
