"""The reader of one stream: source.poll to mailbox.

It pauses the source instead of waiting for the scorer.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from streamer.backoff import Backoff
from streamer.errors import StreamerError
from streamer.event import Lease, Poll
from streamer.protocols import Clock, Source
from streamer.runtime.accounting import RecordAccounting
from streamer.runtime.mailbox import Mailbox

log = structlog.get_logger()

POLL_S = 0.2
# Seconds before the next poll after a source returned at once without records (paused, or between
# two events).
REST_S = 0.01
# After a poll with few records, more are gathered: for GATHER_S at least, then until the scorer is
# idle, for GATHER_MOST_S at most. Reading takes the interpreter from the scorer, many times per
# poll. p99 from event to alert at 2,000 events/s was 31 ms without this; now it is 19 to 25 ms.
# With 4 ms instead of 2 it was 22 to 23 ms against 19 to 20, for a tenth less processor time.
GATHER_S, GATHER_MOST_S, FEW = 0.002, 0.02, 256
# Seconds between polls of a paused source, which still reports assignments. Room in the mailbox
# ends the wait. Checking for room every 2 ms cost a Kafka source as much time as reading.
PAUSED_S = 0.05


@dataclass(frozen=True, slots=True)
class Arrival:
    """One poll and the time of its arrival on the service's clock."""

    poll: Poll
    at: float


class SourceTrouble:
    """The problem of a source, counted and logged once. Written by the reader's thread."""

    def __init__(self, stream: str, backoff: Backoff) -> None:
        self.problem: str | None = None
        self.failures = 0
        self.backoff = backoff
        self._stream = stream

    def failed(self, exc: StreamerError) -> float:
        """Record that a call raised; return the seconds to rest."""
        rest_s = self.backoff.fail()
        self.failures += 1
        self.problem = str(exc)
        log.warning(
            "source_failed", stream=self._stream, problem=self.problem, retry_s=round(rest_s, 3)
        )
        return rest_s

    def answered(self, problem: str | None) -> None:
        """Record that a call returned; `problem` is what the source reports, None if it works."""
        before, self.problem = self.problem, problem
        if problem is not None and before is None:
            self.failures += 1
            log.warning("source_failing", stream=self._stream, problem=problem)
        if problem is None and before is not None:
            log.info("source_recovered", stream=self._stream, failures=self.backoff.failures)
        self.backoff.succeed()


class Throttle:
    """Puts arrivals into the mailbox, and pauses the source while there are too many."""

    def __init__(
        self, source: Source, mailbox: Mailbox[Arrival], crowded: Callable[[], bool]
    ) -> None:
        self.paused, self.pauses = False, 0
        self._source, self._mailbox, self._crowded = source, mailbox, crowded
        # only filled by a source that delivers records although it is paused
        self._held: deque[Arrival] = deque()

    def put(self, arrival: Arrival) -> None:
        self._held.append(arrival)
        self._deliver()

    def step(self) -> None:
        """Pause the source at a full mailbox, resume it at a half-empty one."""
        self._deliver()
        crowded = bool(self._held) or self._crowded()
        if not self.paused and (crowded or self._mailbox.full):
            self._source.pause()
            self.paused, self.pauses = True, self.pauses + 1
        elif self.paused and not crowded and self._mailbox.low:
            self._source.resume()
            self.paused = False

    def finish(self) -> None:
        """Finish the mailbox; held arrivals are added even beyond its capacity."""
        self._mailbox.finish(*self._held)
        self._held.clear()

    def _deliver(self) -> None:
        while self._held and self._mailbox.offer(self._held[0]):
            self._held.popleft()


