"""Leases of partitions and their commits: state without a client and without a clock.

The client's thread takes partitions away while others ask, so any thread may call every method.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from streamer.event import Lease, Position

Place = tuple[str, int]  # topic, partition
NOTE_BYTES = 4000  # brokers refuse more than 4096 by default, and then every commit would fail


class Epochs:
    """Counts the assignments of every partition, from 1."""

    def __init__(self) -> None:
        self._last: Counter[Place] = Counter()
        self._lock = threading.Lock()

    def following(self, place: Place) -> int:
        with self._lock:
            self._last[place] += 1
            return self._last[place]


OF_THIS_PROCESS = Epochs()


class Leases:
    """The partitions held now.

    Each assignment is a new lease; an ended lease never becomes valid again.
    """

    def __init__(self, epochs: Epochs = OF_THIS_PROCESS) -> None:
        self._epochs = epochs
        self._held: dict[Place, Lease] = {}

    def grant(self, topic: str, partition: int) -> Lease:
        """Create a lease; a previous lease of the partition ends."""
        place = (str(topic), int(partition))
        lease = self._held[place] = Lease(*place, self._epochs.following(place))
        return lease

    def drop(self, topic: str, partition: int) -> Lease | None:
        """End the lease of a partition and return it; None if there was none."""
        return self._held.pop((topic, partition), None)

    def of(self, topic: str, partition: int) -> Lease | None:
        return self._held.get((topic, partition))

    def holds(self, lease: Lease) -> bool:
        return self._held.get((lease.topic, lease.partition)) == lease

    def held(self) -> list[Lease]:
        return list(self._held.values())


class Commits:
    """The newest wanted position per lease, the commit in flight, and confirmed positions.

    Only one commit is in flight at a time, so an older one never arrives after a newer one.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._lock = threading.Lock()
        self._wanted: dict[Lease, Position] = {}
        self._confirmed: dict[Lease, Position | None] = {}  # its keys are the valid leases
        self._flying = False
        self._next_s = float("-inf")

    def grant(self, lease: Lease, confirmed: Position | None) -> None:
        """Accept positions of this lease; `confirmed` is the position in the log."""
        with self._lock:
            self._confirmed[lease] = confirmed

    def drop(self, lease: Lease) -> None:
        """Forget a lease and its wanted positions."""
        with self._lock:
            self._wanted.pop(lease, None)
            self._confirmed.pop(lease, None)

    def put(self, positions: Mapping[Lease, Position]) -> None:
        """Set wanted positions; skip invalid leases and positions that are not ahead."""
        with self._lock:
            for lease, position in positions.items():
                best = self._wanted.get(lease) or self._confirmed.get(lease)
                if lease in self._confirmed and ahead(position, best):
                    self._wanted[lease] = position

    def due(self, now_s: float) -> dict[Lease, Position]:
        """Return what to send now, and count it as in flight.

        Empty while a commit is in flight, or before the interval has passed.
        """
        with self._lock:
            if self._flying or not self._wanted or now_s < self._next_s:
                return {}
            self._flying, self._next_s = True, now_s + self._every_s
            return dict(self._wanted)

    def confirm(self, sent: Mapping[Lease, Position]) -> None:
        """Record positions as confirmed; newer wanted positions go with the next commit."""
        with self._lock:
            self._flying = False
            for lease, position in sent.items():
                if lease in self._confirmed and ahead(position, self._confirmed[lease]):
                    self._confirmed[lease] = position
                if self._wanted.get(lease) == position:
                    del self._wanted[lease]

    def fail(self) -> None:
        """Record that the commit failed or has no answer.

        Its positions are sent again when the next commit is due.
        """
        with self._lock:
            self._flying = False

    def owed(self, leases: Iterable[Lease] | None = None) -> dict[Lease, Position]:
        """Wanted and not yet confirmed positions, of these leases or of all."""
        with self._lock:
            chosen = self._wanted if leases is None else self._wanted.keys() & set(leases)
            return {lease: self._wanted[lease] for lease in chosen}

    def confirmed(self, lease: Lease) -> int | None:
        position = self._confirmed.get(lease)
        return None if position is None else position.offset


def ahead(new: Position, old: Position | None) -> bool:
    """Whether `new` has a later offset, or another note at the same offset."""
    return (
        old is None
        or new.offset > old.offset
        or (new.offset == old.offset and new.note != old.note)
    )


def fitting(note: str) -> str:
    """Return the note; "" if it is too long for a broker, because the position matters more."""
    return note if len(note.encode()) <= NOTE_BYTES else ""


def offsets_of(positions: Mapping[Lease, Position]) -> dict[Any, Any]:
    """Offsets and metadata by partition, as the client expects them."""
    from kafka.structs import OffsetAndMetadata, TopicPartition

    return {
        TopicPartition(lease.topic, lease.partition): OffsetAndMetadata(
            position.offset, fitting(position.note), -1
        )
        for lease, position in positions.items()
    }
