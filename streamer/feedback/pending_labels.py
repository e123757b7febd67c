"""Labels that wait for the incident that they are about."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamer.feedback.labels import LabelMessage
from streamer.journal import Incident
from streamer.protocols import Clock

# an incident that is not known by then was never opened here, or stands in another journal
PATIENCE_S = 300.0
MOST = 1000  # some 3 MB of notes; the oldest of more wait no longer
RECENT = 1000  # incidents that are looked at for what has come


@dataclass(frozen=True, slots=True)
class PendingLabel:
    """A label that waits. `before`: where its source goes on with it, None: from where it began."""

    said: LabelMessage
    origin: str
    source: str
    before: int | None
    said_at_s: float
    since: float

    def is_about(self, incident: Incident) -> bool:
        record = self.said.record
        if record is None:
            return incident.alert_id.startswith(self.said.alert_id)
        return incident.holds(record.topic, record.partition, record.offset)


class PendingLabels:
    """Guests in the order in which they came. One thread's."""

    def __init__(
        self, *, patience_s: float = PATIENCE_S, most: int = MOST, clock: Clock = time.monotonic
    ) -> None:
        self._patience_s, self._most, self._clock = patience_s, most, clock
        self._waiting: dict[str, PendingLabel] = {}  # by origin
        self._seen: dict[str, Incident] = {}  # the newest incidents when they were last looked at

    def __len__(self) -> int:
        return len(self._waiting)

    def hold(
        self, said: LabelMessage, origin: str, source: str, before: int | None, said_at_s: float
    ) -> None:
        """Let a label wait; told again it is the same, and has waited since it came first."""
        guest = PendingLabel(said, origin, source, before, said_at_s, self._clock())
        self._waiting.setdefault(origin, guest)

    def about(self, incident: Incident) -> list[PendingLabel]:
        """Those that wait for this one."""
        return [guest for guest in self._waiting.values() if guest.is_about(incident)]

    def come(self, newest: Sequence[Incident]) -> Iterator[PendingLabel]:
        """Those whose incident is new among the newest ones, or tells of more than it did."""
        for incident in newest:
            if self._seen.get(incident.alert_id) != incident:
                yield from self.about(incident)
        self._seen = {one.alert_id: one for one in newest}

    def weary(self) -> list[PendingLabel]:
        """Those that have waited for long enough, or are too many."""
        over, now = len(self._waiting) - self._most, self._clock()
        return [
            guest
            for number, guest in enumerate(self._waiting.values())
            if number < over or now - guest.since >= self._patience_s
        ]

    def leave(self, guest: PendingLabel) -> None:
        self._waiting.pop(guest.origin, None)
        if not self._waiting:
            self._seen = {}

    def place(self, source: str, place: int) -> int | None:
        """How far a source may be called read: up to the first label of it that waits."""
        return next(
            (guest.before for guest in self._waiting.values() if guest.source == source), place
        )
