"""What people say finds its incident, is written down once, and reaches the judges; nonsense
changes nothing.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streamer.connect.label_sources import LabelFile
from streamer.connect.storage.sqlite_journal import SqliteJournal
from streamer.detect.alerts.feedback import Effect
from streamer.errors import InputError, StoreError
from streamer.event import Alert
from streamer.feedback.incident_recorder import IncidentRecorder, incident_of
from streamer.feedback.label_consumer import LabelConsumer
from streamer.feedback.label_feed import LabelFeed
from streamer.feedback.labels import FOLLOWS, WHO, LabelMessage, consequence, join, note, read
from streamer.journal import Incident, LabelKind
from tests.runtime.world import Hands, alert_at

PUMP = Incident("ab12", "plant", "pump", 100.0, 200.0, "warning", 1.5, "pump is hot", "t", 0, 5, 9)
LABEL = {"alert_id": "ab12", "label": "confirmed"}


@pytest.fixture
def journal() -> Iterator[SqliteJournal]:
    opened = SqliteJournal(None)
    opened.record([PUMP])
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "said",
    [
        {"alert_id": "ab12"},
        {"alert_id": "ab"},
        {"record": {"topic": "t", "partition": 0, "offset": 7}},
    ],
)
def test_a_label_finds_its_incident_by_id_by_its_beginning_and_by_a_record(
    journal: SqliteJournal, said: dict[str, Any]
) -> None:
    label, incident = join(_read(said | {"label": "confirmed"}), journal, now_s=7.0)
    assert incident == PUMP
    assert (label.alert_id, label.start_s, label.end_s, label.said_at_s) == (
        "ab12",
        100.0,
        200.0,
        7.0,
    )


def test_a_stretch_of_time_needs_no_incident(journal: SqliteJournal) -> None:
    said = {
        "stream": "plant",
        "entity": "valve",
        "start": "1970-01-01T00:01:00Z",
        "label": "expected",
    }
    label, incident = join(_read(said), journal, now_s=0.0)
    assert incident is None
    assert (label.start_s, label.end_s) == (60.0, math.inf)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "is no label"),
        (b"{", "is no label"),
        (b'{"alert_id":"ab12","label":"wrong"}', "false_alarm"),
        (b'{"alert_id":"ab12"}', "label"),
        (b'{"alert_id":"ab12","label":"confirmed","extra":1}', "extra"),
        (b'{"record":{"topic":"t","partition":-1,"offset":0},"label":"unsure"}', ">= 0"),
        (b"\xff\xfe", "is no label"),
        (json.dumps(LABEL | {"note": "x" * 3000}).encode(), "2000"),
    ],
)
def test_what_is_no_label_is_refused_by_name(text: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read(text, "labels-0@3")
    assert "labels-0@3" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"alert_id": "ff"}, "no alert has the id"),
        ({"record": {"topic": "t", "partition": 0, "offset": 99}}, "t-0@99"),
        ({}, "names one of"),
        ({"alert_id": "ab12", "entity": "pump", "start": "2026-01-01T00:00:00Z"}, "names one of"),
        ({"entity": "pump", "start": "2026-01-01T00:00:00Z"}, "stream"),
        ({"stream": "plant", "entity": "pump", "start": "yesterday"}, "start must be a time"),
        (
            {
                "stream": "p",
                "entity": "e",
                "start": "2026-01-02T00:00:00Z",
                "end": "2026-01-01T00:00:00Z",
            },
            "end after",
        ),
    ],
)
def test_a_label_about_nothing_is_refused_and_says_what_is_known(
    journal: SqliteJournal, said: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        join(_read(said | {"label": "confirmed"}), journal, now_s=0.0)
    assert journal.labels() == []


@pytest.mark.parametrize("kind", list(LabelKind))
def test_every_label_says_what_it_changes(journal: SqliteJournal, kind: LabelKind) -> None:
    label, _ = join(LabelMessage(kind, alert_id="ab12"), journal, now_s=0.0)
    assert consequence(label).startswith(f"plant/pump {kind}: ")


@pytest.mark.parametrize("kind", list(LabelKind))
def test_the_answer_promises_only_what_will_be_and_says_where_to_read_what_was(
    kind: LabelKind,
) -> None:
    assert " will " in FOLLOWS[kind]
    assert "label_applied" in WHO


def test_the_log_says_what_a_label_changed_with_old_and_new_values(journal: SqliteJournal) -> None:
    label, _ = join(LabelMessage(LabelKind.FALSE_ALARM, alert_id="ab12"), journal, now_s=0.0)
    with capture_logs() as lines:
        note(
            Effect(
                label, line=(3.0, 3.0), incident_penalty=(1.16, 1.0), renewed=False, ended="ab12"
            )
        )
    (line,) = lines
    assert (line["event"], line["entity"], line["label"]) == (
        "label_applied",
        "pump",
        "false_alarm",
    )
    assert [line[name] for name in ("line_before", "line", "strain_before", "strain")] == [
        3.0,
        3.0,
        1.16,
        1.0,
    ]
    assert (line["measured_anew"], line["ended"]) == (False, "ab12")


def test_a_file_of_labels_is_heard_line_by_line_once_and_across_restarts(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    path = tmp_path / "labels.jsonl"
    label_feed = LabelFeed()
    for wave in (2, 1):
        with path.open("a") as file:
            file.writelines(json.dumps(LABEL | {"note": f"{wave}.{n}"}) + "\n" for n in range(wave))
            file.write('{"alert_id": "ab12", "la')  # somebody is still writing
        _listener(journal, label_feed, path).step()
        _listener(journal, label_feed, path).step()
        with path.open("rb+") as file:
            file.truncate(path.read_bytes().rindex(b"\n") + 1)
    assert [label.note for label in journal.labels()] == ["2.0", "2.1", "1.0"]
    assert [label.note for label in label_feed.of("plant")] == ["2.0", "2.1", "1.0"]


def test_a_bad_line_is_counted_and_those_around_it_are_heard(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(f"{json.dumps(LABEL)}\nnonsense\n\n{json.dumps(LABEL | {'label': 'unsure'})}\n")
    listener = _listener(journal, LabelFeed(), path)
    listener.step()
    assert listener.refused == 1
    assert [label.kind for label in journal.labels()] == ["confirmed", "unsure"]


def test_what_others_wrote_into_the_journal_is_heard_too_and_only_news_is_counted(
    journal: SqliteJournal,
) -> None:
    label, _ = join(LabelMessage(LabelKind.UNSURE, alert_id="ab12"), journal, now_s=0.0)
    journal.label(label)
    listener = LabelConsumer(journal, LabelFeed())
    listener.step()
    assert not listener.heard
    journal.label(replace(label, kind=LabelKind.CONFIRMED, said_at_s=1.0))
    listener.step()
    assert listener.heard == {"confirmed": 1}
    assert [said.kind for said in listener.label_feed.of("plant")] == ["unsure", "confirmed"]
    assert listener.label_feed.of("cards") == []


def test_the_last_word_on_a_moment_counts(journal: SqliteJournal) -> None:
    label_feed = LabelFeed()
    label, _ = join(LabelMessage(LabelKind.FALSE_ALARM, alert_id="ab12"), journal, now_s=0.0)
    label_feed.put(
        [replace(label, number=1), replace(label, kind=LabelKind.CONFIRMED, number=2, end_s=150.0)]
    )
    assert [
        label_feed.word("plant", "pump", at_s) for at_s in (99.0, 100.0, 150.0, 151.0, 201.0)
    ] == [None, "confirmed", "confirmed", "false_alarm", None]
    assert (
        label_feed.word("plant", "valve", 120.0) is label_feed.word("cards", "pump", 120.0) is None
    )


class _Away(SqliteJournal):
    """A journal that can be away."""

    away = False

    def labels(self, after: int = 0, limit: int = 1000) -> Any:
        if self.away:
            raise StoreError("it is away")
        return super().labels(after, limit)

    def record(self, incidents: Any) -> None:
        if self.away:
            raise StoreError("it is away")
        super().record(incidents)


def test_a_journal_that_was_away_is_asked_again_and_nothing_said_is_lost(tmp_path: Path) -> None:
    journal, path = _Away(None), tmp_path / "labels.jsonl"
    journal.record([PUMP])
    path.write_text(json.dumps(LABEL) + "\n")
    listener, journal.away = _listener(journal, LabelFeed(), path), True
    listener.step()
    assert listener.problem == "it is away"
    journal.away = False
    listener.step()
    assert listener.problem is None
    assert len(listener.label_feed.of("plant")) == 1


def test_alerts_wait_for_a_journal_that_is_away_up_to_a_limit_and_are_counted_beyond_it() -> None:
    journal = _Away(None)
    incident_recorder, journal.away = IncidentRecorder(journal, most=3), True
    for offset in range(5):
        incident_recorder.tell(alert_at(offset))
        incident_recorder.write()
    assert incident_recorder.problem == "it is away"
    journal.away = False
    assert incident_recorder.write() == 0
    assert (incident_recorder.forgotten, len(journal.incidents())) == (2, 3)


@given(
    st.lists(st.sampled_from(["opened", "updated", "resolved"]), min_size=1, max_size=6),
    st.randoms(),
)
def test_an_incident_keeps_its_highest_score_and_its_first_words(
    events: list[str], random: Any
) -> None:
    told = [
        _alert(event, score=random.uniform(1.0, 9.0), words=f"w{n}")
        for n, event in enumerate(events)
    ]
    incident: Incident | None = None
    for alert in told:
        incident = incident_of(alert, incident)
    assert incident is not None
    assert incident.score == max(alert.score for alert in told)
    assert incident.summary == "w0"
    assert (incident.ended_s is None) == (events[-1] != "resolved")


def _alert(event: str, *, score: float, words: str) -> Alert:
    ended = event == "resolved"
    at = "2026-01-01T00:00:00.000Z"
    return replace(
        alert_at(0),
        event=event,
        status="resolved" if ended else "open",
        score=score,
        summary=words,
        started_at=at,
        detected_at=at,
        resolved_at=at if ended else None,
    )


def test_the_chronicle_writes_the_last_alerts_before_it_stops(journal: SqliteJournal) -> None:
    incident_recorder, stop = IncidentRecorder(journal), threading.Event()
    incident_recorder.tell(alert_at(3))
    stop.set()
    incident_recorder.run(stop)
    assert journal.incident(alert_at(3).alert_id) is not None


def _read(said: dict[str, Any]) -> LabelMessage:
    return read(json.dumps(said).encode(), "here")


def _listener(journal: SqliteJournal, label_feed: LabelFeed, path: Path) -> LabelConsumer:
    return LabelConsumer(journal, label_feed, lambda: LabelFile(path, journal.place), wall=Hands())
