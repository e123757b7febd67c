"""What every Journal promises (streamer.journal)."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer.connect.storage.redis_journal import RedisJournal
from streamer.connect.storage.sqlite_journal import SqliteJournal
from streamer.errors import InputError
from streamer.journal import Incident, Journal, Label, LabelKind, Period, periods
from tests.contracts.test_store_contract import redis_section

Open = Callable[[], Journal]
PUMP = Incident("ab12", "plant", "pump", 100.0, None, "warning", 1.5, "pump is hot", "t", 0, 5, 9)
SAID = Label(
    LabelKind.CONFIRMED, "plant", "pump", 100.0, math.inf, alert_id="ab12", by="ann", note="bearing"
)


@pytest.fixture(params=["memory", "files", pytest.param("redis", marks=pytest.mark.needs_redis)])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same journal, as often as asked."""
    if request.param == "memory":
        only = SqliteJournal(None)
        yield lambda: only
        only.close()
    elif request.param == "files":
        yield lambda: SqliteJournal(tmp_path / "state" / "journal.db")
    else:
        section = redis_section(request.getfixturevalue("redis_server"))
        yield lambda: RedisJournal(section)


@pytest.fixture
def journal(again: Open) -> Journal:
    return again()


def test_a_journal_is_a_journal(journal: Journal) -> None:
    assert isinstance(journal, Journal)


def test_what_is_recorded_is_found_by_its_id_and_by_the_beginning_of_it(again: Open) -> None:
    again().record([PUMP])
    assert again().incident("ab12") == again().incident("ab") == PUMP
    assert again().incident("ab12f") is None


def test_the_last_record_of_an_incident_counts(journal: Journal) -> None:
    ended = replace(PUMP, ended_s=200.0, score=2.0)
    journal.record([PUMP, ended])
    assert list(journal.incidents()) == [ended]


def test_an_id_cut_too_short_is_refused_unless_it_is_one(journal: Journal) -> None:
    journal.record([PUMP, replace(PUMP, alert_id="ab12cd")])
    with pytest.raises(InputError, match="several"):
        journal.incident("ab")
    assert journal.incident("ab12") == PUMP


def test_incidents_come_oldest_first_and_the_newest_of_them_where_there_are_too_many(
    journal: Journal,
) -> None:
    journal.record([replace(PUMP, alert_id=f"{i:04x}", started_s=float(i)) for i in range(7)])
    assert [one.started_s for one in journal.incidents(limit=3)] == [4.0, 5.0, 6.0]
    assert [one.started_s for one in journal.incidents(since_s=5.0)] == [5.0, 6.0]


@pytest.mark.parametrize(
    ("topic", "partition", "offset", "found"),
    [
        ("t", 0, 5, True),
        ("t", 0, 9, True),
        ("t", 0, 4, False),
        ("t", 0, 10, False),
        ("t", 1, 7, False),
        ("u", 0, 7, False),
    ],
)
def test_a_record_finds_the_incident_whose_window_holds_it(
    journal: Journal, topic: str, partition: int, offset: int, found: bool
) -> None:
    journal.record([PUMP])
    assert journal.around(topic, partition, offset) == (PUMP if found else None)


def test_labels_keep_their_order_and_what_was_said(again: Open) -> None:
    first = again().label(SAID)
    second = again().label(replace(SAID, kind=LabelKind.UNSURE, end_s=150.0, said_at_s=7.0))
    assert first < second
    heard = again().labels()
    assert list(heard) == [
        replace(SAID, number=first),
        replace(SAID, kind=LabelKind.UNSURE, end_s=150.0, said_at_s=7.0, number=second),
    ]
    assert list(again().labels(after=first)) == [heard[1]]


def test_a_label_that_is_delivered_twice_is_one(journal: Journal) -> None:
    told = replace(SAID, origin="labels-0@17")
    assert journal.label(told) == journal.label(told)
    assert len(journal.labels()) == 1


def test_how_far_a_source_was_read_is_remembered(again: Open) -> None:
    assert again().place("labels-0") is None
    again().move("labels-0", 7)
    again().move("labels-0", 9)
    assert again().place("labels-0") == 9


def test_many_threads_may_write_at_once(again: Open) -> None:
    journal = again()

    def write(number: int) -> None:
        journal.record([replace(PUMP, alert_id=f"{number:04x}")])
        journal.label(replace(SAID, origin=f"labels-0@{number}"))

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.incidents()) == len(journal.labels()) == 8


def test_an_incident_that_nobody_judged_is_learnt_by_nobody(journal: Journal) -> None:
    journal.record([PUMP, replace(PUMP, alert_id="cd", started_s=10.0, ended_s=20.0)])
    found = periods(journal, "plant", 0.0, 1000.0)
    assert found == [
        Period("plant", "pump", 10.0, 20.0, "resolved"),
        Period("plant", "pump", 100.0, math.inf, "open"),
    ]
    assert not any(one.learnt for one in found)


