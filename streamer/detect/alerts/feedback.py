"""What people say of an entity's incidents takes effect on its next event.

A label acts once on every slot: the slot remembers the number of the last one that it heard, in its
snapshot too, so labels may be told again after a restart, and to every member of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamer.detect.alerts.alarm_line import Decider
from streamer.detect.alerts.alert_builder import Reporter
from streamer.detect.alerts.incident import Incidents, alert_id
from streamer.detect.evidence.profile import Profile
from streamer.detect.state.arena import Slots
from streamer.event import I64, Alert, ModelRef
from streamer.journal import Label, LabelKind
from streamer.settings import DetectSettings

STEPS = {LabelKind.FALSE_ALARM: 1, LabelKind.CONFIRMED: -1}  # of the alarm line
Earlier = Callable[[Label], Sequence[Label]]  # the labels of its entity before one, in their order
ENDS = {LabelKind.EXPECTED, LabelKind.FALSE_ALARM, LabelKind.NEW_NORMAL}


@dataclass(frozen=True, slots=True)
class Effect:
    """What a label changed of an entity; pairs are (before, after)."""

    label: Label
    line: tuple[float, float]  # factor on the alarm line from what people said
    incident_penalty: tuple[float, float]  # and from incidents, which the budget brings down again
    renewed: bool  # errors and rhythm are measured anew
    ended: str  # id of the incident that ended, "": none
    told: Alert | None = None  # its resolution


def ignore(effect: Effect) -> None:
    """Of whom nobody asked."""


class Feedback:
    """The labels that each slot has heard, and what they do to it."""

    def __init__(
        self,
        settings: DetectSettings,
        slots: Slots,
        profile: Profile,
        decider: Decider,
        incidents: Incidents,
        key: int,
    ) -> None:
        self._settings, self._key = settings, key
        self._slots, self._profile, self._decider, self._incidents = (
            slots,
            profile,
            decider,
            incidents,
        )
        self._labels_heard = np.zeros(settings.max_entities, np.int64)
        self._fresh = np.zeros(settings.max_entities, np.bool_)  # reset since they were asked for
        self._any_fresh = False

    def take_fresh(self, among: Collection[str]) -> list[str]:
        """Those of some entities that were admitted, or began anew, since the last call."""
        if not self._any_fresh:
            return []
        fresh, names = self._fresh, self._slots.names
        self._fresh, self._any_fresh = np.zeros_like(fresh), False
        slots = np.flatnonzero(fresh)
        if len(slots) <= len(among):
            admitted = (names[slot] for slot in slots.tolist())
            return [name for name in admitted if name is not None and name in among]
        found = ((name, self._slots.find(name)) for name in among)
        return [name for name, slot in found if slot is not None and fresh[slot]]

    def apply_labels(
        self, label: Label, earlier: Earlier, topic: str, reporter: Reporter, ref: ModelRef
    ) -> Effect | None:
        """Let a label act, if its entity is remembered here and has not heard it; what that
        changed.

        `earlier` are the labels of its entity before it: what `unsure` withdraws is among them.
        """
        slot = self._slots.find(label.entity) if label.stream == self._settings.stream else None
        if slot is None or label.number <= self._labels_heard[slot]:
            return None
        self._labels_heard[slot] = label.number
        slots, ends = np.array([slot]), label.kind in ENDS and self._is_open(label, slot, topic)
        before = self._decider.factors(slot)
        self._calibrate(label, earlier, slots)
        line, incident_penalty = zip(before, self._decider.factors(slot), strict=True)
        told = self._end(label, slot, topic, reporter, ref) if ends else None
        return Effect(
            label,
            line,
            incident_penalty,
            label.kind is LabelKind.NEW_NORMAL,
            self._id(slot, topic) if ends else "",
            told,
        )

    def _calibrate(self, label: Label, earlier: Earlier, slots: I64) -> None:
        kind = label.kind
        if kind is LabelKind.FALSE_ALARM:
            self._decider.stricter(slots)
        elif kind is LabelKind.CONFIRMED:
            self._decider.trust(slots)
            self._decider.forgive(slots)
        elif kind is LabelKind.EXPECTED:
            self._decider.forgive(slots)
        elif kind is LabelKind.NEW_NORMAL:
            self._profile.renew(slots)
        else:
            self._decider.trust(slots, times=raised(label, earlier(label)))

    def _is_open(self, label: Label, slot: int, topic: str) -> bool:
        """Whether the label is about the incident that is open now, or about a time that reaches
        into it.
        """
        if not self._incidents.open[slot]:
            return False
        if not label.alert_id:
            return label.end_s >= float(self._incidents.started_s[slot])
        return label.alert_id == self._id(slot, topic)

    def _id(self, slot: int, topic: str) -> str:
        partition, offset = int(self._incidents.partition[slot]), int(self._incidents.offset[slot])
        return alert_id(self._settings.stream, topic, partition, offset, self._key)

    def _end(
        self, label: Label, slot: int, topic: str, reporter: Reporter, ref: ModelRef
    ) -> Alert | None:
        told = (
            None if self._incidents.muted[slot] else self._ended(label, slot, topic, reporter, ref)
        )
        self._incidents.end(slot, float(reporter.lanes.ring.newest_s[slot]))
        return told

    def _ended(
        self, label: Label, slot: int, topic: str, reporter: Reporter, ref: ModelRef
    ) -> Alert:
        return reporter.gone(
            slot,
            self._settings.stream,
            topic,
            label.entity,
            ref,
            f"LABELLED_{label.kind.upper()}",
            summary=f"{label.entity}: closed as "
            f"{label.kind.replace('_', ' ')}{f' by {label.by}' if label.by else ''}",
        )

    def reset(self, slots: I64) -> None:
        self._labels_heard[slots] = 0
        self._fresh[slots], self._any_fresh = True, True

    def state(self) -> Mapping[str, np.ndarray]:
        return {"heard": self._labels_heard}


def raised(label: Label, said: Sequence[Label]) -> int:
    """How many steps the labels before this one, of the same incident or stretch, have left an
    alarm line higher.
    """
    steps = 0
    for one in said:
        if one.number < label.number and one.about == label.about:
            steps = 0 if one.kind is LabelKind.UNSURE else max(steps + STEPS.get(one.kind, 0), 0)
    return steps
