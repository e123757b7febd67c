"""Totals of judged events and incidents, used by the promotion and watch rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamer.event import F64
from streamer.runtime.stats import DAY_S, SIZES
from streamer.runtime.stream_processor import StreamProcessor


@dataclass(frozen=True, slots=True)
class JudgedCounts:
    """Events, incidents opened and events without a score, so far or in a span.

    `promised` is the number of incidents that the alert budgets allow in the same event time.
    `paces` (3, SIZES) holds batches, events and seconds of judging by class of batch size.
    """

    events: int = 0
    opened: int = 0
    unsure: int = 0
    promised: float = 0.0
    paces: F64 = field(default_factory=lambda: np.zeros((3, SIZES)), compare=False)

    def since(self, before: JudgedCounts) -> JudgedCounts:
        return JudgedCounts(
            self.events - before.events,
            self.opened - before.opened,
            self.unsure - before.unsure,
            self.promised - before.promised,
            self.paces - before.paces,
        )


def sample(processors: Sequence[StreamProcessor]) -> JudgedCounts:
    """Return the totals of all streams."""
    tallies = [processor.stats for processor in processors]
    opened = sum(
        n for stats in tallies for (_, event), n in dict(stats.alerts).items() if event == "opened"
    )
    return JudgedCounts(
        sum(sum(dict(stats.scored).values()) for stats in tallies),
        opened,
        sum(stats.unsure for stats in tallies),
        sum(map(_promised, processors)),
        np.sum([stats.paces for stats in tallies], axis=0),
    )


def _promised(processor: StreamProcessor) -> float:
    return (
        processor.facts.promised_per_day
        * max(processor.stats.last_s - processor.stats.first_s, 0.0)
        / DAY_S
    )
