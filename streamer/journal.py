"""Incidents and labels, and the Journal protocol that stores them.

Labels find their incident through the journal long after it ended. A training reads from it which
stretches of time it must not learn from.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class LabelKind(enum.StrEnum):
    """What an operator states about an incident or a stretch of time."""

    CONFIRMED = "confirmed"  # it was a fault
    EXPECTED = "expected"  # it happened and was planned: maintenance, a test
    FALSE_ALARM = "false_alarm"  # nothing was wrong
    NEW_NORMAL = "new_normal"  # this is normal from now on
    UNSURE = "unsure"  # withdraws an earlier label: the cause is unknown

    @property
    def learnt(self) -> bool:
        """Whether a training may learn from the labelled time; False for `unsure`."""
        return self in {LabelKind.FALSE_ALARM, LabelKind.NEW_NORMAL}


OPEN, RESOLVED = "open", "resolved"  # kinds of an incident without a label
FORGOTTEN = "forgotten"  # kind of a time for which the journal dropped incidents or labels
MOST_INCIDENTS = 100_000  # limit of every journal: a training reads them all, some 50 MB


@dataclass(frozen=True, slots=True)
class Incident:
    """One problem of one entity, as reported by alerts.

    Times are seconds since 1970 of event time.
    """

    alert_id: str
    stream: str
    entity: str
    started_s: float
    ended_s: float | None  # None if still open
    severity: str
    score: float  # the highest reported; 1.0 = the alarm line
    summary: str
    topic: str
    partition: int
    first_offset: int  # of the window shown in the alert; -1 if there was none
    last_offset: int

    def holds(self, topic: str, partition: int, offset: int) -> bool:
        """Whether the window of the incident contains a record."""
        return (self.topic, self.partition) == (
            topic,
            partition,
        ) and self.first_offset <= offset <= self.last_offset


@dataclass(frozen=True, slots=True)
class Label:
    """A statement of an operator.

    `number` orders labels; the journal assigns it, 0 before that.
    """

    kind: LabelKind
    stream: str
    entity: str
    start_s: float
    end_s: float  # inf: until the incident ends, or without end
    alert_id: str = ""  # "" for a stretch of time
    by: str = ""
    note: str = ""
    said_at_s: float = 0.0
    # Where it was read, e.g. "labels-0@17"; the same origin is stored once. "" if unknown.
    origin: str = ""
    number: int = 0

    @property
    def about(self) -> object:
        """What the label refers to: equal for labels of the same incident or stretch of time."""
        return self.alert_id or (self.stream, self.entity, self.start_s, self.end_s)


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time of an entity, and what is known of it.

    `kind` is a LabelKind, or `open`, `resolved` or `forgotten`.
    """

    stream: str
    entity: str  # "" for all entities
    start_s: float
    end_s: float
    kind: str
    number: int = 0  # of the label that it comes from

    @property
    def said(self) -> bool:
        """Whether it comes from a label."""
        return self.kind in set(LabelKind)

    @property
    def learnt(self) -> bool:
        """Whether a training may learn from it.

        An incident without a label is never learnt.
        """
        return self.said and LabelKind(self.kind).learnt

    @property
    def rank(self) -> tuple[bool, int]:
        """Order of precedence where periods overlap: labels first, then the newest label."""
        return self.said, self.number

    def holds(self, entity: str) -> bool:
        return self.entity in {"", entity}


@runtime_checkable
class Journal(Protocol):
    """Storage of incidents and labels.

    Any thread may call it; StoreError if it does not answer.
    """

    def record(self, incidents: Sequence[Incident]) -> None:
        """Write or overwrite incidents by their ids.

        A journal is bounded: it drops the incidents that ended first, and open ones last.
        """

    def forgotten(self, stream: str) -> float:
        """The event time of a stream up to which incidents or labels were dropped; -inf if none.

        Before that time an unlabelled stretch cannot be told from a dropped one.
        """

    def incident(self, alert_id: str) -> Incident | None:
        """Return the incident whose id equals or begins with this; InputError if several do."""

    def around(self, topic: str, partition: int, offset: int) -> Incident | None:
        """Return the newest incident whose window contains a record."""

    def incidents(self, *, since_s: float = -math.inf, limit: int = 100) -> Sequence[Incident]:
        """The newest incidents that began at or after a time, oldest first."""

    def label(self, label: Label) -> int:
        """Store a label permanently and return its number.

        A label whose origin is stored already keeps its number.
        """

    def labels(self, after: int = 0, limit: int = 1000) -> Sequence[Label]:
        """Labels with numbers above `after`, in order."""

    def place(self, source: str) -> int | None:
        """How far a source of labels has been read; None if not yet."""

    def move(self, source: str, place: int) -> None:
        """Store how far a source of labels has been read."""

    def close(self) -> None:
        """Release everything. Idempotent."""


def periods(journal: Journal, stream: str, since_s: float, until_s: float) -> list[Period]:
    """Every known stretch of a stream between two times; the last label of an incident counts.

    Stretches may overlap: `Period.rank` decides which of them counts.
    """
    incidents = [one for one in journal.incidents(limit=MOST_INCIDENTS) if one.stream == stream]
    words = _last_words(journal, stream)
    # asked last: what is dropped meanwhile is either in the list or before this time
    forgotten_s = journal.forgotten(stream)
    known = [_period(one, words.pop(one.alert_id, None)) for one in incidents]
    known += [_stretch(label, forgotten_s) for label in words.values()]
    if forgotten_s > -math.inf:
        known.append(Period(stream, "", -math.inf, forgotten_s, FORGOTTEN))
    return [one for one in known if one.end_s >= since_s and one.start_s <= until_s]


def _last_words(journal: Journal, stream: str) -> dict[object, Label]:
    """The newest label of every incident and of every stretch."""
    found: dict[object, Label] = {}
    after = 0
    while page := journal.labels(after):
        found |= {label.about: label for label in page if label.stream == stream}
        after = page[-1].number
    return found


def _period(incident: Incident, label: Label | None) -> Period:
    ended_s = math.inf if incident.ended_s is None else incident.ended_s
    if label is not None:
        return _said(label, incident.started_s, ended_s)
    kind = OPEN if incident.ended_s is None else RESOLVED
    return Period(incident.stream, incident.entity, incident.started_s, ended_s, kind)


def _stretch(label: Label, forgotten_s: float) -> Period:
    """The period of a label without a stored incident.

    If the journal dropped the incident, it ended no later than the time up to which the journal
    dropped incidents.
    """
    gone = bool(label.alert_id) and math.isinf(label.end_s) and forgotten_s >= label.start_s
    return _said(label, label.start_s, forgotten_s if gone else label.end_s)


def _said(label: Label, start_s: float, end_s: float) -> Period:
    """The period of a label.

    An open-ended label that may be learnt covers only time before it was given.
    """
    if label.kind.learnt and math.isinf(end_s):
        end_s = max(start_s, label.said_at_s)
    return Period(label.stream, label.entity, start_s, end_s, label.kind.value, label.number)
