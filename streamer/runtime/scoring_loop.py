"""The loop of the scoring thread: one batch of every stream, then deliver, settle and tick."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from streamer.event import Message
from streamer.protocols import Clock, Letter
from streamer.runtime.outbox import Outbox
from streamer.runtime.stream_processor import StreamProcessor

log = structlog.get_logger()

TICK_S = 1.0
# Seconds between steps without work: with alerts in transit, and without. The bell ends the wait.
REST_BUSY_S, REST_S = 0.01, 0.2
# When nothing waits to be judged, the loop waits up to this long for acknowledgements. Otherwise
# delivery shares the interpreter with the next poll, and takes 4 ms instead of 2.
FLUSH_S = 0.003


class IdleTask(Protocol):
    """A task that runs between two batches, on the scoring thread."""

    def step(self) -> bool:
        """Do a bounded piece of work; return False if there was none."""


class ScoringLoop:
    """Owns the processors and the outboxes.

    Other threads may read everything but must not call `run` and `step`.
    """

    def __init__(
        self,
        processors: Sequence[StreamProcessor],
        outbox: Outbox[Message],
        letters: Outbox[Letter] | None = None,
        *,
        bell: threading.Event,
        flowing: Callable[[str], bool] = lambda stream: True,
        idle_tasks: Sequence[IdleTask] = (),
        clock: Clock = time.monotonic,
    ) -> None:
        self.processors, self.outbox = tuple(processors), outbox
        self.letters: Outbox[Letter] = letters or Outbox()
        self.stalled = False
        self.beat = clock()
        self._bell, self._flowing, self._clock, self._idle_tasks = (
            bell,
            flowing,
            clock,
            tuple(idle_tasks),
        )
        self._tick_at = clock() + TICK_S

    @property
    def settled(self) -> bool:
        return all(processor.settled for processor in self.processors) and self.idle

    @property
    def idle(self) -> bool:
        """Whether all alerts and dead letters are delivered."""
        return self.outbox.idle and self.letters.idle

    @property
    def silent_s(self) -> float:
        """Seconds since the last iteration of the loop."""
        return self._clock() - self.beat

    def run(self, give_up: Callable[[], bool]) -> None:
        """Work until all processors are settled, or `give_up` returns True."""
        while not self.settled and not give_up():
            self._bell.clear()
            if not self.step():
                self._bell.wait(REST_S if self.idle else REST_BUSY_S)

    def step(self) -> bool:
        """Judge one batch of each stream; return False if there was none.

        No batch is taken while the outboxes are full.
        """
        self.beat = self._clock()
        self.stalled = self.outbox.full or self.letters.full
        worked = [] if self.stalled else [processor.work() for processor in self.processors]
        waited_for = any(len(processor.inlet.mailbox) for processor in self.processors)
        # first, because it decides the delay of an alert
        self._pump(0.0 if waited_for else FLUSH_S)
        if any(worked) and not waited_for:
            for processor in self.processors:
                processor.anchor_ahead()
        worked += [task.step() for task in self._idle_tasks]
        self._tick()
        self._pump(0.0)
        for processor in self.processors:
            processor.settle()
        return any(worked)

    def close(self) -> None:
        self.outbox.close()
        self.letters.close()
        for processor in self.processors:
            processor.outlets.scores.close()

    def _pump(self, flush_s: float) -> None:
        self.outbox.pump(flush_s)
        self.letters.pump(flush_s)

    def _tick(self) -> None:
        if self._clock() < self._tick_at or self.stalled:
            return
        self._tick_at = self._clock() + TICK_S
        for processor in self.processors:
            processor.tick(flowing=self._flowing(processor.stream))
