"""The offset from which a partition is read when it is assigned.

This is the offset of its snapshot, or an offset before its committed position.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from streamer.errors import StoreError
from streamer.failpoints import failpoint
from streamer.protocols import FoundPosition, Restore
from streamer.runtime.snapshot_format import Snapshot, SnapshotStore, Unusable

FINE = frozenset({"restored", "stale", "none"})

log = structlog.get_logger()

# returns why the detectors refuse these parts, or None
Fits = Callable[[Sequence[bytes]], str | None]


@dataclass(frozen=True, slots=True)
class Note:
    """The note beside a committed position: the newest snapshot, and the model that judged."""

    snapshot: int | None = None  # its offset
    model: str = ""


def note_of(snapshot: int | None, model: str) -> str:
    """Return the note as short JSON: a broker allows 4,096 bytes of metadata per position."""
    return json.dumps({"snapshot": snapshot, "model": model[:200]}, separators=(",", ":"))


def read_note(text: str) -> Note:
    """Return the note of a commit; an empty one if another program wrote it."""
    try:
        found = json.loads(text)
    except ValueError:
        return Note()
    if not isinstance(found, dict):
        return Note()
    snapshot, model = found.get("snapshot"), found.get("model")
    known = isinstance(snapshot, int) and not isinstance(snapshot, bool)
    return Note(snapshot if known else None, model if isinstance(model, str) else "")


@dataclass(slots=True)
class Restores:
    """Counts of restored partitions by outcome.

    Written by the reader's thread, read by any. Snapshot used: `restored`, of them `stale` (older
    than the commit's note says, still valid). Not used: `none` (no snapshot, and the note names
    none), `missing`, `torn`, `other_format`, `foreign`, `other_schema`, `newer_than_commit`,
    `expired`, `store_down`.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    reread: int = 0  # records to be read again to rebuild memory

    @property
    def ignored(self) -> int:
        """Number of snapshots that were missing or could not be used."""
        return sum(count for outcome, count in self.outcomes.items() if outcome not in FINE)


def check(snapshot: Snapshot, found: FoundPosition, misfit: str | None) -> None:
    """Raise Unusable, with a reason, if the partition cannot continue from the snapshot.

    A pure function.
    """
    if misfit is not None:
        raise Unusable("other_schema", misfit)
    if snapshot.offset > found.position:
        raise Unusable(
            "newer_than_commit",
            f"the snapshot is at {snapshot.offset}, committed is {found.position}",
        )
    if snapshot.offset < found.log_start:
        raise Unusable(
            "expired", f"the snapshot is at {snapshot.offset}, the log starts at {found.log_start}"
        )


def rebuild_from(found: FoundPosition, rebuild_events: int) -> int:
    """Return the offset to start from without a snapshot.

    It is `rebuild_events` before the position, but not before the start of the log. A pure
    function.
    """
    return min(max(found.log_start, found.position - rebuild_events), found.position)


class Restoring:
    """The streamer.protocols.Restorer of one stream.

    Called on the reader's thread; store errors are counted and do not raise.
    """

    def __init__(
        self,
        shelf: SnapshotStore | None,
        fits: Fits,
        rebuild_events: int,
        counters: Restores | None = None,
    ) -> None:
        """Rebuild every partition from its log if `shelf` is None (no store configured)."""
        self._shelf, self._fits, self._rebuild_events = shelf, fits, rebuild_events
        self.counters = counters or Restores()

    def __call__(self, found: FoundPosition) -> Restore:
        snapshot = self._wanted(found)
        failpoint("after_restore_read")
        start = rebuild_from(found, self._rebuild_events) if snapshot is None else snapshot.offset
        self.counters.reread += found.position - start
        return Restore(start, () if snapshot is None else snapshot.parts)

    def _wanted(self, found: FoundPosition) -> Snapshot | None:
        try:
            snapshot = self._usable(found)
        except StoreError as exc:
            self._count(
                exc.reason if isinstance(exc, Unusable) else "store_down", found, problem=str(exc)
            )
            return None
        if snapshot is None:
            self._count("none", found)
            return None
        self._count("restored", found, offset=snapshot.offset)
        if snapshot.offset < (read_note(found.note).snapshot or 0):
            self.counters.outcomes["stale"] += 1
        return snapshot

    def _usable(self, found: FoundPosition) -> Snapshot | None:
        """Return the partition's snapshot; None if there is none and the note names none."""
        if self._shelf is None:
            return None
        snapshot, promised = (
            self._shelf.get(found.topic, found.partition),
            read_note(found.note).snapshot,
        )
        if snapshot is not None:
            check(snapshot, found, self._fits(snapshot.parts))
        elif promised is not None:
            raise Unusable(
                "missing", f"the commit names a snapshot at {promised}, the store has none"
            )
        return snapshot

    def _count(self, outcome: str, found: FoundPosition, **said: object) -> None:
        self.counters.outcomes[outcome] += 1
        tell = log.info if outcome in FINE else log.warning
        tell(
            "partition_restored",
            topic=found.topic,
            partition=found.partition,
            snapshot=outcome,
            **said,
        )
