"""Labels that wait for their incident."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamer.feedback.labels import LabelMessage
from streamer.journal import Incident
from streamer.protocols import Clock

# an incident unknown after this was not opened here, or is in another journal
PATIENCE_S = 300.0
MOST = 1000  # about 3 MB of notes; above this the oldest labels are refused
RECENT = 1000  # number of newest incidents that are compared with the waiting labels


@dataclass(frozen=True, slots=True)
class PendingLabel:
    """A waiting label; `before` is its position in the source, None for the first label read."""

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
    """Waiting labels in order of arrival. Used by one thread."""

    def __init__(
        self, *, patience_s: float = PATIENCE_S, most: int = MOST, clock: Clock = time.monotonic
    ) -> None:
        self._patience_s, self._most, self._clock = patience_s, most, clock
        self._waiting: dict[str, PendingLabel] = {}  # by origin
        self._seen: dict[str, Incident] = {}  # the newest incidents at the last look

    def __len__(self) -> int:
        return len(self._waiting)

    def hold(
        self, said: LabelMessage, origin: str, source: str, before: int | None, said_at_s: float
    ) -> None:
        """Keep a label until its incident is known.

        The same label again keeps its first arrival time.
        """
        guest = PendingLabel(said, origin, source, before, said_at_s, self._clock())
        self._waiting.setdefault(origin, guest)

    def about(self, incident: Incident) -> list[PendingLabel]:
        """Return the labels that wait for this incident."""
        return [guest for guest in self._waiting.values() if guest.is_about(incident)]

    def come(self, newest: Sequence[Incident]) -> Iterator[PendingLabel]:
        """Yield the labels whose incident is new or has changed among the newest ones."""
        for incident in newest:
            if self._seen.get(incident.alert_id) != incident:
                yield from self.about(incident)
        self._seen = {one.alert_id: one for one in newest}

    def weary(self) -> list[PendingLabel]:
        """Return the labels that waited for too long or exceed the limit."""
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
        """Return the position up to which a source may count as read: its first waiting label."""
        return next(
            (guest.before for guest in self._waiting.values() if guest.source == source), place
        )
