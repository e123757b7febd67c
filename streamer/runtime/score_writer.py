"""A score sink with a queue of rows it has not taken, which are retried."""

from __future__ import annotations

from collections import deque

import structlog

from streamer.backoff import Backoff
from streamer.errors import StreamerError
from streamer.event import EventBatch, Scores
from streamer.protocols import ScoreSink

log = structlog.get_logger()


class ScoreWriter:
    """Writes scores in order, and retries after a failure.

    Used by the scoring thread; others only read its numbers. Without a sink it discards the scores.
    """

    def __init__(self, sink: ScoreSink | None, backoff: Backoff | None = None) -> None:
        self.problem: str | None = None
        self.failures = 0
        self._sink = sink
        self._backoff = backoff or Backoff()
        self._waiting: deque[tuple[EventBatch, Scores, int]] = deque()

    def put(self, batch: EventBatch, scores: Scores, key: int) -> None:
        if self._sink is not None:
            self._waiting.append((batch, scores, key))

    def pump(self) -> bool:
        """Write the waiting scores; return whether none is left."""
        while self._waiting and self._sink is not None:
            if not self._backoff.due or not self._written(self._sink):
                return False
            self._waiting.popleft()
        return True

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()

    def _written(self, sink: ScoreSink) -> bool:
        try:
            sink.write(*self._waiting[0])
        except StreamerError as exc:
            self._backoff.fail()
            self.problem, self.failures = str(exc), self.failures + 1
            log.warning("scores_unwritten", problem=self.problem)
            return False
        self.problem = None
        self._backoff.succeed()
        return True
