"""The five seams: Source, Sink, Scorer, Store, Registry, and the Clock alias.

Each has one contract suite in tests/contracts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeVar, runtime_checkable

from streamer.event import (
    F32,
    Alert,
    EventBatch,
    Lease,
    Message,
    ModelRef,
    Poll,
    Position,
    Rejected,
    Scores,
)

Clock = Callable[[], float]


@runtime_checkable
class Source(Protocol):
    """Brings records in log order. Used by one thread; `close`, `holds` and the attributes may come
    from another.
    """

    channels: tuple[str, ...]

    @property
    def problem(self) -> str | None:
        """Why nothing comes although something may be there; None where all is well. It goes on
        being polled.
        """

    @property
    def at_end(self) -> bool:
        """Whether everything there was has been brought; never while partitions are moving between
        members.
        """

    @property
    def lags(self) -> Mapping[Lease, int]:
        """Records that are there and not read yet, per lease, as far as known. None of sources
        without partitions.
        """

    @property
    def truncations(self) -> int:
        """How often a log turned out to end before our position, and was read anew. 0 of sources
        without partitions.
        """

    def poll(self, timeout_s: float) -> Poll | None:
        """Wait at most `timeout_s` for records. An empty Poll means nothing yet, None means the end
        for ever.
        """

    def pause(self) -> None:
        """Bring nothing until `resume`; poll keeps returning empty Polls and must go on being
        called.
        """

    def resume(self) -> None: ...

    def holds(self, lease: Lease) -> bool:
        """Whether what was read under this lease still counts. Always, for sources without
        partitions.
        """

    def commit(self, positions: Mapping[Lease, Position]) -> None:
        """Remember, per lease, the first offset still needed; leases that are gone are passed over.

        It may be done a little later and is done at `close`. Sources without memory ignore it.
        """

    def committed(self, lease: Lease) -> int | None:
        """The position that the log has confirmed; None before the first. Sources without memory
        never have one.
        """

    def close(self) -> None:
        """Release everything. Idempotent."""


@dataclass(frozen=True, slots=True)
class FoundPosition:
    """What a log knows of a partition that just came: positions are offsets."""

    topic: str
    partition: int
    position: int  # the committed one, or where the configuration starts a group without one
    note: str  # kept beside the committed position; "" if there is none
    log_start: int
    log_end: int
    partitions: int = 1  # of the topic


@dataclass(frozen=True, slots=True)
class Restore:
    """How a partition's memory is rebuilt: read from `start` <= position on, after loading `memory`
    (if any).
    """

    start: int
    memory: tuple[bytes, ...] = ()


Restorer = Callable[[FoundPosition], Restore]
Item_contra = TypeVar("Item_contra", contravariant=True)


@runtime_checkable
class Outgoing(Protocol[Item_contra]):
    """Takes items to deliver, in order. `send` never blocks for long; `flush` tells the truth about
    delivery.
    """

    def send(self, item: Item_contra, /) -> None: ...

    def flush(self, timeout_s: float) -> int:
        """Wait for delivery; return how many items, from the oldest undelivered one on, are not
        acknowledged yet.
        """

    def close(self) -> None:
        """Flush what can be flushed and release everything. Idempotent."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A rejected record on its way to the dead letters."""

    stream: str
    record: Rejected
    at: str  # RFC 3339, when it was rejected


Sink = Outgoing[Message]
DeadLetters = Outgoing[Letter]


@runtime_checkable
class ScoreSink(Protocol):
    """Takes the continuous score of every event, a batch at a time."""

    def write(self, batch: EventBatch, scores: Scores, key: int) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StepOut:
    """What the network says about one event per row, before it learns of the event.

    delta (N, C): forecast of the scaled value, relative to `Scorer.forecast_from`.
    value (N, C, 3M), gap (N, 3G), hour (N, 24): density parameters (see detect.density).
    attention (N,): logit of the event.
    """

    value_state: F32  # (N, C, V)
    rhythm_state: F32  # (N, Q)
    delta: F32
    value: F32
    gap: F32
    hour: F32
    attention: F32


