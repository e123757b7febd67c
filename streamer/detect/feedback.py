"""What people say of an entity's incidents takes effect on its next event.

A label acts once on every slot: the slot remembers the number of the last one that it heard, in its snapshot too, so
labels may be told again after a restart, and to every member of a group.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streamer.detect.arena import Slots
from streamer.detect.calibrate import Profile
from streamer.detect.decide import Decider
from streamer.detect.incident import Incidents, alert_id
from streamer.detect.report import Reporter
from streamer.detect.settings import DetectSettings
from streamer.event import I64, Alert, ModelRef
from streamer.journal import Label, LabelKind

ENDS = {LabelKind.EXPECTED, LabelKind.FALSE_ALARM, LabelKind.NEW_NORMAL}


class Feedback:
    """The labels that each slot has heard, and what they do to it."""

    def __init__(
        self, settings: DetectSettings, slots: Slots, profile: Profile, decider: Decider, incidents: Incidents, key: int
    ) -> None:
        self._settings, self._key = settings, key
        self._slots, self._profile, self._decider, self._incidents = slots, profile, decider, incidents
        self._heard = np.zeros(settings.max_entities, np.int64)

    def heed(self, label: Label, topic: str, reporter: Reporter, ref: ModelRef) -> Alert | None:
        """Let a label act, if its entity is remembered here and has not heard it; the resolution it brings, if any."""
        slot = self._slots.find(label.entity) if label.stream == self._settings.stream else None
        if slot is None or label.number <= self._heard[slot]:
            return None
        self._heard[slot] = label.number
        self._calibrate(label.kind, np.array([slot]))
        if label.kind not in ENDS or not self._is_open(label, slot, topic):
            return None
        told = None if self._incidents.muted[slot] else self._ended(label, slot, topic, reporter, ref)
        self._incidents.end(slot, float(reporter.lanes.ring.newest_s[slot]))
        return told

    def _calibrate(self, kind: LabelKind, slots: I64) -> None:
        if kind is LabelKind.FALSE_ALARM:
            self._decider.stricter(slots)
        elif kind is LabelKind.CONFIRMED:
            self._decider.trust(slots)
            self._decider.forgive(slots)
        elif kind is LabelKind.EXPECTED:
            self._decider.forgive(slots)
        elif kind is LabelKind.NEW_NORMAL:
            self._profile.renew(slots)

    def _is_open(self, label: Label, slot: int, topic: str) -> bool:
        """Whether the label is about the incident that is open now, or about a time that reaches into it."""
        if not self._incidents.open[slot]:
            return False
        if not label.alert_id:
            return label.end_s >= float(self._incidents.started_s[slot])
        partition, offset = int(self._incidents.partition[slot]), int(self._incidents.offset[slot])
        return label.alert_id == alert_id(self._settings.stream, topic, partition, offset, self._key)

    def _ended(self, label: Label, slot: int, topic: str, reporter: Reporter, ref: ModelRef) -> Alert:
        return reporter.gone(
            slot, self._settings.stream, topic, label.entity, ref, f"LABELLED_{label.kind.upper()}",
            summary=f"{label.entity}: closed as {label.kind.replace('_', ' ')}{f' by {label.by}' if label.by else ''}",
        )  # fmt: skip

    def reset(self, slots: I64) -> None:
        self._heard[slots] = 0

    def state(self) -> Mapping[str, np.ndarray]:
        return {"heard": self._heard}
