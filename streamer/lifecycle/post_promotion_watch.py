"""After a promotion: alert rate, events without a score, and time per event against what they were
before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from streamer.event import F64
from streamer.protocols import Move
from streamer.runtime.stats import DAY_S, SIZES
from streamer.runtime.stream_processor import StreamProcessor
from streamer.timefmt import seconds

# Fewer events say nothing about time, and a handful of incidents more than expected says nothing
# about a rate.
LEAST_EVENTS, SPARE_ALERTS = 500, 5
LEAST_UNSURE = 20
SURE = 3.0  # standard errors
# A batch of 60 events takes four times as long an event as one of 2,000: only batches of one class
# are compared, and only where enough were seen. Below the least time nothing is called slow.
LEAST_BATCHES, LEAST_EVENT_S = 4, 20e-6


class WatchBounds(Protocol):
    """What a promoted model may do (config: model.watch)."""

    @property
    def max_alert_ratio(self) -> float: ...

    @property
    def min_alert_ratio(self) -> float: ...

    @property
    def max_nan_share(self) -> float: ...

    @property
    def max_latency_ratio(self) -> float: ...


@dataclass(frozen=True, slots=True)
class JudgedCounts:
    """What was judged so far, or in a span: events, incidents opened, events without a score.

    `promised` is how many incidents the alert budgets allow in the same event time; `paces` (3,
    SIZES) batches, events and seconds of judging by class of size.
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
    """The totals of all streams."""
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


def breach(before: JudgedCounts, after: JudgedCounts, bounds: WatchBounds) -> str | None:
    """Which bound the span after a promotion breaks against the span before it, in words; None if
    none.
    """
    if after.unsure > max(LEAST_UNSURE, bounds.max_nan_share * after.events):
        return f"{after.unsure} of {after.events} events have no score"
    known = before.events >= LEAST_EVENTS
    usual = before.opened * after.events / before.events if known else 0.0
    expected = max(usual, after.promised)
    allowed = bounds.max_alert_ratio * expected + SPARE_ALERTS
    if after.opened > allowed:
        return (
            f"{after.opened} incidents in {after.events} events, {expected:.1f} were expected, "
            f"{allowed:.0f} allowed"
        )
    if mute(after.opened, usual, after.promised, bounds):
        return (
            f"{after.opened} incidents in {after.events} events, where {usual:.0f} were usual: "
            f"it has fallen silent"
        )
    return _slower(before.paces, after.paces, bounds.max_latency_ratio)


def mute(opened: int, usual: float, promised: float, bounds: WatchBounds) -> bool:
    """Whether so few incidents are surely below a share of both what was usual and what the alert
    budgets promise.

    The root of a Poisson count has the standard error 1/2 (Anscombe, The transformation of Poisson,
    binomial and negative-binomial data, 1948).
    """
    least = bounds.min_alert_ratio * min(usual, promised)
    return 2 * (math.sqrt(least) - math.sqrt(opened + 1)) > SURE


def _slower(before: F64, after: F64, ratio: float) -> str | None:
    """In words, if what was judged took longer than `ratio` times what batches of the same sizes
    took before.
    """
    shared = (before[0] >= LEAST_BATCHES) & (after[0] > 0)
    events, took_s = after[1:, shared].sum(axis=1)
    usual_s = float((after[0, shared] * before[2, shared] / before[0, shared]).sum())
    if events < LEAST_EVENTS or took_s <= max(ratio * usual_s, LEAST_EVENT_S * events):
        return None
    event_us = 1e6 / events
    return (
        f"an event takes {took_s * event_us:.0f} us, {usual_s * event_us:.0f} us before in "
        f"batches of the same sizes"
    )


def left_s(
    moves: Sequence[Move], alias: str, version: str, *, period_s: float, now_s: float
) -> float:
    """What is left of a watch period at a time in seconds since 1970, by the audit trail (oldest
    move first).

    It runs from the promotion that let the version judge; 0 once it is over, and where the version
    came by a rollback.
    """
    last = next((move for move in reversed(moves) if alias in move.changes), None)
    if (
        last is None
        or last.changes[alias] != version
        or last.changes.get("previous", version) is None
    ):
        return 0.0
    age_s = now_s - seconds(last.at)
    return min(max(period_s - age_s, 0.0), period_s)


class Watch:
    """One watch period: from a promotion for `period_s`. `step` gives the reason to roll back, from
    then on.
    """

    def __init__(
        self,
        version: str,
        before: JudgedCounts,
        start: JudgedCounts,
        bounds: WatchBounds,
        *,
        until_s: float,
    ) -> None:
        """`before` is the span before the promotion, `start` the totals at it."""
        self.version, self.over = version, False
        self._broken: str | None = None
        self._before, self._start, self._bounds, self._until_s = before, start, bounds, until_s

    def step(self, now: JudgedCounts, now_s: float) -> str | None:
        if not self.over:
            self._broken = breach(self._before, now.since(self._start), self._bounds)
            self.over = self._broken is not None or now_s >= self._until_s
        return self._broken
