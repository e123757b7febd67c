"""Applies labels to the entities that are judged here.

A label acts once on every slot. The slot stores the number of the last label, in its snapshot too.
So labels may be delivered again after a restart, and to every member of a group.
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
# returns the labels of its entity before one, in order
Earlier = Callable[[Label], Sequence[Label]]
ENDS = {LabelKind.EXPECTED, LabelKind.FALSE_ALARM, LabelKind.NEW_NORMAL}


@dataclass(frozen=True, slots=True)
class Effect:
    """What a label changed for an entity; pairs are (before, after)."""

    label: Label
    line: tuple[float, float]  # factor on the alarm line from labels
    incident_penalty: tuple[float, float]  # factor from incidents, which the budget lowers again
    renewed: bool  # errors and rhythm are measured again
    ended: str  # id of the incident that ended; "" if none
    told: Alert | None = None  # its resolution


def ignore(effect: Effect) -> None:
    """Do nothing; the default for `note`."""


class Feedback:
    """The last label of each slot, and the effects of labels."""

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
        self._fresh = np.zeros(settings.max_entities, np.bool_)  # reset since the last take_fresh
        self._any_fresh = False

    def take_fresh(self, among: Collection[str]) -> list[str]:
        """Return which of some entities were admitted or started again since the last call."""
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
        """Apply a label if its entity is known here and it is new; return what changed, or None.

        `earlier` returns the labels of its entity before it, which `unsure` withdraws.
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
        """Return whether the label concerns the open incident, or a time that overlaps it."""
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
    """Return how many steps earlier labels have raised the alarm line.

    Only labels of the same incident or stretch count.
    """
    steps = 0
    for one in said:
        if one.number < label.number and one.about == label.about:
            steps = 0 if one.kind is LabelKind.UNSURE else max(steps + STEPS.get(one.kind, 0), 0)
    return steps
