"""The hot swap of a network between two batches.

Its lanes are rebuilt beside the old ones, in slices.
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

# Duration of a slice. If judging takes longer, a slice may take this share of the time since the
# last one, so that a busy service finishes too.
SLICE_S, SLICE_SHARE = 0.008, 0.25
# One slot costs nearly as much as several. With four channels: 1 ms for one, 5 ms for 8, 37 ms for
# 120 (litert); 7 ms for one, 16 ms for 8 (numpy).
LEAST_SLOTS, MOST_SLOTS = 8, 1024


@dataclass(frozen=True, slots=True)
class Successor:
    """A verified network to swap in, and the facts for its model event."""

    loaded: LoadedModel
    event: str = "promoted"  # | "rolledback"
    why: str = ""
    move: str = ""  # identifies the move, the same in every replica
    trained_s: float | None = None


def next_slots(slots: int, *, took_s: float, allowed_s: float) -> int:
    """Return the number of slots of the next slice, so that it takes `allowed_s`.

    At most twice the number of the last slice.
    """
    fitting = slots * allowed_s / max(took_s, 1e-9)
    return int(min(max(fitting, LEAST_SLOTS), 2 * slots, MOST_SLOTS))


class Rebuilding:
    """Rebuilds many detectors in slices of bounded duration."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._slots, self._ended = clock, LEAST_SLOTS, clock()

    def slice(self, detectors: Sequence[LiveDetector]) -> bool:
        """Rebuild a slice; return True once nothing is left."""
        started = self._clock()
        allowed_s = max(SLICE_S, SLICE_SHARE * (started - self._ended))
        left, used = self._spend(detectors)
        self._ended = self._clock()
        if used == self._slots:
            self._slots = next_slots(used, took_s=self._ended - started, allowed_s=allowed_s)
        return not left

    def _spend(self, detectors: Sequence[LiveDetector]) -> tuple[int, int]:
        """Return the slots that are left, and the slots that were rebuilt."""
        left, room = 0, self._slots
        for judge in detectors:
            before = judge.rebuild(0)
            after = judge.rebuild(room) if room and before else before
            room -= before - after
            left += after
        return left, self._slots - room


class Swapper:
    """Swaps successors in, on the scoring thread.

    Any thread may call `offer`; a later offer replaces an earlier one.
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
        """Whether a successor is offered or being prepared."""
        return self._offered is not None or self._coming is not None

    def step(self) -> bool:
        """Do a slice of the work; return False if there is none."""
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
        """Rebuild a slice, of newly assigned partitions too; return whether all are ready."""
        detectors = [judge for processor in self._processors for judge in processor.detectors]
        loaded = coming.loaded
        for judge in detectors:
            if judge.coming != loaded.network.ref:
                judge.prepare(loaded.network, loaded.spec, loaded.prior)
        return self._rebuilding.slice(detectors)

    def _switch(self, coming: Successor) -> None:
        """Switch all detectors of all streams; no batch is judged in between."""
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
        self._coming = None  # set last: when another thread sees None, the switch is counted
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
    """Return the event of a switch. Its id depends on the move alone, so replicas send the same."""
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
