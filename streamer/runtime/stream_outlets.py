"""The outputs of a stream: alerts, dead letters and the score file."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

from streamer.event import Alert, EventBatch, Message, Rejected, Scores
from streamer.protocols import Clock, Letter
from streamer.runtime.offsets import Needs
from streamer.runtime.outbox import Outbox
from streamer.runtime.score_writer import ScoreWriter
from streamer.runtime.stats import StreamStats
from streamer.timefmt import rfc3339

log = structlog.get_logger()


class StreamOutlets:
    """The outputs of one stream, and the numbers of what is acknowledged.

    Used by the scoring thread. The outboxes of alerts and dead letters are shared by all streams.
    """

    def __init__(
        self,
        stream: str,
        stats: StreamStats,
        outbox: Outbox[Message],
        letters: Outbox[Letter] | None = None,
        scores: ScoreWriter | None = None,
        *,
        wall: Clock = time.time,
    ) -> None:
        self.stream, self.outbox = stream, outbox
        self.letters: Outbox[Letter] = letters or Outbox()
        self.scores = scores or ScoreWriter(None)
        self.wall = wall
        self._stats = stats

    @property
    def posted(self) -> Needs:
        """The numbers of the newest alert and the newest dead letter."""
        return Needs(self.outbox.posted, self.letters.posted)

    @property
    def acknowledged(self) -> Needs:
        """The numbers up to which every sink has acknowledged."""
        return Needs(self.outbox.acknowledged, self.letters.acknowledged)

    def post(self, alerts: Sequence[Alert]) -> None:
        """Send and count alerts."""
        if alerts:
            self._stats.raised(alerts)
            self.outbox.post(alerts)
            self.outbox.hand_over()

    def bury(self, rejected: Sequence[Rejected]) -> None:
        """Send records that could not be decoded to the dead letters; log the first of them."""
        self.letters.post([Letter(self.stream, one, rfc3339(self.wall())) for one in rejected])
        one = rejected[0]
        log.warning(
            "records_rejected",
            stream=self.stream,
            count=len(rejected),
            reason=one.reason,
            offset=one.offset,
            detail=one.detail,
        )

    def write(self, batch: EventBatch, scores: Sequence[Scores]) -> None:
        """Write the scores of a batch, one set per entity key."""
        for key, one in enumerate(scores):
            self.scores.put(batch, one, key)
