"""Incidents: opened, updated if materially worse, and resolved once.

State is one row per slot. Everything is decided from event time and the log, so a replay gives the
same incidents.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streamer.event import F32, F64, I64, Bool
from streamer.settings import DetectSettings

# an open incident is updated when the alarm exceeds the last reported one by this factor
WORSE = 1.25


class Change(enum.StrEnum):
    """The change of an incident; the value is the alert's `event`."""

    OPENED = "opened"
    UPDATED = "updated"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of the incident of the entity in row `row` of the judged batch."""

    row: int
    change: Change


def alert_id(
    stream: str, topic: str, partition: int, offset: int, key: int, kind: str = "score"
) -> str:
    """Return the id of an incident, a hash of its place in the log.

    It has no clock, no model version and no random part, so the same log gives the same id.
    """
    text = f"{stream}\x1f{topic}\x1f{partition}\x1f{offset}\x1f{key}\x1f{kind}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def severity(alarm: float, *, critical: float) -> str:
    return "critical" if alarm >= critical else "warning"


class Incidents:
    """The open incident of every slot, if any."""

    def __init__(self, settings: DetectSettings) -> None:
        self._settings = settings
        slots = settings.max_entities
        self.open = np.zeros(slots, np.bool_)
        self.muted = np.zeros(slots, np.bool_)  # opened in a storm; only counted in its summary
        self.started_s = np.zeros(slots, np.float64)
        self.offset = np.zeros(slots, np.int64)  # of the opening event
        self.partition = np.zeros(slots, np.int32)
        self.told = np.zeros(slots, np.float32)  # the highest alarm reported so far
        self.quiet = np.zeros(slots, np.int32)  # quiet events in a row
        self.resolved_s = np.full(slots, -np.inf)

    def cooling(self, slots: I64, time_s: F64) -> Bool:
        """Return (N,) whose last incident ended within the cooldown."""
        return ~self.open[slots] & (time_s < self.resolved_s[slots] + self._settings.cooldown_s)

    def advance(
        self, slots: I64, alarm: F32, scaled: F32, time_s: F64, offset: I64, partition: int
    ) -> list[Transition]:
        """Process N events of distinct slots; return the changes in row order."""
        is_open = self.open[slots]
        fires = alarm >= self._settings.warning
        if not (is_open | fires).any():
            return []
        self._count_quiet(slots, is_open, scaled)
        opened = fires & ~is_open
        worse = fires & is_open & self._is_worse(self.told[slots], alarm)
        resolved = is_open & ~fires & (self.quiet[slots] >= self._settings.close_events)
        for mask, change in (
            (opened, self._open),
            (worse, self._worsen),
            (resolved, self._resolve),
        ):
            if mask.any():
                change(slots[mask], alarm[mask], time_s[mask], offset[mask], partition)
        changed = opened | worse | resolved
        kind = np.where(opened, Change.OPENED, np.where(worse, Change.UPDATED, Change.RESOLVED))
        return [Transition(int(row), Change(kind[row])) for row in np.flatnonzero(changed)]

    def _is_worse(self, told: F32, alarm: F32) -> np.ndarray:
        critical = self._settings.critical
        return (alarm > WORSE * told) | ((alarm >= critical) & (told < critical))

    def _count_quiet(self, slots: I64, is_open: np.ndarray, scaled: F32) -> None:
        calm = scaled < self._settings.close_below
        self.quiet[slots] = np.where(is_open & calm, self.quiet[slots] + 1, 0)

    def _open(self, slots: I64, alarm: F32, time_s: F64, offset: I64, partition: int) -> None:
        self.open[slots] = True
        self.muted[slots] = False
        self.started_s[slots], self.offset[slots], self.partition[slots] = time_s, offset, partition
        self.told[slots], self.quiet[slots] = alarm, 0

    def _worsen(self, slots: I64, alarm: F32, *_: object) -> None:
        self.told[slots] = alarm

    def _resolve(self, slots: I64, _alarm: F32, time_s: F64, *_: object) -> None:
        self.open[slots] = False
        self.resolved_s[slots] = time_s

    def end(self, slot: int, at_s: float) -> None:
        """Close the incident of a slot because of a label."""
        self.open[slot] = False
        self.resolved_s[slot] = at_s

    def reset(self, slots: I64) -> None:
        for name, array in self.state().items():
            array[slots] = -np.inf if name == "resolved_s" else 0

    def state(self) -> Mapping[str, np.ndarray]:
        return {
            "open": self.open,
            "muted": self.muted,
            "started_s": self.started_s,
            "offset": self.offset,
            "partition": self.partition,
            "told": self.told,
            "quiet": self.quiet,
            "resolved_s": self.resolved_s,
        }
