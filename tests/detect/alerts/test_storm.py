"""Alert storms: a cap on what is sent, one summary for what is not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.detect.alerts.storm import Storm
from streamer.event import Alert, ModelRef
from streamer.settings import DetectSettings
from tests.detect.logs import START_S, Row, fault, in_order, quiet, run, simple, told

REF = ModelRef("m", "numpy", "")
NAMES = "abcdefgh"


class World:
    """A storm counter with a cap of 2 per minute."""

    def __init__(self) -> None:
        self.storm = Storm(DetectSettings(stream="s", storm_alerts=2, storm_window_s=60.0), key=0)
        self.offset = 0

    def admit(self, *times: float) -> tuple[list[bool], list[Alert]]:
        """(was it sent, what was told about the storm) for alerts that open at these times."""
        sent, alerts = [], []
        for time_s in times:
            alerts += self.storm.admit("t", 0, self.offset, time_s, REF)
            sent.append(not self.storm.muting)
            self.offset += 1
        return sent, alerts


def test_alerts_up_to_the_cap_are_sent_and_nothing_is_told_about_a_storm() -> None:
    assert World().admit(0, 1) == ([True, True], [])


def test_beyond_the_cap_alerts_are_counted_and_the_storm_is_told_once() -> None:
    sent, alerts = World().admit(0, 1, 2, 3, 4)
    assert sent == [True, True, False, False, False]
    assert [(a.event, a.status, a.incident_key) for a in alerts] == [("opened", "open", "s:storm")]
    assert "more than 2 alerts in 60 s" in alerts[0].summary


def test_the_next_window_sends_again_and_says_how_many_were_held_back() -> None:
    world = World()
    _, opened = world.admit(0, 1, 2, 3, 4)
    sent, alerts = world.admit(61)
    assert sent == [True]
    assert [(a.event, a.alert_id) for a in alerts] == [("resolved", opened[0].alert_id)]
    assert "3 more alerts were held back" in alerts[0].summary


def test_an_alert_that_comes_late_counts_in_the_window_that_is_open() -> None:
    world = World()
    assert world.admit(61, 62, 3, 63)[0] == [True, True, False, False]
    assert world.storm.roll("t", 3.0, REF) == []


def test_a_quiet_window_is_closed_by_the_timer_and_once_only() -> None:
    world = World()
    world.admit(0, 1, 2)
    assert [a.event for a in world.storm.roll("t", 65.0, REF)] == ["resolved"]
    assert world.storm.roll("t", 70.0, REF) == []
    assert World().storm.roll("t", 70.0, REF) == []


def test_two_storms_have_two_ids() -> None:
    world = World()
    alerts = world.admit(0, 1, 2, 61, 62, 63)[1]
    assert [a.event for a in alerts] == ["opened", "resolved", "opened"]
    assert alerts[0].alert_id != alerts[2].alert_id
    assert world.storm.held_back_total == 2


def everyone_fails(at_s: float) -> list[Row]:
    """Eight quiet entities that all jump within eight seconds; the first to jump has the longest
    past.
    """
    parts = [
        quiet(name, 360 - 7 * i, start_s=70.0 * i - 600, seed=i) + fault(name, at_s + i)
        for i, name in enumerate(NAMES)
    ]
    return in_order(*parts)


def calm_after(at_s: float) -> list[Row]:
    return in_order(
        *(quiet(name, 150, start_s=at_s + 10 + i / 10, seed=i) for i, name in enumerate(NAMES))
    )


def test_the_first_alerts_of_a_storm_are_sent_and_the_others_summed_up() -> None:
    alerts = run(simple(storm_alerts=3), everyone_fails(3200)).alerts
    assert told(alerts) == [("a", "opened"), ("b", "opened"), ("c", "opened"), ("*", "opened")]


def test_who_was_held_back_is_neither_updated_nor_resolved() -> None:
    detector = simple(storm_alerts=3)
    alerts = run(detector, everyone_fails(3200) + calm_after(3200)).alerts
    assert {entity for entity, event in told(alerts) if event == "resolved"} - {"*"} == set("abc")
    assert detector.open_incidents == 0


@settings(max_examples=3)
@given(st.integers(8, 1500), st.integers(1, 7))
def test_a_storm_holds_back_the_same_alerts_however_the_log_is_cut(cut: int, cap: int) -> None:
    rows = everyone_fails(3200) + calm_after(3200)
    whole, pieces = (run(simple(storm_alerts=cap), rows, cut=size) for size in (len(rows), cut))
    assert [(a.alert_id, a.entity, a.event, a.summary) for a in whole.alerts] == [
        (a.alert_id, a.entity, a.event, a.summary) for a in pieces.alerts
    ]


def test_a_storm_lives_through_a_restart() -> None:
    rows = everyone_fails(3200)
    whole, before, after = (simple(storm_alerts=3) for _ in range(3))
    first = run(before, rows[:-3]).alerts
    after.load(before.dump())
    now_s = START_S + 3200 + 7200
    expected = run(whole, rows).alerts + whole.tick(now_s)
    found = first + run(after, rows[-3:], first_offset=len(rows) - 3).alerts + after.tick(now_s)
    assert [(a.alert_id, a.event, a.summary) for a in found] == [
        (a.alert_id, a.event, a.summary) for a in expected
    ]
    assert expected[-1].summary == "alert storm is over: 5 more alerts were held back"


@pytest.mark.parametrize("cap", [8, 100])
def test_below_the_cap_there_is_no_storm(cap: int) -> None:
    assert "*" not in [a.entity for a in run(simple(storm_alerts=cap), everyone_fails(3200)).alerts]
