"""Labels of incidents: read from JSON, joined to their incident, and explained in words.

A label names its incident by `alert_id` (or a prefix of it), or by a `record` {topic, partition,
offset} within the incident's window. Or it names a stretch of time by `stream`, `entity`, `start`
and `end`.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import structlog

from streamer.detect.alerts.feedback import Effect
from streamer.errors import InputError, NotKnown
from streamer.journal import Incident, Journal, Label, LabelKind
from streamer.timefmt import seconds

log = structlog.get_logger()

LONGEST = 2000  # characters of a note at most

Short = Annotated[str, msgspec.Meta(max_length=500)]
Whole = Annotated[int, msgspec.Meta(ge=0)]


class RecordReference(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The position of a record in its log."""

    topic: Short
    partition: Whole
    offset: Whole


class LabelMessage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One label as it is written by people and programs."""

    label: LabelKind
    alert_id: Short = ""
    record: RecordReference | None = None
    stream: Short = ""
    entity: Short = ""
    start: Short = ""  # RFC 3339
    end: Short = ""
    by: Short = ""
    note: Annotated[str, msgspec.Meta(max_length=LONGEST)] = ""


def read(line: bytes, where: str) -> LabelMessage:
    """Return one label from JSON; InputError names `where` and the problem."""
    try:
        return msgspec.json.decode(line, type=LabelMessage)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        known = ", ".join(LabelKind)
        raise InputError(f"{where}: is no label: {exc}; labels are {known}") from exc


def join(
    said: LabelMessage, journal: Journal, *, now_s: float, origin: str = ""
) -> tuple[Label, Incident | None]:
    """Return the label with its incident; None for the incident of a stretch of time.

    InputError, with advice, if it names nothing; NotKnown if the incident may still become known.
    """
    ways = sum((bool(said.alert_id), said.record is not None, bool(said.entity or said.start)))
    if ways != 1:
        raise InputError(
            "a label names one of alert_id, record, or stream with entity, start and end"
        )
    if said.entity or said.start:
        return _stretch(said, now_s, origin), None
    incident = _named(said, journal)
    ended_s = math.inf if incident.ended_s is None else incident.ended_s
    label = Label(
        said.label,
        incident.stream,
        incident.entity,
        incident.started_s,
        ended_s,
        incident.alert_id,
        said.by,
        said.note,
        now_s,
        origin,
    )
    return label, incident


def _named(said: LabelMessage, journal: Journal) -> Incident:
    record = said.record
    if record is None:
        found, what = journal.incident(said.alert_id), f"no alert has the id {said.alert_id!r}"
    else:
        found = journal.around(record.topic, record.partition, record.offset)
        what = (
            f"no incident's window holds record {record.topic}-{record.partition}@{record.offset}"
        )
    if found is None:
        raise NotKnown(f"{what}; `streamer alerts list` shows those that are known")
    return found


def _stretch(said: LabelMessage, now_s: float, origin: str) -> Label:
    if not (said.stream and said.entity and said.start):
        raise InputError(
            "a label of a stretch of time needs stream, entity and start (and end, unless it lasts)"
        )
    start_s, end_s = _time("start", said.start), _time("end", said.end) if said.end else math.inf
    if not start_s < end_s:
        raise InputError(
            f"a stretch of time must end after its start, got {said.start} to {said.end}"
        )
    return Label(
        said.label, said.stream, said.entity, start_s, end_s, "", said.by, said.note, now_s, origin
    )


def _time(name: str, text: str) -> float:
    try:
        return seconds(text)
    except ValueError as exc:
        raise InputError(
            f"{name} must be a time such as 2026-01-31T12:00:00Z, got {text!r}"
        ) from exc


FOLLOWS = {
    LabelKind.CONFIRMED: "the alarm line will come down by the step that a false alarm raised it, "
    "if one did, and the "
    "incident will cost nothing of the alert budget; a training passes over this time",
    LabelKind.EXPECTED: "the incident will end, if it is open, and cost nothing of the alert "
    "budget; a training passes "
    "over this time",
    LabelKind.FALSE_ALARM: "the incident will end, if it is open, and the alarm line will be a "
    "quarter higher, though "
    "never more than three times as high as it was; a training learns this time as normal",
    LabelKind.NEW_NORMAL: "the incident will end, if it is open, and errors and rhythm will be "
    "measured anew, with the "
    "alarm line as high as for a new entity; a training learns this time as normal",
    LabelKind.UNSURE: "the alarm line will come down by what false alarms said of this raised it; "
    "a training passes "
    "over this time until somebody is sure",
}
WHO = (
    "the daemon that judges the entity does so within seconds, and its log says what changed "
    "(label_applied)"
)


def consequence(label: Label) -> str:
    """Return what a label will change, in one sentence."""
    return f"{label.stream}/{label.entity} {label.kind}: {FOLLOWS[label.kind]}; {WHO}"


def note(effect: Effect) -> None:
    """Log what a label changed for an entity.

    The factors are relative to the alarm line without labels.
    """
    said, (line, strain) = effect.label, (effect.line, effect.incident_penalty)
    log.info(
        "label_applied",
        stream=said.stream,
        entity=said.entity,
        label=said.kind.value,
        number=said.number,
        alert_id=said.alert_id,
        line_before=round(line[0], 4),
        line=round(line[1], 4),
        strain_before=round(strain[0], 4),
        strain=round(strain[1], 4),
        measured_anew=effect.renewed,
        ended=effect.ended,
    )
