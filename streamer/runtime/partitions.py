"""What a stream remembers per partition: detectors, event clock and place in the log, from
assignment to revocation.
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
    """What the service needs of a detector (streamer.detect.pipeline.Detector)."""

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

# by the number of partitions of the topic; one judge per entity key
OpenJudges = Callable[[int], Sequence[LiveDetector]]


@dataclass(slots=True)
class Partition:
    """One lease's memory."""

    lease: Lease
    detectors: Sequence[LiveDetector]
    clock: EventClock
    position: int = (
        0  # records before it were judged before a restart: they only rebuild the memory
    )
    after: int = 0  # where the log goes on behind what the judges have seen
    kept: int = -1  # offset of the newest snapshot that was taken
    kept_at: float = float("-inf")
    labels_heard: int = 0  # number of the newest label that the detectors were given

    @property
    def is_live(self) -> bool:
        """Its memory is rebuilt: what it finds from now on is told."""
        return self.after >= self.position

    @property
    def ref(self) -> ModelRef:
        """The model that judges it."""
        return self.detectors[0].ref


class Partitions:
    """The partitions that a stream holds, or the whole of a source that has none."""

    def __init__(self, open_judges: OpenJudges, pace: float) -> None:
        self._open, self._pace = open_judges, pace
        self._held: dict[Lease, Partition] = {}
        self._whole: Partition | None = None
        self._evicted: dict[int, Counter[str]] = {}  # of judges that are gone, by key
        self._out_of_order = 0
        # partitions that came ("assigned") and went ("revoked")
        self.moves: Counter[str] = Counter()

    @classmethod
    def whole(cls, detectors: Sequence[LiveDetector], pace: float) -> Partitions:
        """Of a source without partitions: whatever comes belongs to these judges."""
        made = cls(lambda partitions: detectors, pace)
        made._whole = made._opened(Lease("", 0), 1)
        return made

    def __iter__(self) -> Iterator[Partition]:
        return iter(list(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)

    def of(self, lease: Lease) -> Partition:
        """The partition of a lease, opened if it is new."""
        held = self._whole or self._held.get(lease)
        return self._opened(lease, 1) if held is None else held

    def assign(self, assigned: Assigned) -> Partition:
        """A partition came, with the memory that was found for it; without it, loudly, if that does
        not fit.
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
        """The partition went: its memory is forgotten, its counts stay."""
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
        """Judges of all partitions by entity key."""
        found: dict[int, list[LiveDetector]] = {}
        for partition in self:
            for key, judge in enumerate(partition.detectors):
                found.setdefault(key, []).append(judge)
        return found

    def evicted(self) -> dict[int, Counter[str]]:
        """Evictions by entity key and reason, of present and past judges."""
        total = {key: Counter(counts) for key, counts in self._evicted.items()}
        for key, detectors in self.by_key().items():
            for judge in detectors:
                total.setdefault(key, Counter()).update(judge.evicted)
        return total

    def _opened(self, lease: Lease, partitions: int) -> Partition:
        held = self._held[lease] = Partition(lease, self._open(partitions), EventClock(self._pace))
        return held
