"""A new network takes over between two batches: its lanes are rebuilt beside the old ones, a slice
at a time.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from streamer.errors import SchemaMismatch
from streamer.event import Message, ModelEvent, ModelRef
from streamer.lifecycle.judged_counts import JudgedCounts, sample
from streamer.protocols import Clock
from streamer.runtime.model import CurrentModel, LoadedModel
from streamer.runtime.outbox import Outbox
from streamer.runtime.partitions import LiveDetector
from streamer.runtime.stream_processor import StreamProcessor
from streamer.timefmt import rfc3339

log = structlog.get_logger()

# A slice takes so long, or this share of the time since the last one where judging takes longer: a
# service that is never idle still comes to an end with it.
SLICE_S, SLICE_SHARE = 0.008, 0.25
# A slot alone costs nearly as much as several: of four channels 1 ms for one, 5 ms for 8, 37 ms for
# 120 (litert); 7 ms for one, 16 ms for 8 (numpy).
LEAST_SLOTS, MOST_SLOTS = 8, 1024


@dataclass(frozen=True, slots=True)
class Successor:
    """A verified network on its way in, and what is told of it."""

    loaded: LoadedModel
    event: str = "promoted"  # | "rolledback"
    why: str = ""
    move: str = ""  # what names the move in every replica
    trained_s: float | None = None


def next_slots(slots: int, *, took_s: float, allowed_s: float) -> int:
    """Slots of the next slice after one of so many, so that it takes what is allowed; at most twice
    as many.
    """
    fitting = slots * allowed_s / max(took_s, 1e-9)
    return int(min(max(fitting, LEAST_SLOTS), 2 * slots, MOST_SLOTS))


class Rebuilding:
    """Slices of rebuilding over many judges, each as long as it may be."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._slots, self._ended = clock, LEAST_SLOTS, clock()

    def slice(self, detectors: Sequence[LiveDetector]) -> bool:
        """Rebuild a slice; True once nothing is left."""
        started = self._clock()
        allowed_s = max(SLICE_S, SLICE_SHARE * (started - self._ended))
        left, used = self._spend(detectors)
        self._ended = self._clock()
        if used == self._slots:
            self._slots = next_slots(used, took_s=self._ended - started, allowed_s=allowed_s)
        return not left

    def _spend(self, detectors: Sequence[LiveDetector]) -> tuple[int, int]:
        """(slots that are left, slots that were looked at)."""
        left, room = 0, self._slots
        for judge in detectors:
            before = judge.rebuild(0)
            after = judge.rebuild(room) if room and before else before
            room -= before - after
            left += after
        return left, self._slots - room


class Swapper:
    """Takes successors in on the scorer's thread. `offer` may come from any; a later one replaces
    one on its way.
    """

    def __init__(
        self,
        current: CurrentModel,
        processors: Sequence[StreamProcessor],
        outbox: Outbox[Message],
        *,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self.current, self.switches = current, 0
        self.totals = JudgedCounts()  # at the last switch
        self._processors, self._outbox, self._clock, self._wall = (
            tuple(processors),
            outbox,
            clock,
            wall,
        )
        self._lock = threading.Lock()
        self._offered: Successor | None = None
        self._coming: Successor | None = None
        self._rebuilding = Rebuilding(clock)
        self._began = 0.0

    def offer(self, successor: Successor) -> None:
        with self._lock:
            self._offered = successor

    @property
    def busy(self) -> bool:
        """Whether somebody is on the way in."""
        return self._offered is not None or self._coming is not None

    def step(self) -> bool:
        """A slice of the work; False if there is none."""
        with self._lock:
            offered, self._offered = self._offered, None
        if offered is not None:
            self._coming, self._began, self._rebuilding = (
                offered,
                self._clock(),
                Rebuilding(self._clock),
            )
        if self._coming is None:
            return False
        try:
            if self._prepared(self._coming):
                self._switch(self._coming)
        except SchemaMismatch as exc:
            self._refuse(self._coming, str(exc))
        return True

    def _prepared(self, coming: Successor) -> bool:
        """Rebuild a slice, of partitions that came meanwhile too; whether everything is ready."""
        detectors = [judge for processor in self._processors for judge in processor.detectors]
        loaded = coming.loaded
        for judge in detectors:
            if judge.coming != loaded.network.ref:
                judge.prepare(loaded.network, loaded.spec, loaded.prior)
        return self._rebuilding.slice(detectors)

    def _switch(self, coming: Successor) -> None:
        """All judges of all streams at once: no batch is judged in between."""
        before, ref = self.current.state.ref, coming.loaded.network.ref
        for processor in self._processors:
            for judge in processor.detectors:
                judge.take_over()
        self.current.loaded, self.totals = coming.loaded, sample(self._processors)
        state = self.current.state
        state.ref, state.fallback, state.trained_s, state.problem = (
            ref,
            None,
            coming.trained_s,
            None,
        )
        state.swaps[coming.event] += 1
        streams = [processor.stream for processor in self._processors]
        self._outbox.post([model_event(coming, before, streams, self._wall())])
        self.switches += 1
        self._coming = None  # last: whoever finds nobody on the way finds the switch counted
        say = log.warning if coming.event == "rolledback" else log.info
        took_ms = round((self._clock() - self._began) * 1e3)
        say(
            "model_swapped",
            outcome=coming.event,
            model=ref.version,
            previous=before.version,
            why=coming.why,
            rebuild_ms=took_ms,
        )

    def _refuse(self, coming: Successor, problem: str) -> None:
        self._coming = None
        for processor in self._processors:
            for judge in processor.detectors:
                judge.abandon()
        self.current.state.problem = problem
        self.current.state.swaps["refused"] += 1
        log.error("model_refused", model=coming.loaded.network.ref.version, problem=problem)


def model_event(
    coming: Successor, previous: ModelRef, streams: Sequence[str], now_s: float
) -> ModelEvent:
    """What is told of a switch. The id hangs on the move alone: replicas tell the same."""
    ref = coming.loaded.network.ref
    identity = "\0".join((coming.event, ref.version, ref.sha256, coming.move))
    back = coming.event == "rolledback"
    told = f"rolled back to {ref.version}" if back else f"{ref.version} judges now"
    return ModelEvent(
        hashlib.sha256(identity.encode()).hexdigest()[:32],
        coming.event,
        rfc3339(now_s),
        list(streams),
        ref,
        previous,
        coming.why,
        f"{told}, instead of {previous.version}" + (f": {coming.why}" if coming.why else ""),
    )
