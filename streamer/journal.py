"""What is known about the past: incidents as they were told, and what people said of them. A seam,
and its values.

The journal lets labels find what they are about long after the fact, and tells a training which
stretches of time it must not learn from.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class LabelKind(enum.StrEnum):
    """What an operator says of an incident or of a stretch of time."""

    CONFIRMED = "confirmed"  # it was a fault
    EXPECTED = "expected"  # it happened, and was planned: maintenance, a test
    FALSE_ALARM = "false_alarm"  # nothing was wrong
    NEW_NORMAL = "new_normal"  # from now on this is how it is
    UNSURE = "unsure"  # withdraws what was said before: nobody knows

    @property
    def learnt(self) -> bool:
        """Whether a training may learn from the time that it names. Where nobody is sure, it does
        not.
        """
        return self in {LabelKind.FALSE_ALARM, LabelKind.NEW_NORMAL}


OPEN, RESOLVED = "open", "resolved"  # the kinds of an incident that nobody has labelled
FORGOTTEN = "forgotten"  # the kind of a time of which the journal had to drop incidents or labels
MOST_INCIDENTS = 100_000  # that any journal keeps: a training reads them all, some 50 MB


@dataclass(frozen=True, slots=True)
class Incident:
    """One problem of one entity, as alerts told it. Times in seconds since 1970 of event time."""

    alert_id: str
    stream: str
    entity: str
    started_s: float
    ended_s: float | None  # None: still open
    severity: str
    score: float  # the highest that was told; 1.0 = the alarm line
    summary: str
    topic: str
    partition: int
    first_offset: int  # of the window that the alert showed; -1: it had none
    last_offset: int

    def holds(self, topic: str, partition: int, offset: int) -> bool:
        """Whether its window holds a record."""
        return (self.topic, self.partition) == (
            topic,
            partition,
        ) and self.first_offset <= offset <= self.last_offset


@dataclass(frozen=True, slots=True)
class Label:
    """What somebody said. `number` orders labels and is given by the journal; 0 before."""

    kind: LabelKind
    stream: str
    entity: str
    start_s: float
    end_s: float  # inf: until the incident ends, or for good
    alert_id: str = ""  # "": of a stretch of time, not of an incident
    by: str = ""
    note: str = ""
    said_at_s: float = 0.0
    # where it was read, as "labels-0@17": the same origin is written down once; "" = nowhere
    origin: str = ""
    number: int = 0

    @property
    def about(self) -> object:
        """What it is said of: equal for labels of the same incident, or of the same stretch of
        time.
        """
        return self.alert_id or (self.stream, self.entity, self.start_s, self.end_s)


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time of an entity, and what is known of it: a LabelKind, or `open`, `resolved`
    or `forgotten`.
    """

    stream: str
    entity: str  # "": every one
    start_s: float
    end_s: float
    kind: str
    number: int = 0  # of the label that said so

    @property
    def said(self) -> bool:
        """Whether a person said so."""
        return self.kind in set(LabelKind)

    @property
    def learnt(self) -> bool:
        """Whether a training may learn from it. An incident that nobody has judged never becomes
        normal by itself.
        """
        return self.said and LabelKind(self.kind).learnt

    @property
    def rank(self) -> tuple[bool, int]:
        """Of two that hold a moment the one of higher rank counts: a person's word, and of these
        the last.
        """
        return self.said, self.number

    def holds(self, entity: str) -> bool:
        return self.entity in {"", entity}


@runtime_checkable
class Journal(Protocol):
    """Incidents and labels. Any thread may call it; StoreError if it does not answer."""

    def record(self, incidents: Sequence[Incident]) -> None:
        """Write or overwrite incidents, by their ids.

        A journal is bounded: of too many incidents those fall off that ended first, open ones last.
        """

    def forgotten(self, stream: str) -> float:
        """The event time of a stream up to which incidents or labels fell off, -inf: none did.
        Nothing before it can be told from what nobody judged.
        """

    def incident(self, alert_id: str) -> Incident | None:
        """The incident whose id is, or begins with, this; InputError if several do."""

    def around(self, topic: str, partition: int, offset: int) -> Incident | None:
        """The newest incident whose window holds a record."""

    def incidents(self, *, since_s: float = -math.inf, limit: int = 100) -> Sequence[Incident]:
        """The newest incidents that began at or after a time, oldest first."""

    def label(self, label: Label) -> int:
        """Write a label down for good; its number. One of an origin that is known already has its
        number already.
        """

    def labels(self, after: int = 0, limit: int = 1000) -> Sequence[Label]:
        """Labels with numbers above `after`, in their order."""

    def place(self, source: str) -> int | None:
        """How far a source of labels has been read; None: not yet."""

    def move(self, source: str, place: int) -> None:
        """Remember how far a source of labels has been read."""

    def close(self) -> None:
        """Release everything. Idempotent."""


def periods(journal: Journal, stream: str, since_s: float, until_s: float) -> list[Period]:
    """Every stretch of a stream between two times that something is known of; the last word on an
    incident counts.

    Stretches may overlap: `Period.rank` says which of them counts.
    """
    incidents = [one for one in journal.incidents(limit=MOST_INCIDENTS) if one.stream == stream]
    words = _last_words(journal, stream)
    forgotten_s = journal.forgotten(
        stream
    )  # asked last: what falls off meanwhile is either among them or before it
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
    """Of an incident that the journal has forgotten no end is later than what it has forgotten."""
    gone = bool(label.alert_id) and math.isinf(label.end_s) and forgotten_s >= label.start_s
    return _said(label, label.start_s, forgotten_s if gone else label.end_s)


def _said(label: Label, start_s: float, end_s: float) -> Period:
    """Nobody called normal what had not happened when he spoke, unless he named its end."""
    if label.kind.learnt and math.isinf(end_s):
        end_s = max(start_s, label.said_at_s)
    return Period(label.stream, label.entity, start_s, end_s, label.kind.value, label.number)
