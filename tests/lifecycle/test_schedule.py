"""When a training is due: the laws of the schedule, drawn by Hypothesis, and the days on which
clocks change.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.config import Retrain
from streamer.lifecycle.schedule import Known, RetrainPlan, evaluation_of, judge, next_slot, plan_of

DAY_S = 86_400.0
NOW_S = 1_800_000_000.0
DAILY = RetrainPlan(every_s=DAY_S, jitter_s=0, rest_s=3600, staleness_s=7 * DAY_S, min_rows=100)
BERLIN = replace(DAILY, cron="30 2 * * *", zone="Europe/Berlin")

times = st.floats(1.6e9, 2.0e9)
names = st.text(min_size=1, max_size=12)
crons = st.sampled_from(
    ["30 3 * * *", "*/20 * * * *", "0 0 1 * *", "15 2 * * 7", "0 12 29 2 *", "5 */6 * * *"]
)
zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
)
periodic = st.builds(
    lambda every, share, name: replace(DAILY, every_s=every, jitter_s=share * every, name=name),
    st.floats(60, 30 * DAY_S),
    st.floats(0, 0.9),
    names,
)
by_cron = st.builds(
    lambda cron, zone, jitter, name: replace(
        DAILY, cron=cron, zone=zone, jitter_s=jitter, name=name
    ),
    crons,
    zones,
    st.floats(0, 3600),
    names,
)
plans = periodic | by_cron


def at(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def slots(plan: RetrainPlan, after_s: float, count: int) -> list[float]:
    found = [next_slot(plan, after_s)]
    while len(found) < count:
        found.append(next_slot(plan, found[-1]))
    return found


@given(plans, times)
def test_slots_lie_ahead_and_in_order(plan: RetrainPlan, after_s: float) -> None:
    found = slots(plan, after_s, 4)
    assert all(later > earlier for earlier, later in pairwise([after_s, *found]))


@given(plans, times, st.floats(0, 1))
def test_no_slot_lies_between_a_moment_and_its_next_slot(
    plan: RetrainPlan, after_s: float, share: float
) -> None:
    slot_s = next_slot(plan, after_s)
    between_s = after_s + share * (slot_s - after_s)
    if between_s < slot_s - 1e-3:
        assert next_slot(plan, between_s) == pytest.approx(slot_s, abs=1e-3)


@given(periodic, times)
def test_periodic_slots_lie_their_period_apart(plan: RetrainPlan, after_s: float) -> None:
    assert [b - a for a, b in pairwise(slots(plan, after_s, 5))] == pytest.approx(
        [plan.every_s] * 4, abs=1e-3
    )


@pytest.mark.parametrize(
    ("section", "jitter_s"),
    [
        ({"every": "2m"}, 120),
        ({"every": "10m"}, 600),
        ({"every": "24h"}, 600),
        ({"cron": "*/5 * * * *"}, 600),
        ({"every": "10m", "jitter": "9m"}, 540),
    ],
)
def test_a_jitter_that_nobody_set_is_no_longer_than_the_period(
    section: dict[str, str], jitter_s: float
) -> None:
    wanted = Retrain.model_validate(section | {"evaluate": section})
    evaluation = evaluation_of(wanted, "p")
    assert evaluation is not None
    assert plan_of(wanted, "p").jitter_s == evaluation.jitter_s == jitter_s


@given(plans, names)
def test_a_shift_is_the_deployments_own_and_stays_within_the_jitter(
    plan: RetrainPlan, other: str
) -> None:
    assert 0 <= plan.shift_s <= plan.jitter_s
    assert plan.shift_s == replace(plan, rest_s=1.0).shift_s
    if plan.jitter_s > 1 and other != plan.name:
        assert replace(plan, name=other).shift_s != plan.shift_s


@given(plans, times, times)
def test_a_training_that_just_began_is_never_due_by_the_schedule(
    plan: RetrainPlan, now_s: float, trained_s: float
) -> None:
    assert not judge(plan, Known(now_s, last_s=now_s, trained_s=min(trained_s, now_s))).due


@given(plans, times, st.floats(0, 100 * DAY_S))
def test_what_is_due_stays_due_until_a_training_begins(
    plan: RetrainPlan, last_s: float, later_s: float
) -> None:
    slot_s = next_slot(plan, last_s)
    assert judge(plan, Known(slot_s + later_s, last_s=last_s)).due
    assert not judge(plan, Known(slot_s + later_s, last_s=slot_s + later_s)).due


@given(plans, times, st.floats(0, 365 * DAY_S))
def test_missed_slots_are_made_good_by_one_training(
    plan: RetrainPlan, last_s: float, away_s: float
) -> None:
    now_s = last_s + away_s
    due = judge(plan, Known(now_s, last_s=last_s))
    assert due.due == (next_slot(plan, last_s) <= now_s)
    again = judge(plan, Known(now_s + 1e-3, last_s=now_s))
    assert not again.due or next_slot(plan, now_s) <= now_s + 1e-3


@given(plans, times, st.integers(0, 99), st.sampled_from([None, "input:temp 0.4"]))
def test_nothing_is_due_with_too_few_rows(
    plan: RetrainPlan, now_s: float, rows: int, drift: str | None
) -> None:
    verdict = judge(plan, Known(now_s, last_s=now_s - 9 * 366 * DAY_S, rows=rows, drift=drift))
    assert not verdict.due
    assert f"history holds {rows} of 100 rows" in verdict.why


@given(plans, times, st.floats(0, 3 * 3600))
def test_drift_waits_for_the_rest_after_a_training_and_no_longer(
    plan: RetrainPlan, last_s: float, past_s: float
) -> None:
    verdict = judge(plan, Known(last_s + past_s, last_s=last_s, drift="input:temp 0.41"))
    rested = (last_s + past_s) - last_s >= plan.rest_s
    assert (verdict.cause == "drift") == rested
    if rested:
        assert verdict.why == "drift: input:temp 0.41"


def test_drift_counts_only_where_it_is_wanted() -> None:
    known = Known(NOW_S, last_s=NOW_S - 1, drift="score 0.5")
    assert not judge(replace(DAILY, on_drift=False, rest_s=0), known).due
    assert judge(replace(DAILY, rest_s=0), known).cause == "drift"


def test_an_old_champion_is_due_where_the_schedule_is_rare() -> None:
    rare = replace(DAILY, cron="0 0 29 2 *", rest_s=3600)
    known = Known(NOW_S, last_s=NOW_S - 2 * DAY_S, trained_s=NOW_S - 8 * DAY_S)
    assert judge(rare, known).cause == "staleness"
    assert "8.0 days old" in judge(rare, known).why
    assert not judge(rare, replace(known, last_s=NOW_S - 60)).due
    assert not judge(rare, replace(known, trained_s=NOW_S - 6 * DAY_S)).due
    assert not judge(rare, replace(known, trained_s=None)).due


def test_what_was_never_trained_is_due_at_once_unless_the_watch_has_just_begun() -> None:
    assert judge(DAILY, Known(NOW_S)).why == "never trained here"
    assert not judge(DAILY, Known(NOW_S, since_s=NOW_S)).due
    assert judge(DAILY, Known(NOW_S + DAY_S, since_s=NOW_S)).due


def test_a_clock_that_was_set_back_does_not_stop_the_schedule() -> None:
    ahead = Known(NOW_S, last_s=NOW_S + 40 * DAY_S)
    assert not judge(DAILY, ahead).due
    assert judge(DAILY, replace(ahead, drift="score 0.5")).cause == "drift"
    assert math.isclose(judge(DAILY, ahead).next_s, next_slot(DAILY, NOW_S))


def test_a_time_that_summer_time_leaves_out_comes_right_after_it() -> None:
    before = at("2026-03-28T12:00")
    first, second = slots(BERLIN, before, 2)
    assert (
        datetime.fromtimestamp(first, UTC).isoformat() == "2026-03-29T01:00:00+00:00"
    )  # 03:00 summer time
    assert second == at("2026-03-30T02:30")


def test_a_time_that_comes_twice_counts_once() -> None:
    first, second = slots(BERLIN, at("2026-10-24T12:00"), 2)
    assert first == at("2026-10-25T02:30")
    assert second == at("2026-10-26T02:30")
    within_the_second_hour = first + 1800
    assert next_slot(BERLIN, within_the_second_hour) == second


def test_a_plan_is_read_from_its_section() -> None:
    section = Retrain.model_validate(
        {"cron": "30 3 * * *", "timezone": "Europe/Berlin", "staleness": "2d"}
    )
    plan = plan_of(section, "plant")
    assert (plan.cron, plan.zone, plan.staleness_s, plan.name) == (
        "30 3 * * *",
        "Europe/Berlin",
        2 * DAY_S,
        "plant",
    )