@runtime_checkable
class Network(Protocol):
    """One step of a network for a batch of rows: a pure function of its arguments."""

    ref: ModelRef
    value_width: int  # V
    rhythm_width: int  # Q
    forecast_from: str  # "last": delta is added to the last scaled value; "location": to 0
    has_rhythm: bool

    def step(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> StepOut:
        """x (N, C, F1) value features, r (N, F2) rhythm features of the event. Results are owned by
        the caller.
        """

    def replay(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> tuple[F32, F32, F32]:
        """The states after T events, x (T, N, C, F1) and r (T, N, F2), and the attention logits (T,
        N) of their steps.

        No event is judged.
        """


@runtime_checkable
class Store(Protocol):
    """Small named blobs, written whole: a reader sees the old one or the new one, never
    a mixture.
    """

    def put(self, name: str, blob: bytes) -> None: ...

    def get(self, name: str) -> bytes | None: ...

    def names(self, prefix: str = "") -> Sequence[str]: ...

    def delete(self, name: str) -> None: ...


ALIASES = ("champion", "challenger", "previous", "edge")
ANYWHERE: Mapping[str, str | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Move:
    """One entry of an audit trail: when (RFC 3339), which aliases went where (None: nowhere), why,
    by whom.
    """

    at: str
    changes: Mapping[str, str | None]
    why: str
    by: str = ""


@runtime_checkable
class Registry(Protocol):
    """Immutable model versions and the aliases (ALIASES) that point at them. Any thread may call
    it.

    StoreError where it cannot be read or written; it says what to do, and nothing has changed then.
    """

    def versions(self) -> Sequence[str]:
        """Every version that is whole, in the order of publication, oldest first."""

    def publish(self, bundle: Path) -> str:
        """Take a bundle directory in, verified, and return its version. Never visible half-written.

        The same version with the same SHA-256 changes nothing, but for a signature that was
        lacking: it is added. ModelError if the bundle cannot be used or its name is an alias,
        StoreError if the version is there with another SHA-256.
        """

    def path(self, name: str) -> Path:
        """Directory of a version or alias, on this machine, its parts as their hashes say; it is
        only read.

        ModelError if there is none, or what is there is damaged.
        """

    def aliases(self) -> Mapping[str, str]:
        """Version by alias, for the aliases that point anywhere."""

    def move(
        self,
        changes: Mapping[str, str | None],
        *,
        expected: Mapping[str, str | None] = ANYWHERE,
        why: str = "",
    ) -> bool:
        """Let aliases point at versions (None: nowhere), all at once, if those in `expected` point
        where it says.

        False, and nothing has changed, if they do not. True also if everything was in place
        already. What moved is in `moves`. ModelError if there is no such alias or version.
        """

    def moves(self) -> Sequence[Move]:
        """The audit trail, newest last; it holds the last thousand at least."""

    def remove(self, version: str) -> None:
        """Forget a version. ModelError if there is none or an alias points at it."""

    def wait(self, seen: Mapping[str, str], timeout_s: float) -> Mapping[str, str] | None:
        """The aliases as soon as they differ from `seen`; None after `timeout_s` at the latest, or
        once closed.
        """

    def close(self) -> None:
        """Release everything, and let who waits go on. Idempotent."""


class BackgroundTask(Protocol):
    """A loop beside the flow, in a thread of its own: it may fail and hang, and costs the flow
    nothing.
    """

    name: str

    def run(self, stop: threading.Event) -> None:
        """Until the event; then leave within a second or two, and release everything."""


class JudgedBatch(Protocol):
    """Scores of a batch, row by row, and the alerts that it raised (see
    streamer.detect.pipeline.Judged).
    """

    @property
    def scores(self) -> Scores: ...

    @property
    def alerts(self) -> list[Alert]: ...