@pytest.mark.parametrize("kind", list(LabelKind))
def test_the_last_word_on_an_incident_counts(journal: Journal, kind: LabelKind) -> None:
    journal.record([replace(PUMP, ended_s=200.0)])
    for said in (LabelKind.CONFIRMED, LabelKind.FALSE_ALARM, kind):
        journal.label(replace(SAID, kind=said, said_at_s=1.0 + len(journal.labels())))
    (found,) = periods(journal, "plant", 0.0, 1000.0)
    assert (found.kind, found.end_s) == (kind, 200.0)
    assert found.learnt == (kind in {"false_alarm", "new_normal"})


def test_only_what_overlaps_the_asked_time_of_the_asked_stream_comes(journal: Journal) -> None:
    journal.record([replace(PUMP, ended_s=200.0)])
    journal.label(Label(LabelKind.EXPECTED, "plant", "valve", 300.0, 400.0))
    assert [one.entity for one in periods(journal, "plant", 200.0, 299.0)] == ["pump"]
    assert [one.entity for one in periods(journal, "plant", 250.0, 300.0)] == ["valve"]
    assert periods(journal, "cards", 0.0, 1000.0) == []


# -- bounds
KEPT = 4
Bounded = Callable[[], Journal]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.needs_redis)])
def bounded(request: pytest.FixtureRequest) -> Bounded:
    """Opens another journal of KEPT incidents."""
    if request.param == "memory":
        return lambda: SqliteJournal(None, kept=KEPT)
    server = request.getfixturevalue("redis_server")
    return lambda: RedisJournal(redis_section(server), kept=KEPT)


def test_of_too_many_incidents_those_fall_off_that_ended_first_and_open_ones_stay(
    bounded: Bounded,
) -> None:
    journal = bounded()
    journal.record([replace(PUMP, alert_id="open", started_s=1.0)])
    journal.record(
        [
            replace(PUMP, alert_id=f"{i:04x}", started_s=float(i), ended_s=100.0 - i)
            for i in range(2, 9)
        ]
    )
    assert {one.alert_id for one in journal.incidents()} == {"open", "0002", "0003", "0004"}
    assert (journal.forgotten("plant"), journal.forgotten("cards")) == (95.0, -math.inf)


def test_an_open_incident_that_must_go_may_have_lasted_until_the_newest_time_that_is_known(
    bounded: Bounded,
) -> None:
    journal = bounded()
    journal.record(
        [replace(PUMP, alert_id=f"{i:04x}", started_s=float(i)) for i in range(KEPT + 1)]
    )
    assert journal.forgotten("plant") == KEPT
    journal.record([replace(PUMP, alert_id="0000", started_s=0.0, ended_s=50.0)])
    assert journal.forgotten("plant") == 50.0


stretches = st.lists(st.tuples(st.integers(0, 40), st.none() | st.integers(1, 40)), max_size=12)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stretches)
def test_a_moment_of_an_incident_that_nobody_judged_is_never_learnt_however_many_follow(
    bounded: Bounded, told: list[tuple[int, int | None]]
) -> None:
    journal = bounded()
    incidents = [
        replace(
            PUMP,
            alert_id=f"{n:04x}",
            started_s=float(start),
            ended_s=None if lasts is None else start + lasts,
        )
        for n, (start, lasts) in enumerate(told)
    ]
    journal.record(incidents)
    until_s = max((float(one.ended_s or one.started_s) for one in incidents), default=0.0)
    known = periods(journal, "plant", 0.0, until_s)
    for one in incidents:
        for at_s in (one.started_s, until_s if one.ended_s is None else one.ended_s):
            assert any(
                period.start_s <= at_s <= period.end_s and not period.learnt for period in known
            )


@pytest.mark.needs_redis
def test_a_label_that_fell_off_leaves_its_time_unlearnt(request: pytest.FixtureRequest) -> None:
    journal = RedisJournal(redis_section(request.getfixturevalue("redis_server")), kept_labels=2)
    for number in range(3):
        journal.label(Label(LabelKind.CONFIRMED, "plant", "pump", 10.0 * number, 10.0 * number + 5))
    assert (len(journal.labels()), journal.forgotten("plant")) == (2, 5.0)
    assert journal.forgotten("cards") == -math.inf


# -- words
def test_a_lasting_word_calls_nothing_normal_that_came_after_it(journal: Journal) -> None:
    journal.label(Label(LabelKind.NEW_NORMAL, "plant", "pump", 100.0, math.inf, said_at_s=300.0))
    journal.label(Label(LabelKind.EXPECTED, "plant", "valve", 100.0, math.inf, said_at_s=300.0))
    ends = {one.entity: one.end_s for one in periods(journal, "plant", 0.0, 1000.0)}
    assert ends == {"pump": 300.0, "valve": math.inf}


def test_more_labels_than_a_page_are_all_heard_and_the_last_one_counts(journal: Journal) -> None:
    for kind in (LabelKind.CONFIRMED, LabelKind.FALSE_ALARM):
        for number in range(600):
            journal.label(
                Label(
                    kind,
                    "plant",
                    "pump",
                    float(number),
                    number + 0.5,
                    said_at_s=float(kind == "confirmed"),
                )
            )
    assert {one.kind for one in periods(journal, "plant", 0.0, 1000.0)} == {"false_alarm"}
