"""Laws of the referee, of the notebook that it reads, and of the promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamer.connect.simulate.world import START_S, Fault
from streamer.demo.promises import Facts, PlannedFaults, Promise, broken, judged
from streamer.demo.recording import TAIL, Heard, Notebook
from streamer.demo.referee import Rulings, median_delay, rule
from streamer.event import Alert, EventBatch, ModelRef, RhythmPart, Scores, WindowSlice
from streamer.timefmt import rfc3339

GRACE_S = 20.0
FAULT = Fault("shift", "a", START_S + 100, START_S + 200, "rms")


def alert(
    entity: str, at_s: float, offset: int | None, event: str = "opened", share: float = 0.0
) -> Heard:
    """An alert raised `at_s` after START_S by the event at `offset` (None: by a silence)."""
    window = None if offset is None else WindowSlice("", "", 1, "s", 0, offset, offset, [[0.0]])
    made = Alert(
        alert_id=f"{entity}-{at_s}",
        incident_key=f"s:{entity}",
        event=event,
        status="open",
        severity="warning",
        stream="s",
        entity=entity,
        labels={},
        started_at=rfc3339(START_S + at_s),
        detected_at=rfc3339(START_S + at_s),
        resolved_at=None,
        summary="",
        score=1.5,
        p_value=1e-5,
        threshold=1.0,
        channels=[],
        rhythm=RhythmPart(1.0, 1.0, 0.5, 2.0, share),
        attention=[],
        reasons=[],
        window=window,
        model=ModelRef("v", "numpy", ""),
    )
    return Heard(made, at_s / 10)


def notebook(until_s: int = 400) -> Notebook:
    """Events of `a` at even seconds and of `b` at odd ones, both at place `shop`; offset = second,
    in two batches.
    """
    book = Notebook()
    for start, end in ((0, 150), (150, until_s)):
        second = np.arange(start, end)
        entity = np.stack([second % 2, np.full(len(second), 2)], axis=1).astype(np.int32)
        nothing = np.zeros((len(second), 1), np.float32)
        batch = EventBatch(
            "s",
            "s",
            0,
            ("a", "b", "shop"),
            entity,
            (START_S + second).astype(np.float64),
            nothing,
            second.astype(np.int64),
        )
        zero = np.zeros(len(second), np.float32)
        parts = np.zeros((len(second), 2), np.float32)
        scores = Scores(zero.astype(np.uint8), zero, zero, parts, nothing, nothing, nothing)
        book.write(batch, scores, 0)
        book.write(batch, scores, 1)
    return book


def verdict(
    *heard: Heard, faults: tuple[Fault, ...] = (FAULT,), book: Notebook | None = None
) -> Rulings:
    return rule(faults, heard, book or notebook(), lambda fault: GRACE_S, START_S)


@pytest.mark.parametrize("at_s", [100, 150, 219])
def test_an_alert_of_the_entity_within_the_fault_and_its_grace_catches_it(at_s: int) -> None:
    found = verdict(alert("a", at_s, at_s))
    assert found.rulings[0].caught
    assert found.false_alarms == ()


@pytest.mark.parametrize(("entity", "at_s"), [("a", 98), ("a", 221), ("b", 151)])
def test_an_alert_before_after_or_elsewhere_is_a_false_alarm(entity: str, at_s: int) -> None:
    found = verdict(alert(entity, at_s, at_s))
    assert found.rulings[0].missed
    assert len(found.false_alarms) == 1


def test_an_alert_of_another_key_belongs_to_the_fault_whose_event_opened_it() -> None:
    assert verdict(alert("shop", 150, 150)).rulings[0].caught
    assert verdict(alert("shop", 151, 151)).rulings[0].missed


def test_only_the_opening_of_an_incident_counts() -> None:
    found = verdict(alert("a", 150, 150, event="updated"), alert("b", 151, 151, event="resolved"))
    assert found.rulings[0].missed
    assert found.false_alarms == ()


def test_alerts_of_the_history_do_not_count() -> None:
    found = rule((FAULT,), [alert("b", 51, 51)], notebook(), lambda fault: GRACE_S, START_S + 60)
    assert found.false_alarms == ()


def test_the_delay_is_counted_in_events_of_the_entity_from_the_first_faulty_one() -> None:
    assert verdict(alert("a", 100, 100)).rulings[0].delay_events == 1
    assert verdict(alert("a", 104, 104)).rulings[0].delay_events == 3


def test_a_silence_has_no_delay_in_events_and_leaves_the_median_alone() -> None:
    silence = verdict(
        alert("a", 150, None, share=1.0), faults=(replace(FAULT, kind="silent", channel=None),)
    )
    spike = verdict(alert("a", 104, 104))
    assert silence.rulings[0].caught
    assert median_delay([*silence.rulings, *spike.rulings]) == 3
    assert median_delay(silence.rulings) is None


def test_what_is_not_over_is_neither_caught_nor_missed() -> None:
    found = verdict(book=notebook(until_s=210))
    assert (found.rulings[0].caught, found.rulings[0].missed) == (False, False)
    assert verdict(book=notebook(until_s=222)).rulings[0].missed


def test_a_fault_that_has_not_begun_has_no_ruling() -> None:
    assert (
        verdict(faults=(replace(FAULT, start_s=START_S + 1000, end_s=START_S + 1100),)).rulings
        == ()
    )


@pytest.mark.parametrize(
    ("kind", "share", "seen"), [("rhythm", 0.9, True), ("rhythm", 0.3, False), ("shift", 1, False)]
)
def test_the_rhythm_is_seen_only_by_an_alert_that_says_so(
    kind: str, share: float, seen: bool
) -> None:
    found = verdict(alert("a", 150, 150, share=share), faults=(replace(FAULT, kind=kind),))
    assert found.rulings[0].by_rhythm is seen


def test_the_notebook_counts_an_event_once_however_many_keys_it_has() -> None:
    book = notebook()
    assert book.events == 400
    assert book.entities_at(151) == ("b", "shop")
    assert book.entities_at(999) == ()
    assert len(book.tails["a"].scores) == TAIL


def test_history_is_equally_long_for_all_and_ends_before_the_moment() -> None:
    values, time_s = notebook().history(("a", "b"), START_S + 101)
    assert values.shape == (2, 50, 1)
    assert time_s.max() < START_S + 101


GOOD = Facts(
    asked_s=60,
    lasted_s=60,
    banner_s=1,
    counters_s=2,
    first_alert_s=8,
    rhythm_alert_s=15,
    board_s=59,
    planned=PlannedFaults(11, 3),
    swaps=1,
    no_tuning="",
    balanced=True,
    clean=True,
)


def kept(facts: Facts) -> dict[str, bool | None]:
    return {promise.name: promise.kept for promise in judged(facts)}


def test_a_good_show_keeps_every_promise() -> None:
    assert set(kept(GOOD).values()) == {True}


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("banner", replace(GOOD, banner_s=2.1)),
        ("counters", replace(GOOD, counters_s=None)),
        ("first_alert", replace(GOOD, first_alert_s=15.1)),
        ("rhythm_alert", replace(GOOD, rhythm_alert_s=None)),
        ("swap", replace(GOOD, swaps=0)),
        ("scoreboard", replace(GOOD, board_s=63.1)),
        ("conservation", replace(GOOD, balanced=False)),
        ("clean_stop", replace(GOOD, clean=False)),
    ],
)
def test_each_promise_can_be_broken_alone(name: str, facts: Facts) -> None:
    assert [promise.name for promise in broken(judged(facts))] == [name]


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("rhythm_alert", replace(GOOD, asked_s=20, lasted_s=20, board_s=20, rhythm_alert_s=None)),
        ("first_alert", replace(GOOD, planned=PlannedFaults(0, 3), first_alert_s=None)),
        ("swap", replace(GOOD, swaps=0, no_tuning="tensorflow is not installed")),
        ("swap", replace(GOOD, swaps=0, lasted_s=30, board_s=30, rhythm_alert_s=12)),
    ],
)
def test_what_cannot_be_judged_says_why_and_breaks_nothing(name: str, facts: Facts) -> None:
    promises = judged(facts)
    assert list(broken(promises)) == []
    unchecked: list[Promise] = [promise for promise in promises if promise.kept is None]
    assert [promise.name for promise in unchecked] == [name]
    assert unchecked[0].told