class Reader:
    """Owns a source. Other threads may read everything but must not call `run` and `step`."""

    def __init__(
        self,
        accounting: RecordAccounting,
        source: Source,
        mailbox: Mailbox[Arrival],
        *,
        crowded: Callable[[], bool] = lambda: False,
        poll_rows: int = FEW,
        backoff: Backoff | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Build the reader of one source.

        `crowded` says that enough is in flight, whatever room the mailbox has. `poll_rows` is the
        most that a poll returns.
        """
        self.source = source
        self.ended = False
        self.gathers = False  # the last poll returned few records
        self.beat = self.last_heard = clock()
        self._stepping = False
        self._accounting, self._mailbox, self._clock = accounting, mailbox, clock
        self._few = min(FEW, poll_rows)
        self._throttle = Throttle(source, mailbox, crowded)
        self._trouble = SourceTrouble(accounting.stream, backoff or Backoff(clock=clock))

    @property
    def stream(self) -> str:
        return self._accounting.stream

    @property
    def problem(self) -> str | None:
        """Why nothing is read; None if the source works."""
        return self._trouble.problem

    @property
    def failures(self) -> int:
        return self._trouble.failures

    @property
    def paused(self) -> bool:
        return self._throttle.paused

    @property
    def pauses(self) -> int:
        return self._throttle.pauses

    @property
    def silent_s(self) -> float:
        """Seconds since the last iteration of the loop."""
        return self._clock() - self.beat

    @property
    def idle_s(self) -> float:
        """Seconds for which the source was at its end and delivered nothing.

        A poll in progress counts only after it returns.
        """
        return (self.beat if self._stepping else self._clock()) - self.last_heard

    @property
    def lags(self) -> list[tuple[Lease, int]]:
        """Records not read yet, of each partition held."""
        return [
            (lease, records)
            for lease, records in self.source.lags.items()
            if self.source.holds(lease)
        ]

    def run(self, stop: threading.Event, drained: threading.Event) -> None:
        """Read until `stop` or the end of the source, then until `drained` only keep it alive.

        The source is closed at the end.
        """
        try:
            self._read(stop)
            self._see_off(drained)
        finally:
            self.source.close()
        # a problem of the source may have ended while it was kept alive
        if not self._trouble.backoff.failures:
            self._trouble.problem = self.source.problem

    def _read(self, stop: threading.Event) -> None:
        try:
            while not (stop.is_set() or self.ended):
                self._rest(self.step(), stop)
        finally:
            self._throttle.finish()

    def _rest(self, rest_s: float, stop: threading.Event) -> None:
        if self.paused and self.problem is None and not self._mailbox.low:
            self._mailbox.wait_low(rest_s)
            return
        stop.wait(rest_s)
        if self.gathers:
            self._mailbox.wait_idle(GATHER_MOST_S - GATHER_S)

    def step(self, poll_s: float = POLL_S) -> float:
        """Poll once; return the seconds to rest before the next step."""
        self.beat, self.gathers, self._stepping = self._clock(), False, True
        try:
            return self._stepped(poll_s)
        finally:
            self._stepping = False

    def _stepped(self, poll_s: float) -> float:
        try:
            self._throttle.step()
            poll = self.source.poll(0.0 if self.paused else poll_s)
        except StreamerError as exc:
            return self._trouble.failed(exc)
        self._trouble.answered(self.source.problem)
        return self._received(poll, quick=self._clock() - self.beat < poll_s / 2)

    def _received(self, poll: Poll | None, *, quick: bool) -> float:
        if poll is None:
            self.ended = True
            return 0.0
        if not self.source.at_end:
            self.last_heard = self._clock()
        if poll.empty:
            return self._idle_s() if quick else 0.0
        self.last_heard = self._clock()
        self._accounting.received += poll.records
        self._throttle.put(Arrival(poll, self.last_heard))
        self.gathers = poll.records < self._few
        return GATHER_S if self.gathers else 0.0

    def _idle_s(self) -> float:
        return PAUSED_S if self.paused and not self._mailbox.low else REST_S

    def _see_off(self, drained: threading.Event) -> None:
        """Poll the paused source without reading, because its polls send pending commits."""
        self._quietly(self.source.pause)
        while not drained.is_set():
            self.beat = self._clock()
            if not self.ended:
                self._quietly(lambda: self.source.poll(0.0))
            drained.wait(POLL_S if self.ended else REST_S)

    def _quietly(self, action: Callable[[], object]) -> None:
        try:
            action()
        except StreamerError as exc:
            self._trouble.failed(exc)
