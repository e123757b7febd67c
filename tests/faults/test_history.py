"""The checker of histories, tested with planted bugs: a clean history passes, and every planted one
is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.history import (
    Books,
    History,
    Message,
    Place,
    Sample,
    Told,
    assert_clean,
    told,
    violations,
)
from tests.integration.score_rows import Event, Judged, assert_equal_scores, read, score_violations

PARTITIONS = 2
PER_PARTITION = 100


def _truth() -> list[Told]:
    """Two entities in each of two partitions; every tenth event opens an incident, the fifth after
    it ends it.
    """
    found: list[Told] = []
    for at in range(0, PER_PARTITION, 10):
        for partition in range(PARTITIONS):
            entity = f"pump-{partition}-{at // 10 % 2}"
            for event, upto in (("opened", at), ("resolved", at + 5)):
                message = Message(f"{entity}@{at}", event, f"{upto:04d}s")
                found.append(
                    Told(message, entity, 1.5 + at, "warning", 0, len(found), partition, upto)
                )
    return found


TRUTH = _truth()
LENGTH = len(TRUTH)
END = dict.fromkeys(range(PARTITIONS), PER_PARTITION)
POISON = {Place(0, 3): b"{", Place(1, 7): b"?"}


def _as_log(alerts: list[Told]) -> list[Told]:
    return [replace(one, offset=i) for i, one in enumerate(alerts)]


def _upto(alerts: list[Told], committed: int) -> int:
    """End of the alerts topic once everything below `committed` is in it."""
    needed = [i for i, one in enumerate(alerts) if one.upto is not None and one.upto < committed]
    return max(needed, default=-1) + 1


def _history(alerts: list[Told]) -> History:
    samples = [
        Sample({0: at, 1: at}, {0: _upto(alerts, at)}) for at in (0, 25, 26, 60, PER_PARTITION)
    ]
    account = {
        "in": 230,
        "scored": 190,
        "dead_lettered": 2,
        "replayed": 30,
        "returned": 8,
        "in_flight": 0,
    }
    return History(
        dict.fromkeys(END, 0),
        END,
        alerts,
        samples,
        [Books(account, moved=192)],
        POISON,
        list(POISON.items()),
    )


def _laws(history: History) -> set[str]:
    return {one.law for one in violations(history, TRUTH)}


def _at_least_once(cuts: list[tuple[int, int]]) -> list[Told]:
    """The true alerts, where at each cut the run falls back a little and tells its alerts again."""
    alerts: list[Told] = []
    told_upto = 0
    for cut, back in sorted(cuts):
        alerts += TRUTH[told_upto:cut]
        told_upto = max(0, cut - back)
    return _as_log(alerts + TRUTH[told_upto:])


CUTS = st.lists(st.tuples(st.integers(0, LENGTH), st.integers(0, 12)), max_size=5)


@given(CUTS)
def test_falling_back_and_telling_again_is_allowed(cuts: list[tuple[int, int]]) -> None:
    history = _history(_at_least_once(cuts))
    assert violations(replace(history, samples=history.samples[-1:]), TRUTH) == []


def test_a_clean_history_passes() -> None:
    assert_clean(_history(_as_log(TRUTH)), TRUTH)


def test_a_run_without_alerts_proves_nothing() -> None:
    with pytest.raises(AssertionError, match="proves nothing"):
        assert_clean(_history([]), [])


@pytest.mark.parametrize("looks", [0, 1])
def test_a_run_whose_commits_nobody_watched_proves_nothing(looks: int) -> None:
    history = _history(_as_log(TRUTH))
    with pytest.raises(AssertionError, match="prove nothing of their order"):
        assert_clean(
            replace(history, samples=history.samples[len(history.samples) - looks :]), TRUTH
        )


def test_a_run_without_books_proves_nothing() -> None:
    with pytest.raises(AssertionError, match="prove nothing of conservation"):
        assert_clean(replace(_history(_as_log(TRUTH)), books=[]), TRUTH)


@given(CUTS, st.integers(0, LENGTH - 1))
def test_a_lost_alert_is_found_however_the_run_was_cut(
    cuts: list[tuple[int, int]], which: int
) -> None:
    gone = TRUTH[which].message
    alerts = [one for one in _at_least_once(cuts) if one.message != gone]
    assert "lost" in _laws(_history(alerts))
    with pytest.raises(AssertionError, match="lost"):
        assert_clean(_history(alerts), TRUTH)


@given(CUTS, st.integers(0, LENGTH))
def test_a_foreign_id_is_found(cuts: list[tuple[int, int]], where: int) -> None:
    alerts = _at_least_once(cuts)
    foreign = replace(alerts[0], message=Message("made-up", "opened", "0001s"))
    assert "foreign id" in _laws(_history(_as_log([*alerts[:where], foreign, *alerts[where:]])))


@pytest.mark.parametrize("event", ["opened", "updated", "resolved"])
def test_a_message_that_never_was_is_found(event: str) -> None:
    extra = replace(TRUTH[4], message=TRUTH[4].message._replace(event=event, detected_at="9999s"))
    assert _laws(_history(_as_log([*TRUTH, extra]))) == {f"unexpected {event}"}


Change = Callable[[Told], Told]
CHANGES: list[Change] = [
    lambda one: replace(one, score=one.score * 1.01),
    lambda one: replace(one, severity="critical"),
    lambda one: replace(one, upto=(one.upto or 0) + 1),
    lambda one: replace(one, source=one.source + 5),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("which", [0, LENGTH // 2, LENGTH - 1])
def test_a_changed_message_is_found(which: int, change: Change) -> None:
    alerts = [change(one) if i == which else one for i, one in enumerate(_as_log(TRUTH))]
    assert "changed" in _laws(_history(alerts))


@given(st.floats(-1, 1))
def test_the_rounding_of_another_batch_size_is_no_change(nudge: float) -> None:
    alerts = [replace(one, score=one.score * (1 + 1e-3 * nudge)) for one in _as_log(TRUTH)]
    assert "changed" not in _laws(_history(alerts))


@given(st.integers(0, LENGTH - 1), st.integers(0, LENGTH - 1))
def test_two_messages_of_an_entity_in_the_wrong_order_are_found(one: int, other: int) -> None:
    alerts = list(TRUTH)
    alerts[one], alerts[other] = alerts[other], alerts[one]
    same = {
        entity: [t.message for t in alerts if t.entity == entity]
        for entity in {t.entity for t in TRUTH}
    }
    should = {entity: [t.message for t in TRUTH if t.entity == entity] for entity in same}
    assert ("disordered" in _laws(_history(_as_log(alerts)))) == (same != should)


def test_a_commit_that_went_back_is_found() -> None:
    history = _history(_as_log(TRUTH))
    back = [
        *history.samples[:3],
        replace(history.samples[2], committed={0: 24, 1: 26}),
        *history.samples[3:],
    ]
    assert _laws(replace(history, samples=back)) == {"commit backwards"}


@given(st.integers(0, LENGTH - 1))
def test_a_commit_before_its_alert_was_acknowledged_is_found(which: int) -> None:
    """The alert arrives in the end: only the moment of the commit gives the bug away."""
    history, late = _history(_as_log(TRUTH)), TRUTH[which]
    assert late.upto is not None
    early = Sample({late.source: late.upto + 1}, {0: which})
    assert "commit beyond acknowledged" in _laws(
        replace(history, samples=[early, history.samples[-1]])
    )


def test_an_end_that_was_never_committed_is_found() -> None:
    history = _history(_as_log(TRUTH))
    assert _laws(replace(history, samples=history.samples[:-1])) == {"not committed to the end"}


def test_letters_that_are_lost_invented_or_changed_are_found() -> None:
    history, raw = _history(_as_log(TRUTH)), list(POISON.items())
    assert _laws(replace(history, letters=[*raw, *raw])) == set()
    assert _laws(replace(history, letters=raw[1:])) == {"letter lost"}
    assert _laws(replace(history, letters=[*raw, (Place(0, 4), b"{}")])) == {"foreign letter"}
    assert _laws(replace(history, letters=[(raw[0][0], b"cut"), raw[1]])) == {"letter changed"}


@pytest.mark.parametrize(
    ("entry", "law"),
    [
        ("in", "books unbalanced"),
        ("scored", "books unbalanced"),
        ("replayed", "judged is not committed"),
    ],
)
def test_books_that_do_not_balance_are_found(entry: str, law: str) -> None:
    history = _history(_as_log(TRUTH))
    account = dict(history.books[0].account)
    account[entry] += 1
    assert law in _laws(replace(history, books=[replace(history.books[0], account=account)]))


def test_books_left_open_are_found() -> None:
    history = _history(_as_log(TRUTH))
    account = dict(history.books[0].account) | {"scored": 189, "in_flight": 1}
    assert "books left open" in _laws(replace(history, books=[Books(account)]))


def test_commits_that_moved_further_than_was_judged_are_found() -> None:
    history = _history(_as_log(TRUTH))
    assert _laws(replace(history, books=[replace(history.books[0], moved=193)])) == {
        "judged is not committed"
    }


def test_an_alert_is_read_from_its_json() -> None:
    raw = (
        b'{"alert_id":"a","event":"opened","detected_at":"t","entity":"p","score":1.5,"severity":"warning",'
        b'"window":{"partition":3,"last_offset":9}}'
    )
    assert told(raw, 1, 2) == Told(Message("a", "opened", "t"), "p", 1.5, "warning", 1, 2, 3, 9)


ROWS = {
    Event(f"pump-{i % 3}", i): Judged(0.1 * i, 0.2 * i, "scored" if i > 5 else "warming")
    for i in range(30)
}


def _score_laws(rows: dict[Event, Judged]) -> set[str]:
    return {one.law for one in score_violations(rows.items(), ROWS)}


def test_every_event_judged_alike_once_or_twice_passes() -> None:
    assert_equal_scores([*ROWS.items(), *ROWS.items()], ROWS)


def test_a_run_without_scores_proves_nothing() -> None:
    with pytest.raises(AssertionError, match="proves nothing"):
        assert_equal_scores([], {})


@given(st.sampled_from(sorted(ROWS)))
def test_an_event_that_nobody_judged_is_found(which: Event) -> None:
    assert _score_laws({event: judged for event, judged in ROWS.items() if event != which}) == {
        "event lost"
    }


def test_an_event_that_never_was_is_found() -> None:
    assert _score_laws(ROWS | {Event("pump-0", 99): Judged(0.0, 0.0, "scored")}) == {
        "foreign event"
    }


@pytest.mark.parametrize("change", [{"score": 3.03}, {"alarm": 6.1}, {"status": "warming"}])
def test_an_event_that_was_judged_otherwise_is_found(change: dict[str, Any]) -> None:
    which = Event("pump-0", 30 - 3)
    assert _score_laws(ROWS | {which: ROWS[which]._replace(**change)}) == {"judged otherwise"}
    with pytest.raises(AssertionError, match="judged otherwise"):
        assert_equal_scores({which: ROWS[which]._replace(**change)}.items(), ROWS)


def test_rows_of_a_score_file_are_read_and_a_line_that_was_cut_is_none(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(
        "row,time,entity,score,alarm,status,share_rms\n7,t,p,0.5,0.25,scored,1\n8,t,p,0.5,0.2"
    )
    assert list(read(path)) == [(Event("p", 7), Judged(0.5, 0.25, "scored"))]
