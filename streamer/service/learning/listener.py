"""Hears labels wherever they are said, writes them into the journal, and tells the lines of them.

The journal is asked too, because another member of the group, the command line or the API may have written there.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

import structlog

from streamer.connect.label_sources import LabelSource, Line
from streamer.errors import BrokerError, InputError, StoreError, StreamerError
from streamer.journal import Journal, Label
from streamer.protocols import Clock
from streamer.service.backoff import Backoff
from streamer.service.learning.saying import consequence, join, read

log = structlog.get_logger()

EVERY_S = 1.0
KEPT = 10_000  # labels that lines may still have to hear, the newest
Open = Callable[[], LabelSource]


class Board:
    """The labels that are known, for every line to read: one writer, any number of readers."""

    def __init__(self, kept: int = KEPT) -> None:
        self.number = 0  # of the newest
        self._labels: deque[Label] = deque(maxlen=kept)
        self._lock = threading.Lock()

    def put(self, labels: Sequence[Label]) -> None:
        with self._lock:
            self._labels.extend(labels)
            self.number = max([self.number, *(label.number for label in labels)])

    def of(self, stream: str) -> list[Label]:
        """The labels of a stream, in their order."""
        with self._lock:
            return [label for label in self._labels if label.stream == stream]

    def word(self, stream: str, entity: str, at_s: float) -> str | None:
        """The last label of an entity that holds a moment of event time."""
        said = (one for one in reversed(self.of(stream)) if one.entity == entity and one.start_s <= at_s <= one.end_s)
        found = next(said, None)
        return None if found is None else found.kind.value


class Listener:
    """One thread. What is away is asked again; a label that cannot be understood is told, counted and passed over."""

    name = "labels"

    def __init__(
        self, journal: Journal, board: Board, open_source: Open | None = None, *,
        backoff: Backoff | None = None, wall: Clock = time.time,
    ) -> None:  # fmt: skip
        self.journal, self.board = journal, board
        self.heard: Counter[str] = Counter()  # labels by kind
        self.refused = 0
        self.trouble: str | None = None
        self._open: Open | None = open_source
        self._source: LabelSource | None = None
        self._caught_up = False  # what was said before this process began is heard silently
        self._backoff, self._wall = backoff or Backoff(EVERY_S, 30.0), wall

    def run(self, stop: threading.Event) -> None:
        """Listen until told to stop."""
        while not stop.is_set():
            if self._backoff.due:
                self.turn()
            stop.wait(EVERY_S)
        self._shut()

    def turn(self) -> None:
        """Whatever was said since the last turn."""
        try:
            self._tell()
            for line in self._poll():
                self._take(line)
            self._tell()
        except (BrokerError, InputError, StoreError) as exc:
            self._fail(exc)
            return
        self._backoff.succeed()
        self.trouble = None

    def _poll(self) -> list[Line]:
        if self._source is None and self._open is not None:
            self._source = self._open()
        return [] if self._source is None else self._source.poll(0.0)

    def _take(self, line: Line) -> None:
        """Write a label down, and only then how far its source was read: a crash in between repeats it, as one."""
        try:
            if line.text:
                label, _ = join(read(line.text, line.origin), self.journal, now_s=self._wall(), origin=line.origin)
                self.journal.label(label)
        except InputError as exc:
            self.refused += 1
            log.warning("label_refused", origin=line.origin, problem=str(exc))
        self.journal.move(line.source, line.place)

    def _tell(self) -> None:
        while labels := self.journal.labels(after=self.board.number):
            if self._caught_up:
                self._log(labels)
            self.board.put(labels)
        self._caught_up = True

    def _log(self, labels: Sequence[Label]) -> None:
        for label in labels:
            self.heard[label.kind.value] += 1
            log.info("label_heard", by=label.by, alert_id=label.alert_id, effect=consequence(label))

    def _fail(self, exc: StreamerError) -> None:
        """Open the source anew next time: what was read and not written down comes again."""
        self._backoff.fail()
        if self.trouble is None:
            log.warning("labels_away", problem=str(exc))
        self.trouble = str(exc)
        self._shut()

    def _shut(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None
