"""The seams between the parts: Source, Sink, Network, Store and Registry, and the Clock alias.

tests/contracts holds one contract suite per seam.
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
    """A stream of records in log order.

    One thread polls it; `close`, `commit`, `holds` and the attributes may be used from another
    thread.
    """

    channels: tuple[str, ...]

    @property
    def problem(self) -> str | None:
        """The reason why records may be waiting and none arrive; None if all is well.

        The source is still polled.
        """

    @property
    def at_end(self) -> bool:
        """Whether every record has been read; False while partitions move between members."""

    @property
    def lags(self) -> Mapping[Lease, int]:
        """Records available but not yet read, per lease, as far as known.

        Empty for sources without partitions.
        """

    @property
    def truncations(self) -> int:
        """How often a log ended before the reader's position and was read again from a valid
        offset.

        0 for sources without partitions.
        """

    @property
    def degraded(self) -> str | None:
        """Why it reads slower than it could, although it works; None where it does not."""

    def poll(self, timeout_s: float) -> Poll | None:
        """Wait at most `timeout_s` for records.

        An empty Poll means that nothing has arrived yet, None that the source has ended.
        """

    def pause(self) -> None:
        """Stop delivering records until `resume`.

        `poll` returns empty Polls meanwhile and must still be called.
        """

    def resume(self) -> None: ...

    def holds(self, lease: Lease) -> bool:
        """Whether records read under this lease still count; always True without partitions."""

    def commit(self, positions: Mapping[Lease, Position]) -> None:
        """Note, per lease, the first offset still needed; never wait and never raise.

        The newest position of a lease wins; leases that are gone are skipped. The commit follows a
        little later, at the latest in `close`. Sources that store no positions ignore it.
        """

    def committed(self, lease: Lease) -> int | None:
        """The position confirmed by the log; None before the first commit.

        Always None for sources that store no positions.
        """

    def close(self) -> None:
        """Release everything. Idempotent."""


@dataclass(frozen=True, slots=True)
class FoundPosition:
    """What a log knows of a newly assigned partition; positions are offsets."""

    topic: str
    partition: int
    position: int  # the committed one, or the configured start of a group without one
    note: str  # stored beside the committed position; "" if there is none
    log_start: int
    log_end: int
    partitions: int = 1  # of the topic


@dataclass(frozen=True, slots=True)
class Restore:
    """How to rebuild a partition's memory: load `memory`, then read from `start` <= position."""

    start: int
    memory: tuple[bytes, ...] = ()


Restorer = Callable[[FoundPosition], Restore]
Item_contra = TypeVar("Item_contra", contravariant=True)


@runtime_checkable
class Outgoing(Protocol[Item_contra]):
    """A destination that takes items in order.

    `send` does not block for long; `flush` reports what is delivered.
    """

    def send(self, item: Item_contra, /) -> None: ...

    def flush(self, timeout_s: float) -> int:
        """Wait for delivery; return the number of items that are not acknowledged.

        The count starts at the oldest undelivered item.
        """

    def close(self) -> None:
        """Flush what can be flushed and release everything. Idempotent."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A rejected record on its way to the dead letters."""

    stream: str
    record: Rejected
    at: str  # RFC 3339 time of the rejection


Sink = Outgoing[Message]
DeadLetters = Outgoing[Letter]


@runtime_checkable
class ScoreSink(Protocol):
    """A destination for the continuous score of every event, one batch at a time."""

    def write(self, batch: EventBatch, scores: Scores, key: int) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StepOut:
    """The network's prediction of one event per row, made before it reads the event.

    delta (N, C): forecast of the scaled value, relative to `Network.forecast_from`.
    value (N, C, 3M), gap (N, 3G), hour (N, 24): density parameters (see detect.network.density).
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
    """One step of a network for a batch of rows; a pure function of its arguments."""

    ref: ModelRef
    value_width: int  # V
    rhythm_width: int  # Q
    forecast_from: str  # "last": delta is added to the last scaled value; "location": to 0
    has_rhythm: bool

    def step(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> StepOut:
        """Return the prediction and the new states for one event per row.

        x (N, C, F1) are the value features, r (N, F2) the rhythm features of the event. The caller
        owns the results.
        """

    def replay(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> tuple[F32, F32, F32]:
        """Return the states after T events and the attention logits (T, N) of their steps.

        x is (T, N, C, F1), r is (T, N, F2). No event is judged.
        """


@runtime_checkable
class Store(Protocol):
    """Named blobs written atomically: a reader sees the old one or the new one."""

    def put(self, name: str, blob: bytes) -> None: ...

    def get(self, name: str) -> bytes | None: ...

    def names(self, prefix: str = "") -> Sequence[str]: ...

    def delete(self, name: str) -> None: ...


ALIASES = ("champion", "challenger", "previous", "edge")
ANYWHERE: Mapping[str, str | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Move:
    """One entry of the audit trail of a registry.

    `at` is RFC 3339. `changes` holds the new version by alias, None for an alias that was removed.
    """

    at: str
    changes: Mapping[str, str | None]
    why: str
    by: str = ""


@runtime_checkable
class Registry(Protocol):
    """Immutable model versions and the aliases (ALIASES) that point at them.

    Any thread may call it. StoreError if it cannot be read or written: the message says what to do,
    and nothing has changed.
    """

    def versions(self) -> Sequence[str]:
        """Every complete version in the order of publication, oldest first."""

    def publish(self, bundle: Path) -> str:
        """Verify a bundle directory, store it and return its version.

        A half-written version is never visible. The same version with the same SHA-256 changes
        nothing, except that a missing signature is added. ModelError if the bundle cannot be used
        or its name is an alias. StoreError if the version exists with another SHA-256.
        """

    def path(self, name: str) -> Path:
        """Return the local directory of a version or alias, with verified hashes.

        The caller only reads it. ModelError if there is none or it is damaged.
        """

    def aliases(self) -> Mapping[str, str]:
        """Version by alias, for aliases that point at a version."""

    def move(
        self,
        changes: Mapping[str, str | None],
        *,
        expected: Mapping[str, str | None] = ANYWHERE,
        why: str = "",
    ) -> bool:
        """Set aliases to versions (None removes one) atomically, if `expected` still holds.

        Return False, with nothing changed, if it does not hold. Return True also if every alias was
        in place already. Each change is recorded in `moves`. ModelError if there is no such alias
        or version.
        """

    def moves(self) -> Sequence[Move]:
        """The audit trail, newest last; at least the last thousand entries."""

    def remove(self, version: str) -> None:
        """Delete a version. ModelError if there is none or an alias points at it."""

    def wait(self, seen: Mapping[str, str], timeout_s: float) -> Mapping[str, str] | None:
        """Return the aliases as soon as they differ from `seen`.

        None after `timeout_s`, or once the registry is closed.
        """

    def close(self) -> None:
        """Release everything and end every `wait`. Idempotent."""


class BackgroundTask(Protocol):
    """A loop in a thread of its own; if it fails or hangs, scoring continues."""

    name: str

    def run(self, stop: threading.Event) -> None:
        """Run until the event is set; then release everything and return within two seconds."""


class JudgedBatch(Protocol):
    """The scores of a batch, row by row, and the alerts raised (see detect.pipeline.Judged)."""

    @property
    def scores(self) -> Scores: ...

    @property
    def alerts(self) -> list[Alert]: ...
