"""Writes the incidents of alerts into the journal, outside the scoring thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

import structlog

from streamer.errors import StoreError
from streamer.event import Alert
from streamer.journal import Incident, Journal
from streamer.timefmt import seconds

log = structlog.get_logger()

WRITE_EVERY_S = 0.5
# Alerts that wait for an unavailable journal. Older ones are dropped and counted; labels cannot
# find their incidents.
MOST_WAITING = 10_000


class IncidentRecorder:
    """Any thread adds alerts, one thread writes them.

    If the journal does not answer, only its entries are lost.
    """

    name = "chronicle"

    def __init__(self, journal: Journal, most: int = MOST_WAITING) -> None:
        self.journal, self.forgotten = journal, 0
        self.problem: str | None = None
        self._waiting: deque[Alert] = deque()
        self._most, self._lock = most, threading.Lock()

    def tell(self, alert: Alert) -> None:
        """Add an alert; never blocks."""
        with self._lock:
            self._waiting.append(alert)
            while len(self._waiting) > self._most:
                self._waiting.popleft()
                self.forgotten += 1

    def run(self, stop: threading.Event) -> None:
        """Write until `stop`, and once more after it."""
        while not stop.wait(WRITE_EVERY_S):
            self.write()
        self.write()

    def write(self) -> int:
        """Write the waiting alerts; return how many are left because the journal refused them."""
        with self._lock:
            taken = list(self._waiting)
        if taken and self._recorded(taken):
            with self._lock:
                for _ in range(min(len(taken), len(self._waiting))):
                    self._waiting.popleft()
        return len(self._waiting)

    def _recorded(self, alerts: list[Alert]) -> bool:
        try:
            self.journal.record(merged(self.journal, alerts))
        except StoreError as exc:
            if self.problem is None:
                log.warning("journal_away", problem=str(exc), waiting=len(alerts))
            self.problem = str(exc)
            return False
        self.problem = None
        return True


def merged(journal: Journal, alerts: Iterable[Alert]) -> list[Incident]:
    """Return the incidents of these alerts, each once, in their newest state."""
    found: dict[str, Incident] = {}
    for alert in alerts:
        before = found.get(alert.alert_id) or journal.incident(alert.alert_id)
        found[alert.alert_id] = incident_of(alert, before)
    return list(found.values())


def incident_of(alert: Alert, before: Incident | None = None) -> Incident:
    """Return the incident after this alert, with what was known before.

    The window grows, and the first start and summary stay.
    """
    told = _told(alert)
    if before is None:
        return told
    has_window = told.first_offset >= 0
    return replace(
        before,
        ended_s=told.ended_s,
        score=max(before.score, told.score),
        severity="critical" if "critical" in (before.severity, told.severity) else told.severity,
        last_offset=max(before.last_offset, told.last_offset) if has_window else before.last_offset,
    )


def _told(alert: Alert) -> Incident:
    window, at = alert.window, alert.resolved_at or alert.detected_at
    place = (
        ("", -1, -1, -1)
        if window is None
        else (window.topic, window.partition, window.first_offset, window.last_offset)
    )
    return Incident(
        alert.alert_id,
        alert.stream,
        alert.entity,
        seconds(alert.started_at),
        seconds(at) if alert.status == "resolved" else None,
        alert.severity,
        alert.score,
        alert.summary,
        *place,
    )
