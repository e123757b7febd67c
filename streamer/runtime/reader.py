"""The reading end of one stream: source.poll -> mailbox. It pauses the source, and never waits for
the scorer.
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
# A source that returns at once with nothing (paused, or between two events) is asked again after
# this.
REST_S = 0.01
# After few records more are gathered: for so long at least, and until the scorer is done with them,
# but no longer than this. Reading beside the scorer takes the interpreter from it, many times a
# poll: p99 from event to alert at 2,000 events/s was 31 ms, now 19 to 25. With 4 ms instead of 2:
# 22 to 23 beside 19 to 20, a tenth less processor time.
GATHER_S, GATHER_MOST_S, FEW = 0.002, 0.02, 256
# A paused source is asked this often for what is not records; room in the mailbox ends the rest.
# Looking for room every 2 ms instead cost a Kafka source as much time as reading.
PAUSED_S = 0.05


@dataclass(frozen=True, slots=True)
class Arrival:
    """One poll and when it came, on the service's clock."""

    poll: Poll
    at: float


class SourceTrouble:
    """What is wrong with a source, counted and logged once. Written by the reader's thread."""

    def __init__(self, stream: str, backoff: Backoff) -> None:
        self.problem: str | None = None
        self.failures = 0
        self.backoff = backoff
        self._stream = stream

    def failed(self, exc: StreamerError) -> float:
        """A call raised; return the seconds to rest."""
        rest_s = self.backoff.fail()
        self.failures += 1
        self.problem = str(exc)
        log.warning(
            "source_failed", stream=self._stream, problem=self.problem, retry_s=round(rest_s, 3)
        )
        return rest_s

    def answered(self, problem: str | None) -> None:
        """A call came back: well, unless the source itself says what is wrong."""
        before, self.problem = self.problem, problem
        if problem is not None and before is None:
            self.failures += 1
            log.warning("source_failing", stream=self._stream, problem=problem)
        if problem is None and before is not None:
            log.info("source_recovered", stream=self._stream, failures=self.backoff.failures)
        self.backoff.succeed()


class Throttle:
    """Arrivals on their way into the mailbox; the source pauses while there are too many."""

    def __init__(
        self, source: Source, mailbox: Mailbox[Arrival], crowded: Callable[[], bool]
    ) -> None:
        self.paused, self.pauses = False, 0
        self._source, self._mailbox, self._crowded = source, mailbox, crowded
        # only of a source that brings records although it is paused
        self._held: deque[Arrival] = deque()

    def put(self, arrival: Arrival) -> None:
        self._held.append(arrival)
        self._deliver()

    def step(self) -> None:
        """Pause at a full mailbox, resume at a half empty one."""
        self._deliver()
        crowded = bool(self._held) or self._crowded()
        if not self.paused and (crowded or self._mailbox.full):
            self._source.pause()
            self.paused, self.pauses = True, self.pauses + 1
        elif self.paused and not crowded and self._mailbox.low:
            self._source.resume()
            self.paused = False

    def finish(self) -> None:
        """Nothing more comes; what is held goes in beyond the mailbox's capacity."""
        self._mailbox.finish(*self._held)
        self._held.clear()

    def _deliver(self) -> None:
        while self._held and self._mailbox.offer(self._held[0]):
            self._held.popleft()


class Reader:
    """Owns a source. Everything but `run` and `step` may be read by other threads."""

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
        """`crowded` says that enough is in flight, whatever room the mailbox has; `poll_rows` is
        the most that a poll brings.
        """
        self.source = source
        self.ended = False
        self.gathers = False  # the last poll brought few
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
        """Why nothing comes; None if all is well."""
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
        """How long the loop has not come round."""
        return self._clock() - self.beat

    @property
    def idle_s(self) -> float:
        """Seconds in which the source was at its end and brought nothing. What a poll that is under
        way will tell is not known yet: its time counts once it is back.
        """
        return (self.beat if self._stepping else self._clock()) - self.last_heard

    @property
    def lags(self) -> list[tuple[Lease, int]]:
        """Records not read yet, of each partition that we hold."""
        return [
            (lease, records)
            for lease, records in self.source.lags.items()
            if self.source.holds(lease)
        ]

    def run(self, stop: threading.Event, drained: threading.Event) -> None:
        """Read until `stop` or the end of the source, then keep the source alive until `drained`;
        close it.
        """
        try:
            self._read(stop)
            self._see_off(drained)
        finally:
            self.source.close()
        # What the source told of itself may have passed while it was seen off.
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
        """Nothing is read any more; a live source is kept polled, because its polls send what is
        still committed.
        """
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
