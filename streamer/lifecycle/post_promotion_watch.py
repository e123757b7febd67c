"""The watch after a promotion: a champion that breaks a bound is rolled back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from streamer.config import Model
from streamer.lifecycle.judged_counts import JudgedCounts, sample
from streamer.lifecycle.promotion_rules import WATCHED, WatchBounds, breach, left_s
from streamer.protocols import Clock, Move
from streamer.runtime.stream_processor import StreamProcessor

log = structlog.get_logger()


class Watch:
    """One watch period, which ends at `until_s` or when a bound is broken."""

    def __init__(
        self,
        version: str,
        before: JudgedCounts,
        start: JudgedCounts,
        bounds: WatchBounds,
        *,
        until_s: float,
    ) -> None:
        """Take `before`, the counts before the promotion, and `start`, the totals at it."""
        self.version, self.over = version, False
        self._broken: str | None = None
        self._before, self._start, self._bounds, self._until_s = before, start, bounds, until_s

    def step(self, now: JudgedCounts, now_s: float) -> str | None:
        """Return the broken bound in words; None while none is broken."""
        if not self.over:
            self._broken = breach(self._before, now.since(self._start), self._bounds)
            self.over = self._broken is not None or now_s >= self._until_s
        return self._broken


class PostPromotionWatch:
    """The watch of the newest promotion, during its period. Used by the follower's thread."""

    def __init__(
        self,
        section: Model,
        processors: Sequence[StreamProcessor],
        roll_back: Callable[[str, str], None],
        *,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        """Call `roll_back` with a version and the reason."""
        self.watch: Watch | None = None
        self._section, self._processors, self._roll_back = section, tuple(processors), roll_back
        self._clock, self._wall = clock, wall
        self._since = JudgedCounts()  # totals when the current network took over

    def switched(self, promoted: str | None, totals: JudgedCounts) -> None:
        """Start a watch if the network that took over at `totals` was `promoted`; else end it."""
        before, self._since, self.watch = totals.since(self._since), totals, None
        if promoted is not None:
            period = self._section.watch
            until_s = self._clock() + float(period.for_)
            self.watch = Watch(promoted, before, totals, period, until_s=until_s)

    def resume(
        self, aliases: Mapping[str, str], version: str, moves: Callable[[], Sequence[Move]]
    ) -> None:
        """Watch the current version for the rest of its period after a restart.

        It is compared with the alert budgets only. The counts before the promotion are unknown, so
        its speed is not judged.
        """
        alias, period = self._section.alias, self._section.watch
        if self.watch is not None or alias not in WATCHED or aliases.get(alias) != version:
            return
        period_s = float(period.for_)
        left = left_s(moves(), alias, version, period_s=period_s, now_s=self._wall())
        if left > 0:
            start, until_s = sample(self._processors), self._clock() + left
            self.watch = Watch(version, JudgedCounts(), start, period, until_s=until_s)
            log.info("model_watch_resumed", model=version, left_s=round(left))

    def step(self) -> None:
        """Roll back a version that breaks a bound; end the watch after its period."""
        watch = self.watch
        if watch is None:
            return
        broken = watch.step(sample(self._processors), self._clock())
        if broken is not None:
            self._roll_back(watch.version, broken)
        if watch.over:
            log.info("model_watch_over", model=watch.version, kept=broken is None)
            self.watch = None
