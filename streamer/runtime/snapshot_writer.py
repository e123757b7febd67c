"""The thread that writes a stream's snapshots after their positions are committed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from streamer.backoff import Backoff
from streamer.errors import StoreError
from streamer.event import Lease
from streamer.failpoints import failpoint
from streamer.protocols import Clock
from streamer.runtime.restore import note_of
from streamer.runtime.snapshot_format import Snapshot, SnapshotStore

log = structlog.get_logger()

POLL_S = 0.1  # seconds between looks at what is committed
PROBE_S = 1.0  # seconds between looks at the store
HUNG_S = 10.0  # a longer write is reported as a problem


class FrozenState(Protocol):
    """A copy of a detector's memory (streamer.detect.snapshot.Frozen)."""

    def encode(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Offered:
    """A snapshot that is not written yet."""

    lease: Lease
    offset: int
    model: str
    parts: Sequence[FrozenState]
    delivered: Callable[[], bool]


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """The newest snapshot of a lease in the store."""

    offset: int
    model: str
    at: float


@dataclass(slots=True)
class SnapshotCounts:
    """Counts of the writer. Written by its thread, read by any."""

    written: int = 0
    failed: int = 0  # attempts to reach the store; waiting snapshots are retried
    dropped: int = 0  # because their partition was revoked first
    bytes: int = 0
    seconds: float = 0.0  # spent on encoding and writing them


class StoreAccess:
    """Calls to the store by the writer's thread: timed, counted, failures logged."""

    def __init__(
        self, store: SnapshotStore, counts: SnapshotCounts, backoff: Backoff, clock: Clock
    ) -> None:
        self._counts = counts
        self._store, self._backoff, self._clock = store, backoff, clock
        self._problem: str | None = None
        self._busy_since: float | None = None
        self._probed_at = float("-inf")

    @property
    def due(self) -> bool:
        """Whether the backoff after the last failure has passed."""
        return self._backoff.due

    @property
    def problem(self) -> str | None:
        """Why nothing is written; None if the store works."""
        since = self._busy_since
        if since is not None and self._clock() - since > HUNG_S:
            return f"the store has not answered for {self._clock() - since:.0f} s"
        return self._problem

    def tried(self, action: Callable[[], object]) -> bool:
        """Call `action`; return whether it succeeded."""
        self._busy_since = self._clock()
        try:
            action()
        except StoreError as exc:
            self.refused(str(exc))
            return False
        finally:
            self._busy_since = None
        return True

    def answers(self) -> bool:
        """Return whether a look at the store was due and succeeded."""
        if self._clock() < self._probed_at + PROBE_S:
            return False
        self._probed_at = self._clock()
        return self.tried(self._store.look)

    def recovered(self) -> None:
        if self._problem is not None:
            log.info("store_is_back", stream=self._store.stream)
        self._problem = None
        self._backoff.succeed()

    def refused(self, problem: str) -> None:
        if self._problem is None:
            log.warning("snapshots_unwritten", stream=self._store.stream, problem=problem)
        self._problem = problem
        self._counts.failed += 1
        self._backoff.fail()


class SnapshotWriter:
    """Writes offered snapshots once the log has confirmed them.

    `run` is its thread; any thread may call the rest. A store that fails is tried again after a
    backoff. Only the newest offer of a lease waits; those of a revoked lease are dropped.
    """

    def __init__(
        self,
        store: SnapshotStore,
        committed: Callable[[Lease], int | None],
        holds: Callable[[Lease], bool],
        *,
        backoff: Backoff | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Take `committed` and `holds` from the source."""
        self.stats = SnapshotCounts()
        self._store, self._committed, self._holds = store, committed, holds
        self._clock = clock
        self._access = StoreAccess(store, self.stats, backoff or Backoff(0.5, 5.0, clock), clock)
        self._empty = threading.Condition()  # guards _waiting and _kept
        self._waiting: dict[Lease, Offered] = {}
        self._kept: dict[Lease, KeptSnapshot] = {}
        self._refused = False  # the newest write failed
        self._hurry = False

    # -- any thread
    def offer(
        self,
        lease: Lease,
        offset: int,
        model: str,
        parts: Sequence[FrozenState],
        delivered: Callable[[], bool] = _always,
    ) -> None:
        """Offer the memory of a partition before the event at `offset`.

        It replaces the waiting offer of the lease. `delivered` says whether every alert raised
        before the copy was made is acknowledged. Alerts of timers belong to no record: a snapshot
        written before one is delivered would lose that alert in a crash.
        """
        with self._empty:
            self._waiting[lease] = Offered(lease, offset, model, parts, delivered)

    def resumed(self, lease: Lease, offset: int, model: str) -> None:
        """Record that the lease was restored from the snapshot at `offset`.

        Its commits name that snapshot until there is a newer one.
        """
        with self._empty:
            self._kept[lease] = KeptSnapshot(offset, model, self._clock())

    def note(self, lease: Lease, model: str) -> str:
        """Return the note of a commit of this lease."""
        kept = self._kept.get(lease)
        return note_of(None if kept is None else kept.offset, model)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def problem(self) -> str | None:
        """Why nothing is written; None if the store works."""
        return self._access.problem

    @property
    def age_s(self) -> float:
        """Age of the oldest snapshot of the held leases; 0 without any."""
        with self._empty:
            oldest = min(
                (kept.at for lease, kept in self._kept.items() if self._holds(lease)), default=None
            )
        return 0.0 if oldest is None else self._clock() - oldest

    def flush(self, timeout_s: float) -> int:
        """Write without backoff until nothing waits; return how many snapshots are left.

        `run` must be running.
        """
        self._hurry = True
        with self._empty:
            self._empty.wait_for(lambda: not self._waiting, timeout_s)
            self._hurry = False
            return len(self._waiting)

    # -- the keeper's thread
    def run(self, stop: threading.Event) -> None:
        """Write until `stop`. Call `flush` before: offers that still wait are not written."""
        while not stop.is_set():
            try:
                self.work()
            # the edge of a thread: without snapshots a restart only reads more
            except Exception as exc:
                log.exception("keeper_failed", stream=self._store.stream)
                self._access.refused(repr(exc))
            stop.wait(POLL_S)

    def work(self) -> None:
        """Write every confirmed snapshot; if there is none, look whether the store answers."""
        self._forget()
        if not (self._hurry or self._access.due):
            return
        ready = [offered for offered in list(self._waiting.values()) if self._confirmed(offered)]
        if ready:
            self._refused = not all(
                self._access.tried(partial(self._write, offered)) for offered in ready
            )
            well = not self._refused
        else:
            # a full store answers too; it works again once it has taken what waits
            well = self._access.answers() and not (self._refused and self._waiting)
        if well:
            self._access.recovered()

    def _confirmed(self, offered: Offered) -> bool:
        committed = self._committed(offered.lease)
        return committed is not None and committed >= offered.offset and offered.delivered()

    def _forget(self) -> None:
        """Drop the offers and notes of leases that are not held."""
        with self._empty:
            for lease in [
                lease for lease in {*self._waiting, *self._kept} if not self._holds(lease)
            ]:
                self.stats.dropped += self._waiting.pop(lease, None) is not None
                self._kept.pop(lease, None)
            self._empty.notify_all()

    def _write(self, offered: Offered) -> None:
        store, lease, started = self._store, offered.lease, self._clock()
        parts = tuple(part.encode() for part in offered.parts)
        failpoint("before_snapshot_put")
        size = store.put(
            Snapshot(
                store.stream,
                store.group,
                lease.topic,
                lease.partition,
                offered.offset,
                offered.model,
                parts,
            )
        )
        failpoint("after_snapshot_put")
        self.stats.written += 1
        self.stats.bytes += size
        self.stats.seconds += self._clock() - started
        with self._empty:
            self._kept[lease] = KeptSnapshot(offered.offset, offered.model, self._clock())
            if self._waiting.get(lease) is offered:
                del self._waiting[lease]
            self._empty.notify_all()
