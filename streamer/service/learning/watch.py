"""After a promotion: alert rate, events without a score, and time per event against what they were before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from streamer.protocols import Move
from streamer.service.line import Line
from streamer.service.tally import DAY_S

# Fewer events say nothing about time, and a handful of incidents more than expected says nothing about a rate.
LEAST_EVENTS, SPARE_ALERTS = 500, 5
LEAST_UNSURE = 20
# Batches of other sizes cost other times an event: below this nothing is called slow.
LEAST_EVENT_S = 20e-6


class Bounds(Protocol):
    """What a promoted model may do (config: model.watch)."""

    @property
    def max_alert_ratio(self) -> float: ...

    @property
    def max_nan_share(self) -> float: ...

    @property
    def max_latency_ratio(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """What was judged so far, or in a span: events, incidents opened, events without a score, seconds of judging.

    `promised` is how many incidents the alert budgets allow in the same event time.
    """

    events: int = 0
    opened: int = 0
    unsure: int = 0
    seconds: float = 0.0
    promised: float = 0.0

    def since(self, before: Sample) -> Sample:
        return Sample(
            self.events - before.events, self.opened - before.opened, self.unsure - before.unsure,
            self.seconds - before.seconds, self.promised - before.promised,
        )  # fmt: skip

    @property
    def event_s(self) -> float:
        return self.seconds / self.events if self.events else 0.0


def sample(lines: Sequence[Line]) -> Sample:
    """The totals of all streams."""
    tallies = [line.tally for line in lines]
    opened = sum(n for tally in tallies for (_, event), n in dict(tally.alerts).items() if event == "opened")
    return Sample(
        sum(sum(dict(tally.scored).values()) for tally in tallies), opened, sum(tally.unsure for tally in tallies),
        sum(tally.score_s.total for tally in tallies), sum(map(_promised, lines)),
    )  # fmt: skip


def _promised(line: Line) -> float:
    return line.promised_per_day * max(line.tally.last_s - line.tally.first_s, 0.0) / DAY_S


def breach(before: Sample, after: Sample, bounds: Bounds) -> str | None:
    """Which bound the span after a promotion breaks against the span before it, in words; None if none."""
    if after.unsure > max(LEAST_UNSURE, bounds.max_nan_share * after.events):
        return f"{after.unsure} of {after.events} events have no score"
    known = before.events >= LEAST_EVENTS
    expected = max(before.opened * after.events / before.events if known else 0.0, after.promised)
    allowed = bounds.max_alert_ratio * expected + SPARE_ALERTS
    if after.opened > allowed:
        return f"{after.opened} incidents in {after.events} events, {expected:.1f} were expected, {allowed:.0f} allowed"
    if known and after.events >= LEAST_EVENTS:
        limit_s = max(bounds.max_latency_ratio * before.event_s, LEAST_EVENT_S)
        if after.event_s > limit_s:
            return f"an event takes {after.event_s * 1e6:.0f} us, {before.event_s * 1e6:.0f} us before"
    return None


def left_s(moves: Sequence[Move], alias: str, version: str, *, period_s: float, now_s: float) -> float:
    """What is left of a watch period at a time in seconds since 1970, by the audit trail (oldest move first).

    It runs from the promotion that let the version judge; 0 once it is over, and where the version came by a rollback.
    """
    last = next((move for move in reversed(moves) if alias in move.changes), None)
    if last is None or last.changes[alias] != version or last.changes.get("previous", version) is None:
        return 0.0
    age_s = now_s - datetime.fromisoformat(last.at).timestamp()
    return min(max(period_s - age_s, 0.0), period_s)


class Watch:
    """One watch period: from a promotion for `period_s`. `turn` gives the reason to roll back, once."""

    def __init__(self, version: str, before: Sample, start: Sample, bounds: Bounds, *, until_s: float) -> None:
        """`before` is the span before the promotion, `start` the totals at it."""
        self.version, self.over = version, False
        self._before, self._start, self._bounds, self._until_s = before, start, bounds, until_s

    def turn(self, now: Sample, now_s: float) -> str | None:
        if self.over:
            return None
        broken = breach(self._before, now.since(self._start), self._bounds)
        self.over = broken is not None or now_s >= self._until_s
        return broken
