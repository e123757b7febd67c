"""The five seams: Source, Sink, Scorer, Store, Registry, and the Clock alias.

Each has one contract suite in tests/contracts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from streamer.event import F32, Alert, EventBatch, ModelRef, Poll, Scores

Clock = Callable[[], float]


@runtime_checkable
class Source(Protocol):
    """Brings records in log order. Used by one thread; `close` may come from another."""

    channels: tuple[str, ...]

    def poll(self, timeout_s: float) -> Poll | None:
        """Wait at most `timeout_s` for records. An empty Poll means nothing yet, None means the end for ever."""

    def pause(self) -> None:
        """Bring nothing until `resume`; poll keeps returning empty Polls and must go on being called."""

    def resume(self) -> None: ...

    def commit(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Remember, per (topic, partition), the first offset still needed. Sources without memory ignore it."""

    def close(self) -> None:
        """Release everything. Idempotent."""


@runtime_checkable
class Sink(Protocol):
    """Takes alerts. `send` never blocks for long; `flush` tells the truth about delivery."""

    def send(self, alert: Alert) -> None: ...

    def flush(self, timeout_s: float) -> int:
        """Wait for delivery; return how many alerts are still undelivered (0 = all acknowledged)."""

    def close(self) -> None:
        """Flush what can be flushed and release everything. Idempotent."""


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
class Scorer(Protocol):
    """One step of a network for a batch of rows: a pure function of its arguments."""

    ref: ModelRef
    value_width: int  # V
    rhythm_width: int  # Q
    forecast_from: str  # "last": delta is added to the last scaled value; "location": to 0
    has_rhythm: bool

    def step(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> StepOut:
        """x (N, C, F1) value features, r (N, F2) rhythm features of the event. Results are owned by the caller."""

    def replay(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> tuple[F32, F32, F32]:
        """The states after T events, x (T, N, C, F1) and r (T, N, F2), and the attention logits (T, N) of their steps.

        No event is judged.
        """


@runtime_checkable
class Store(Protocol):
    """Small named blobs, written whole: a reader sees the old one or the new one, never a mixture."""

    def put(self, name: str, blob: bytes) -> None: ...

    def get(self, name: str) -> bytes | None: ...

    def names(self, prefix: str = "") -> Sequence[str]: ...

    def delete(self, name: str) -> None: ...


@runtime_checkable
class Registry(Protocol):
    """Immutable model versions and the aliases that point at them."""

    def versions(self) -> Sequence[str]: ...

    def publish(self, bundle: Path) -> str:
        """Take a verified bundle directory in; return its version. Never visible half-written."""

    def path(self, name: str) -> Path:
        """Directory of a version or alias; ModelError if there is none."""

    def point(self, alias: str, version: str) -> None: ...

    def alias(self, alias: str) -> str | None: ...
