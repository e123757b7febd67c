"""Alerts leave in the order of the log, whatever the order of the waves that found them.

A storm is counted in that order too, or where a log is cut would decide who is held back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass

from streamer.detect.incident import Change, Incidents
from streamer.detect.storm import Storm
from streamer.event import Alert, EventBatch, ModelRef


@dataclass(frozen=True, slots=True)
class _Found:
    """Something to tell about the entity in `slot`, at `row` of the batch."""

    row: int
    slot: int
    change: Change | None  # of its incident; None: the alert is told in any case
    muted: bool  # as the incident was before this chunk
    build: Callable[[], Alert]
    alert: Alert | None  # None: the storm holds it back, as far as could be seen when it was found


class Teller:
    """Collects what the waves of a chunk find, then tells it in log order."""

    def __init__(self, storm: Storm, incidents: Incidents) -> None:
        self._storm, self._incidents = storm, incidents
        self._found: list[_Found] = []
        self._opened: list[int] = []  # rows, sorted
        self._held: set[int] = set()  # slots whose incident will be held back, as far as can be seen

    def say(self, row: int, alert: Alert) -> None:
        """Tell this alert, whatever the storm."""
        self._found.append(_Found(row, -1, None, False, lambda: alert, alert))

    def changed(self, row: int, slot: int, change: Change, time_s: float, build: Callable[[], Alert]) -> None:
        """An incident changed. Its alert is built now, while lanes and ring stand at its event, unless it is held back:
        in a storm of thousands the alerts that nobody gets would be what takes the time.
        """
        if change is Change.OPENED:
            crowd = self._storm.opened_in(time_s) + bisect_left(self._opened, row)
            (self._held.add if crowd >= self._storm.limit else self._held.discard)(slot)
            insort(self._opened, row)
        muted = bool(self._incidents.muted[slot])
        alert = None if muted or slot in self._held else build()
        self._found.append(_Found(row, slot, change, muted, build, alert))

    def tell(self, batch: EventBatch, ref: ModelRef) -> list[Alert]:
        """Everything found since the last call, in log order, as far as the storm lets it through."""
        told: list[Alert] = []
        opened: dict[int, bool] = {}  # slot -> is the incident that opened in this chunk held back
        for found in sorted(self._found, key=lambda found: found.row):
            if found.change is Change.OPENED:
                offset, time_s = int(batch.offset[found.row]), float(batch.time_s[found.row])
                told += self._storm.admit(batch.topic, batch.partition, offset, time_s, ref)
                opened[found.slot] = self._incidents.muted[found.slot] = self._storm.muting
            if not opened.get(found.slot, found.muted):
                told.append(found.alert or found.build())
        self._found, self._opened, self._held = [], [], set()
        return told
