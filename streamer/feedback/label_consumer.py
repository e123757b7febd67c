"""Reads labels from their source, writes them to the journal, and feeds them to the streams.

It also polls the journal, because another member, the command line or the API may write there.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import structlog

from streamer.backoff import Backoff
from streamer.connect.label_sources import LabelLine, LabelSource
from streamer.errors import BrokerError, InputError, NotKnown, StoreError, StreamerError
from streamer.feedback.label_feed import LabelFeed
from streamer.feedback.labels import LabelMessage, consequence, join, read
from streamer.feedback.pending_labels import RECENT, PendingLabel, PendingLabels
from streamer.journal import Journal, Label
from streamer.protocols import Clock

log = structlog.get_logger()

EVERY_S = 1.0
Open = Callable[[], LabelSource]


class SourcePlaces:
    """The position up to which each source of labels is read."""

    def __init__(self, journal: Journal, waiting: PendingLabels) -> None:
        self._journal, self._waiting = journal, waiting
        self._read: dict[str, int] = {}  # the position after the last label taken, by source
        self._written: dict[str, int] = {}  # the position stored for a restart, by source

    def read(self, source: str) -> int | None:
        """Return the position of a source after the last label taken; None if there is none."""
        return self._read.get(source)

    def take(self, line: LabelLine) -> None:
        """Record that a label was taken."""
        self._read[line.source] = line.place
        self.write()

    def write(self) -> None:
        """Store the positions in the journal.

        A source stays at its first waiting label, so that a restart reads it again.
        """
        for source, read_to in self._read.items():
            place = self._waiting.place(source, read_to)
            if place is not None and self._written.get(source) != place:
                self._journal.move(source, place)
                self._written[source] = place


class LabelConsumer:
    """The label consumer, run by one thread.

    A failing source or store is retried. An invalid label is logged, counted and skipped. A label
    whose incident is not known yet waits for it.
    """

    name = "labels"

    def __init__(
        self,
        journal: Journal,
        label_feed: LabelFeed,
        open_source: Open | None = None,
        *,
        backoff: Backoff | None = None,
        wall: Clock = time.time,
        clock: Clock = time.monotonic,
    ) -> None:
        self.journal, self.label_feed = journal, label_feed
        self.heard: Counter[str] = Counter()  # labels by kind
        self.refused = 0
        self.problem: str | None = None
        self._open: Open | None = open_source
        self._source: LabelSource | None = None
        self._caught_up = False  # labels older than this process are not logged
        self._backoff, self._wall = backoff or Backoff(EVERY_S, 30.0), wall
        self.waiting = PendingLabels(clock=clock)
        self._places = SourcePlaces(journal, self.waiting)

    def run(self, stop: threading.Event) -> None:
        """Read labels until `stop`."""
        while not stop.is_set():
            if self._backoff.due:
                self.step()
            stop.wait(EVERY_S)
        self._shut()

    def step(self) -> None:
        """Process all labels since the last step."""
        try:
            self._tell()
            self._ask_again()
            for line in self._poll():
                self._take(line)
            self._tell()
        except (BrokerError, InputError, StoreError) as exc:
            self._fail(exc)
            return
        self._backoff.succeed()
        self.problem = None

    def _poll(self) -> list[LabelLine]:
        if self._source is None and self._open is not None:
            self._source = self._open()
        return [] if self._source is None else self._source.poll(0.0)

    def _take(self, line: LabelLine) -> None:
        """Write a label to the journal, then its position.

        After a crash in between, the label is read again and stored once.
        """
        try:
            if line.text:
                self._hear(read(line.text, line.origin), line)
        except InputError as exc:
            self._refuse(line.origin, str(exc))
        self._places.take(line)

    def _hear(self, said: LabelMessage, line: LabelLine) -> None:
        try:
            label, incident = join(said, self.journal, now_s=self._wall(), origin=line.origin)
        except NotKnown as exc:
            log.info("label_waits", origin=line.origin, problem=str(exc))
            self.waiting.hold(
                said, line.origin, line.source, self._places.read(line.source), self._wall()
            )
            return
        # earlier labels of the incident keep their order
        for earlier in self.waiting.about(incident) if incident else ():
            self._admit(earlier)
        self.journal.label(label)

    def _ask_again(self) -> None:
        """Store labels whose incident is known now; refuse those that waited too long."""
        if not self.waiting:
            return
        for guest in list(self.waiting.come(self.journal.incidents(limit=RECENT))):
            self._admit(guest)
        for guest in self.waiting.weary():
            self._admit(guest, last=True)
        self._places.write()

    def _admit(self, guest: PendingLabel, *, last: bool = False) -> None:
        try:
            label, _ = join(guest.said, self.journal, now_s=guest.said_at_s, origin=guest.origin)
            self.journal.label(label)
        except InputError as exc:
            if not last:
                return
            self._refuse(
                guest.origin,
                f"{exc}; it was waited for, and may stand in the journal of another machine",
            )
        self.waiting.leave(guest)

    def _refuse(self, origin: str, problem: str) -> None:
        self.refused += 1
        log.warning("label_refused", origin=origin, problem=problem)

    def _tell(self) -> None:
        while labels := self.journal.labels(after=self.label_feed.number):
            if self._caught_up:
                self._log(labels)
            self.label_feed.put(labels)
        self._caught_up = True

    def _log(self, labels: Sequence[Label]) -> None:
        for label in labels:
            self.heard[label.kind.value] += 1
            log.info("label_heard", by=label.by, alert_id=label.alert_id, effect=consequence(label))

    def _fail(self, exc: StreamerError) -> None:
        """Close the source, so that labels that were read and not stored are read again."""
        self._backoff.fail()
        if self.problem is None:
            log.warning("labels_away", problem=str(exc))
        self.problem = str(exc)
        self._shut()

    def _shut(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None
