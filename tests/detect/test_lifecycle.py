"""Incidents of a whole detector: what is told about a fault, from its first event to its end."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.detect.admission import CLOCK_RESET_RUN
from streamer.detect.pipeline import Detector
from streamer.event import Alert, EventBatch, Fate
from streamer.timefmt import duration
from tests.detect.conftest import in_pieces, make_detector, stream
from tests.detect.logs import FAULT, Row, fates, fault, in_order, log, quiet, run, simple, told

OPENED, RESOLVED = ("p", "opened"), ("p", "resolved")


def with_faults(seed: int, events: int, every: int, entities: int) -> EventBatch:
    """A stream of conftest with a jump on every so many events."""
    batch = stream(seed, events, entities)
    values = batch.values.copy()
    values[100::every, 0] += 10 * np.arange(1, len(values[100::every]) + 1)
    return EventBatch("s", "t", 0, batch.keys, batch.entity, batch.time_s, values, batch.offset)


def one_fault(**chosen: Any) -> tuple[Detector, list[Alert]]:
    detector = simple(**chosen)
    rows = quiet("p", 300) + fault("p", 3010) + quiet("p", 60, start_s=3010, seed=1)
    return detector, run(detector, rows).alerts


@settings(max_examples=12)
@given(st.integers(0, 2**31), st.integers(1, 8), st.integers(15, 60))
def test_every_incident_is_opened_once_and_resolved_at_most_once(
    seed: int, slots: int, every: int
) -> None:
    detector = make_detector("baseline", max_entities=slots)
    alerts = in_pieces(detector, with_faults(seed, 700, every, 5), [50]).alerts
    lives: dict[str, str] = defaultdict(str)
    for alert in alerts:
        lives[alert.alert_id] += alert.event[0]
    assert all(re.fullmatch("ou*r?", life) for life in lives.values()), lives
    assert detector.open_incidents == sum(not life.endswith("r") for life in lives.values())


@pytest.mark.parametrize("cut", [1, 3, 50])
def test_the_end_of_an_evicted_incident_is_told_where_it_had_to_go(cut: int) -> None:
    rows = in_order(
        quiet("p", 300) + fault("p", 3010),
        quiet("q", 320, seed=1) + fault("q", 3210),
        quiet("r", 1, start_s=3220),
    )
    whole, pieces = (
        run(simple(max_entities=2), rows, cut=size).alerts for size in (len(rows), cut)
    )
    assert told(whole) == told(pieces) == [OPENED, ("q", "opened"), RESOLVED]


def test_a_fault_is_opened_at_its_event_and_resolved_after_enough_quiet_ones() -> None:
    detector, alerts = one_fault(close_events=10)
    assert told(alerts) == [OPENED, RESOLVED]
    opened, resolved = alerts
    assert opened.alert_id == resolved.alert_id
    assert opened.window is not None
    assert opened.window.last_offset == 300
    assert resolved.window is not None
    assert resolved.window.last_offset >= 310
    assert detector.open_incidents == 0


def test_an_alert_carries_the_trace_of_the_event_that_ends_its_window() -> None:
    rows = quiet("p", 300) + fault("p", 3010) + quiet("p", 60, start_s=3010, seed=1)
    traces = {offset: f"00-{offset:032x}-{1:016x}-01" for offset in range(0, len(rows), 2)}
    alerts = in_pieces(simple(), replace(log(rows), traces=traces), [50]).alerts
    assert [alert.event for alert in alerts] == ["opened", "resolved"]
    windows = [alert.window for alert in alerts if alert.window is not None]
    assert [alert.traceparent for alert in alerts] == [
        traces.get(window.last_offset) for window in windows
    ]
    assert alerts[0].traceparent == f"00-{300:032x}-{1:016x}-01"


def test_an_opened_alert_says_what_was_seen_and_what_was_expected() -> None:
    alert = one_fault()[1][0]
    (channel,) = alert.channels
    assert channel.observed == FAULT
    assert channel.low is not None
    assert channel.expected is not None
    assert channel.high is not None
    assert channel.low < channel.expected < channel.high < FAULT
    assert channel.share == pytest.approx(1, abs=1e-5)
    assert "VALUE_ABOVE_BAND" in alert.reasons
    assert (alert.status, alert.severity, alert.threshold) == (
        "open",
        "critical" if alert.score >= 2 else "warning",
        1.0,
    )
    assert alert.summary.startswith("p a is 60, expected ")
    assert alert.score >= 1 > alert.p_value >= 0


def test_times_of_an_alert_are_event_times() -> None:
    opened, resolved = one_fault()[1]
    assert opened.started_at == opened.detected_at == resolved.started_at
    assert opened.resolved_at is None
    assert resolved.resolved_at == resolved.detected_at
    began, ended = (datetime.fromisoformat(x) for x in (resolved.started_at, resolved.detected_at))
    lasted_s = (ended - began).total_seconds()
    assert lasted_s >= 100
    assert resolved.summary == f"p is back to normal after {duration(lasted_s)}"


def test_the_window_of_an_alert_is_the_raw_past_up_to_its_event() -> None:
    window = one_fault(window_length=20)[1][0].window
    assert window is not None
    assert (window.length, window.first_offset, window.last_offset) == (20, 281, 300)
    assert window.values[-1] == (FAULT,)
    assert [row[0] for row in window.values[:-1]] == pytest.approx(
        [r.value for r in quiet("p", 300)[281:]], rel=1e-6
    )


def test_a_window_never_holds_more_than_there_was_and_missing_values_are_none() -> None:
    rows = [*quiet("p", 200), Row("p", 2005, float("nan")), *fault("p", 2010, 1e6)]
    alerts = run(simple(window_length=1000), rows).alerts
    assert told(alerts) == [OPENED]
    assert alerts[0].window is not None
    assert alerts[0].window.length == 202
    assert alerts[0].window.values[-2] == (None,)


@pytest.mark.parametrize(
    ("value", "word"), [(1e24, "1e+24"), (float("inf"), "1e+24"), (-1e24, "-1e+24")]
)
def test_an_absurd_value_is_told_and_breaks_no_number(value: float, word: str) -> None:
    judged = run(
        simple("numpy"), quiet("p", 300) + fault("p", 3010, value) + quiet("p", 200, start_s=3010)
    )
    assert judged.alerts[0].event == "opened"
    assert word in judged.alerts[0].summary
    for array in (judged.scores.score, judged.scores.alarm, judged.scores.parts):
        assert np.isfinite(array).all()
    assert np.isfinite(judged.scores.expected[16:]).all()


def test_labels_units_and_stream_are_those_of_the_settings() -> None:
    alert = one_fault(stream="vibration", labels={"site": "a"}, units=("mm/s",))[1][0]
    assert (alert.stream, alert.incident_key, alert.labels) == (
        "vibration",
        "vibration:p",
        {"site": "a"},
    )
    assert alert.channels[0].unit == "mm/s"


def test_two_incidents_of_one_entity_have_two_ids() -> None:
    detector, first = one_fault(refractory_events=20)
    again = fault("p", 5000, 40 * FAULT) + quiet("p", 60, start_s=5000, seed=2)
    second = run(detector, again, first_offset=1000).alerts
    assert told(second) == [OPENED, RESOLVED]
    assert first[0].alert_id != second[0].alert_id
    assert first[0].incident_key == second[0].incident_key


def test_the_same_fault_in_two_entities_are_two_incidents() -> None:
    rows = in_order(*(quiet(name, 300, seed=i) + fault(name, 3010) for i, name in enumerate("pq")))
    alerts = run(simple(), rows).alerts
    assert sorted(told(alerts)) == [("p", "opened"), ("q", "opened")]
    assert len({alert.alert_id for alert in alerts}) == 2


def test_events_at_the_same_offset_of_two_partitions_have_two_ids() -> None:
    ids = {
        run(simple(), quiet("p", 300) + fault("p", 3010), partition=k).alerts[0].alert_id
        for k in (0, 1)
    }
    assert len(ids) == 2


def test_a_growing_fault_is_updated_each_time_worse_than_told_before() -> None:
    rows = quiet("p", 300) + [Row("p", 3010 + 10 * i, 5.0 * 1.3**i) for i in range(12)]
    alerts = run(simple(), rows).alerts
    assert told(alerts)[0] == OPENED
    assert told(alerts)[1:] == [("p", "updated")] * (len(alerts) - 1)
    assert len({alert.alert_id for alert in alerts}) == 1
    assert [a.score for a in alerts] == sorted(a.score for a in alerts)


def test_within_the_operators_floor_nothing_is_told_whatever_the_evidence() -> None:
    assert one_fault(min_deviation=FAULT * 2)[1] == []
    assert one_fault(direction="below")[1] == []


def test_k_of_n_waits_for_the_fault_to_last() -> None:
    lasting = quiet("p", 300) + [
        row for i in range(5) for row in fault("p", 3010 + 10 * i, FAULT + i)
    ]
    at_once, patient = run(simple(), lasting).alerts, run(simple(k_of=3, n_of=5), lasting).alerts
    for alerts, offset in ((at_once, 300), (patient, 302)):
        assert told(alerts)[0] == OPENED
        assert alerts[0].window is not None
        assert alerts[0].window.last_offset == offset
    assert "SUSTAINED_3_OF_5" in patient[0].reasons


def test_an_entity_that_was_idle_starts_anew_and_its_incident_ends() -> None:
    detector = simple(idle_after_s=3600.0)
    alerts = run(detector, quiet("p", 300) + fault("p", 3010)).alerts
    assert told(alerts) == [OPENED]
    later = run(detector, quiet("p", 30, start_s=90_000), first_offset=500)
    assert told(later.alerts) == [RESOLVED]
    assert later.alerts[0].alert_id == alerts[0].alert_id
    assert later.alerts[0].reasons == ["IDLE"]
    assert fates(later)[:17] == [Fate.WARMING] * 16 + [Fate.SCORED]
    assert detector.evicted["idle"] == 1


def test_an_entity_that_has_to_make_room_takes_its_incident_with_it() -> None:
    detector = simple(max_entities=2)
    opened = run(detector, quiet("p", 300) + fault("p", 3010)).alerts
    ended = run(detector, [Row(name, 3100.0, 1.0) for name in ("q", "r")], first_offset=500).alerts
    assert told(opened + ended) == [OPENED, RESOLVED]
    assert ended[0].alert_id == opened[0].alert_id
    assert ended[0].reasons == ["EVICTED"]
    assert detector.open_incidents == 0
    assert detector.evicted == {"lru": 1, "idle": 0}


def test_a_clock_that_is_set_back_ends_the_incident_and_starts_anew() -> None:
    detector = simple(late_s=60.0)
    run(detector, quiet("p", 300, start_s=1e6) + fault("p", 1.1e6))
    back = run(detector, quiet("p", 60), first_offset=500)
    assert fates(back)[: CLOCK_RESET_RUN - 1] == [Fate.LATE] * (CLOCK_RESET_RUN - 1)
    assert fates(back)[CLOCK_RESET_RUN - 1] == Fate.WARMING
    assert told(back.alerts) == [RESOLVED]


def test_a_late_or_repeated_event_is_not_judged_and_changes_nothing_after_it() -> None:
    rows = quiet("p", 60)
    extra = [*rows[:40], rows[39], Row("p", -1e5, 1e9), *rows[40:]]
    plain, disturbed = run(simple(), rows).scores, run(simple(), extra).scores
    assert disturbed.fate[40:42].tolist() == [Fate.DUPLICATE, Fate.LATE]
    np.testing.assert_array_equal(plain.score, np.delete(disturbed.score, [40, 41]))


def test_young_entities_are_warming_until_k_min_events() -> None:
    assert fates(run(simple(), quiet("p", 20))) == [Fate.WARMING] * 16 + [Fate.SCORED] * 4


def test_cooldown_holds_the_next_incident_back() -> None:
    rows = quiet("p", 300) + fault("p", 3010) + quiet("p", 60, start_s=3010, seed=1)
    again = fault("p", 3700, 40 * FAULT) + quiet("p", 60, start_s=3700, seed=2)
    assert told(run(simple(refractory_events=20), rows + again).alerts) == [OPENED, RESOLVED] * 2
    assert told(run(simple(refractory_events=20, cooldown_s=1e5), rows + again).alerts) == [
        OPENED,
        RESOLVED,
    ]
