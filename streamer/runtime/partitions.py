"""The state of a stream per partition: detectors, event clock and position in the log.

It exists from the assignment of a partition to its revocation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from streamer.artifact import ModelSpec
from streamer.detect.alerts.feedback import Earlier, Effect
from streamer.errors import StoreError
from streamer.event import I64, Alert, Assigned, EventBatch, Lease, ModelRef
from streamer.journal import Label
from streamer.protocols import JudgedBatch, Network
from streamer.runtime.event_clock import EventClock
from streamer.runtime.snapshot_writer import FrozenState


class LiveDetector(Protocol):
    """The methods of a detector that the service uses (streamer.detect.pipeline.Detector)."""

    fates: I64
    ref: ModelRef
    now_s: float | None  # event time of its last tick

    def process(self, batch: EventBatch) -> JudgedBatch: ...

    def tick(self, now_s: float) -> list[Alert]: ...

    def anchor_ahead(self) -> None: ...

    def apply_labels(
        self,
        labels: Sequence[Label],
        note: Callable[[Effect], None] = ...,
        earlier: Earlier | None = ...,
    ) -> list[Alert]: ...

    def take_fresh(self, among: Collection[str]) -> list[str]: ...

    def load(self, blob: bytes) -> None: ...

    def freeze(self) -> FrozenState: ...

    @property
    def coming(self) -> ModelRef | None: ...

    def prepare(
        self, scorer: Network, spec: ModelSpec, prior: Mapping[str, Any] | None = None
    ) -> None: ...

    def rebuild(self, most: int) -> int: ...

    def abandon(self) -> None: ...

    def take_over(self) -> None: ...

    def twin(self, wanted: Callable[[str], bool]) -> LiveDetector: ...

    @property
    def memory_bytes(self) -> int: ...

    @property
    def entities_active(self) -> int: ...

    @property
    def evicted(self) -> dict[str, int]: ...

    @property
    def out_of_order(self) -> int: ...

    @property
    def open_incidents(self) -> int: ...


log = structlog.get_logger()

# takes the number of partitions of the topic; returns one detector per entity key
OpenJudges = Callable[[int], Sequence[LiveDetector]]


@dataclass(slots=True)
class Partition:
    """The memory of one lease."""

    lease: Lease
    detectors: Sequence[LiveDetector]
    clock: EventClock
    # records before it were judged before a restart: they only rebuild the memory
    position: int = 0
    after: int = 0  # the offset after the last event the detectors have seen
    kept: int = -1  # offset of the newest snapshot copied
    kept_at: float = float("-inf")
    labels_heard: int = 0  # number of the newest label that the detectors were given

    @property
    def is_live(self) -> bool:
        """Whether its memory is rebuilt, so that its alerts are posted."""
        return self.after >= self.position

    @property
    def ref(self) -> ModelRef:
        """The model that judges the partition."""
        return self.detectors[0].ref


class Partitions:
    """The partitions that a stream holds, or a single one for a source without partitions."""

    def __init__(self, open_judges: OpenJudges, pace: float) -> None:
        self._open, self._pace = open_judges, pace
        self._held: dict[Lease, Partition] = {}
        self._whole: Partition | None = None
        self._evicted: dict[int, Counter[str]] = {}  # of revoked partitions, by entity key
        self._out_of_order = 0
        # counts of assigned ("assigned") and revoked ("revoked") partitions
        self.moves: Counter[str] = Counter()

    @classmethod
    def whole(cls, detectors: Sequence[LiveDetector], pace: float) -> Partitions:
        """Return partitions of a source that has none: all events go to these detectors."""
        made = cls(lambda partitions: detectors, pace)
        made._whole = made._opened(Lease("", 0), 1)
        return made

    def __iter__(self) -> Iterator[Partition]:
        return iter(list(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)

    def of(self, lease: Lease) -> Partition:
        """Return the partition of a lease, opened if it is new."""
        held = self._whole or self._held.get(lease)
        return self._opened(lease, 1) if held is None else held

    def assign(self, assigned: Assigned) -> Partition:
        """Open a partition with the memory that was found for it.

        If that memory does not fit, an error is logged and the partition starts empty.
        """
        self.moves["assigned"] += 1
        partition = self._opened(assigned.lease, assigned.partitions)
        partition.position, partition.after = assigned.position, assigned.start
        try:
            for judge, blob in zip(
                partition.detectors, assigned.memory, strict=bool(assigned.memory)
            ):
                judge.load(blob)
        except (StoreError, ValueError) as exc:
            log.error(
                "memory_refused",
                topic=assigned.lease.topic,
                partition=assigned.lease.partition,
                problem=str(exc),
            )
            partition.detectors = self._open(assigned.partitions)
        partition.clock.now_s = partition.detectors[0].now_s
        return partition

    def revoke(self, lease: Lease) -> None:
        """Remove a partition: its memory is deleted, its counts stay."""
        gone = self._held.pop(lease, None)
        if gone is None:
            return
        self.moves["revoked"] += 1
        self._out_of_order += sum(judge.out_of_order for judge in gone.detectors)
        for key, judge in enumerate(gone.detectors):
            self._evicted.setdefault(key, Counter()).update(judge.evicted)

    @property
    def detectors(self) -> list[LiveDetector]:
        return [judge for partition in self for judge in partition.detectors]

    @property
    def out_of_order(self) -> int:
        return self._out_of_order + sum(judge.out_of_order for judge in self.detectors)

    def by_key(self) -> dict[int, list[LiveDetector]]:
        """Return the detectors of all partitions by entity key."""
        found: dict[int, list[LiveDetector]] = {}
        for partition in self:
            for key, judge in enumerate(partition.detectors):
                found.setdefault(key, []).append(judge)
        return found

    def evicted(self) -> dict[int, Counter[str]]:
        """Return evictions by entity key and reason, of current and revoked partitions."""
        total = {key: Counter(counts) for key, counts in self._evicted.items()}
        for key, detectors in self.by_key().items():
            for judge in detectors:
                total.setdefault(key, Counter()).update(judge.evicted)
        return total

    def _opened(self, lease: Lease, partitions: int) -> Partition:
        held = self._held[lease] = Partition(lease, self._open(partitions), EventClock(self._pace))
        return held
