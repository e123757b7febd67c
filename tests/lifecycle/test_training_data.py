"""What a training may learn from: a person's last word on every row, and never what
nobody judged.
"""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.storage.sqlite_journal import SqliteJournal
from streamer.journal import Incident, Label, LabelKind, Period, periods
from streamer.lifecycle.training_data import SAID_NORMAL, standing, weights

TIMES = np.arange(0.0, 20.0)
NORMAL = {LabelKind.FALSE_ALARM, LabelKind.NEW_NORMAL}

period = st.tuples(
    st.sampled_from(["pump", "valve", ""]),
    st.integers(0, 19),
    st.integers(0, 19),
    st.sampled_from(["open", "resolved", *LabelKind]),
)


@given(st.lists(period, max_size=8), st.randoms())
def test_on_every_row_the_last_word_of_a_person_counts_and_an_incident_only_where_nobody_spoke(
    drawn: list[tuple[str, int, int, str]], dice: Random
) -> None:
    known = [
        Period("plant", who, first, first + lasts, kind, number if kind in set(LabelKind) else 0)
        for number, (who, first, lasts, kind) in enumerate(drawn, start=1)
    ]
    shuffled = dice.sample(known, len(known))
    found = weights(TIMES, "pump", shuffled)
    for at_s, weight in zip(TIMES, found, strict=True):
        here = [one for one in known if one.entity != "valve" and one.start_s <= at_s <= one.end_s]
        words = [one.kind for one in here if one.said]
        expected = 1.0 if not here else 0.0 if not words or words[-1] not in NORMAL else SAID_NORMAL
        assert weight == expected


@pytest.mark.parametrize(
    ("said", "learnt"),
    [
        ([], [False, False, True, False]),
        ([(LabelKind.NEW_NORMAL, 0, 10)], [True, True, True, False]),
        ([(LabelKind.FALSE_ALARM, 0, 10)], [True, True, True, False]),
        ([(LabelKind.EXPECTED, 0, 10)], [False, False, False, False]),
        ([(LabelKind.CONFIRMED, 2, 4), (LabelKind.NEW_NORMAL, 0, 10)], [True, True, True, False]),
        ([(LabelKind.NEW_NORMAL, 0, 10), (LabelKind.CONFIRMED, 2, 4)], [False, True, True, False]),
        ([(LabelKind.NEW_NORMAL, 0, 10), (LabelKind.UNSURE, 5, 9)], [True, False, False, False]),
    ],
)
def test_what_a_person_called_normal_is_learnt_with_the_incidents_inside_and_nothing_beyond_it(
    said: list[tuple[LabelKind, float, float]], learnt: list[bool]
) -> None:
    """Rows at 3 and 6, inside two incidents that nobody labelled, at 8, of none, and at 15, of
    another.
    """
    journal = SqliteJournal(None)
    pump = Incident("a", "plant", "pump", 2.0, 4.0, "warning", 1.5, "", "t", 0, -1, -1)
    journal.record([pump, replace(pump, alert_id="b", started_s=5.0, ended_s=7.0)])
    journal.record([replace(pump, alert_id="c", started_s=14.0, ended_s=16.0)])
    for kind, first_s, last_s in said:
        journal.label(Label(kind, "plant", "pump", first_s, last_s))
    known = periods(journal, "plant", 0.0, 20.0)
    assert [bool(w) for w in weights(np.array([3.0, 6.0, 8.0, 15.0]), "pump", known)] == learnt


def test_a_false_alarm_that_is_still_open_calls_nothing_normal_that_comes_later() -> None:
    journal = SqliteJournal(None)
    pump = Incident("a", "plant", "pump", 2.0, None, "warning", 1.5, "", "t", 0, -1, -1)
    journal.record([pump, replace(pump, alert_id="b", started_s=10.0, ended_s=12.0)])
    journal.label(Label(LabelKind.FALSE_ALARM, "plant", "pump", 2.0, math.inf, "a", said_at_s=6.0))
    known = periods(journal, "plant", 0.0, 20.0)
    assert weights(np.array([3.0, 8.0, 11.0]), "pump", known).tolist() == [SAID_NORMAL, 1.0, 0.0]


@given(
    st.lists(
        st.tuples(st.integers(0, 19), st.integers(0, 19), st.sampled_from(list(LabelKind))),
        max_size=6,
    )
)
def test_what_stands_of_confirmed_faults_is_where_the_last_word_confirms_them(
    drawn: list[tuple[int, int, LabelKind]],
) -> None:
    known = [
        Period("plant", "pump", first, math.inf if lasts == 19 else first + lasts, kind, number)
        for number, (first, lasts, kind) in enumerate(drawn, start=1)
    ]
    confirmed = [
        piece for one in known if one.kind == LabelKind.CONFIRMED for piece in standing(one, known)
    ]
    for at_s in TIMES:
        words = [one.kind for one in known if one.start_s <= at_s <= one.end_s]
        assert any(first <= at_s <= last for first, last in confirmed) == (
            words[-1:] == [LabelKind.CONFIRMED]
        )
