"""Silence is an anomaly too: told once, with what was credible, and resolved when the entity is
heard again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from streamer.detect.pipeline import Detector
from streamer.event import Alert
from tests.detect.logs import START_S, Row, in_order, quiet, run, simple, told

LAST_S = 10.0 * 60  # of quiet(..., 60): an event every ten seconds
SILENT, HEARD = ("p", "opened"), ("p", "resolved")


def spoken(**chosen: Any) -> Detector:
    """A detector that has heard p every ten seconds, sixty times."""
    detector = simple("numpy", **({"silence": True} | chosen))
    run(detector, quiet("p", 60))
    return detector


def silences(detector: Detector, rows: Sequence[Row], first_offset: int = 60) -> list[Alert]:
    """What is told about silences; a strange gap is an incident of its own beside them."""
    alerts = run(detector, rows, first_offset=first_offset).alerts
    return [alert for alert in alerts if alert.incident_key.endswith(":silence")]


def tick(detector: Detector, after_s: float) -> list[Alert]:
    return detector.tick(START_S + LAST_S + after_s)


def test_a_silence_is_told_once_however_long_it_lasts() -> None:
    detector = spoken()
    found = [alert for after_s in (20, 1e4, 2e4, 1e6) for alert in tick(detector, after_s)]
    assert told(found) == [SILENT]


def test_a_usual_gap_is_no_silence() -> None:
    assert tick(spoken(), 29.0) == []


def test_an_entity_that_is_heard_again_ends_its_silence_once() -> None:
    detector = spoken()
    opened = tick(detector, 1e4)
    again = silences(detector, quiet("p", 3, start_s=LAST_S + 2e4))
    assert told(opened + again) == [SILENT, HEARD]
    assert opened[0].alert_id == again[0].alert_id
    assert (opened[0].status, again[0].status) == ("open", "resolved")
    assert "p is heard again after 5.56 h of silence" in again[0].summary


def test_the_sentence_says_how_long_it_was_and_what_was_credible() -> None:
    (alert,) = tick(spoken(), 7200)
    assert alert.rhythm is not None
    assert alert.summary.startswith("p is silent for 2 h, typically an event every 10 s, at most ")
    assert alert.rhythm.gap_s == 7200
    assert alert.rhythm.expected_gap_s == pytest.approx(10)
    assert 30 <= alert.rhythm.high_s < 7200
    assert alert.score == pytest.approx(7200 / alert.rhythm.high_s, abs=1e-3)
    assert alert.reasons == ["SILENCE"]


def test_the_next_silence_is_another_alert() -> None:
    detector = spoken()
    first = tick(detector, 1e4)
    run(detector, quiet("p", 20, start_s=LAST_S + 2e4), first_offset=60)
    second = detector.tick(START_S + 1e6)
    assert told(second) == [SILENT]
    assert first[0].alert_id != second[0].alert_id


def test_only_the_silent_ones_are_told() -> None:
    detector = simple("numpy", silence=True)
    run(detector, in_order(quiet("p", 60), quiet("q", 60, start_s=5000.0)))
    assert told(detector.tick(START_S + 5605.0)) == [SILENT]


def test_silences_of_two_partitions_at_the_same_offset_have_two_ids() -> None:
    detector = simple("numpy", silence=True)
    for partition, name in enumerate("pq"):
        run(detector, quiet(name, 60), partition=partition)
    alerts = tick(detector, 1e5)
    assert sorted(told(alerts)) == [SILENT, ("q", "opened")]
    assert len({alert.alert_id for alert in alerts}) == 2


def test_nobody_is_missed_before_he_is_known() -> None:
    detector = simple("numpy", silence=True)
    run(detector, quiet("p", 15))
    assert detector.tick(START_S + 1e6) == []


@pytest.mark.parametrize("chosen", [{"silence": False}, {"rhythm": False}])
def test_without_rhythm_or_unless_asked_for_silence_is_not_judged(chosen: dict) -> None:
    assert tick(spoken(**chosen), 1e6) == []


def test_an_empty_detector_has_nobody_to_miss() -> None:
    assert simple("numpy", silence=True).tick(START_S) == []


def test_a_late_or_repeated_record_does_not_end_a_silence() -> None:
    detector = spoken(late_s=60.0)
    tick(detector, 1e4)
    last = quiet("p", 60)[-1]
    assert silences(detector, [last, Row("p", -1e5, 1.0)]) == []


def test_a_silent_entity_that_returns_too_late_to_be_the_same_still_ends_its_silence() -> None:
    detector = spoken(idle_after_s=86_400.0)
    opened = tick(detector, 1e4)
    again = silences(detector, quiet("p", 1, start_s=1e6))
    assert told(again) == [HEARD]
    assert again[0].alert_id == opened[0].alert_id


def test_a_silent_entity_that_has_to_make_room_is_not_left_open() -> None:
    detector = spoken(max_entities=1)
    opened = tick(detector, 1e4)
    gone = silences(detector, quiet("q", 1, start_s=1e5))
    assert told(gone) == [HEARD]
    assert gone[0].alert_id == opened[0].alert_id


def test_a_restart_neither_repeats_nor_forgets_a_silence() -> None:
    before, after = spoken(), simple("numpy", silence=True)
    opened = tick(before, 1e4)
    after.load(before.dump())
    assert tick(after, 2e4) == []
    again = silences(after, quiet("p", 1, start_s=1e5))
    assert [a.alert_id for a in again] == [a.alert_id for a in opened]


def test_a_silence_that_is_noticed_after_a_restart_has_the_id_that_it_would_have_had() -> None:
    before, after = spoken(), simple("numpy", silence=True)
    after.load(before.dump())
    assert [a.alert_id for a in tick(after, 1e4)] == [a.alert_id for a in tick(before, 1e4)]


def test_listening_changes_no_score() -> None:
    rows = quiet("p", 120)
    heard, plain = simple("numpy", silence=True), simple("numpy")
    first = run(heard, rows[:60])
    heard.tick(START_S + LAST_S + 5.0)
    second = run(heard, rows[60:], first_offset=60)
    expected = run(plain, rows).scores.score
    np.testing.assert_allclose(
        np.concatenate([first.scores.score, second.scores.score]), expected, atol=1e-5
    )
