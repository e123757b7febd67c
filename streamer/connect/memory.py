"""Sources, sinks and a store in memory, for tests, embedding and dry runs.

Faults are data: an exception among the items of a MemorySource is raised when it is due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamer.connect.storage.files_store import checked
from streamer.errors import InputError, SinkError, StoreError
from streamer.event import (
    Alert,
    EventBatch,
    Lease,
    Message,
    ModelEvent,
    Poll,
    Position,
    Rejected,
    Scores,
)

if TYPE_CHECKING:
    from streamer import config
    from streamer.connect.base.opening import SourceContext

ABORT = InputError("the source broke (an ABORT of its script)")
Item = EventBatch | Rejected | Poll | Exception


class MemorySource:
    """Delivers its items one poll at a time, in order.

    An item is a batch, a rejected record or a Poll; an exception is raised. `revoke` takes a lease
    away at once, as a rebalance does. `problem`, `at_end`, `lags`, `truncations` and `degraded` are
    set from outside.
    """

    def __init__(
        self,
        items: Iterable[Item],
        *,
        channels: tuple[str, ...] = ("value",),
        endless: bool = False,
    ) -> None:
        self.channels = channels
        self.problem: str | None = None
        self.at_end = True
        self.lags: Mapping[Lease, int] = {}
        self.truncations = 0
        self.degraded: str | None = None
        self.positions: dict[Lease, Position] = {}
        self.revoked: set[Lease] = set()
        self.closed = False
        self.paused = False
        self._items: deque[Item] = deque(items)
        self._endless = endless

    def add(self, item: Item) -> None:
        """Append an item; any thread may call it."""
        self._items.append(item)

    def poll(self, timeout_s: float) -> Poll | None:
        """Return the next item; never waits.

        Without one: None, or an empty Poll if the source is endless.
        """
        if self.closed:
            return None
        if self.paused:
            return Poll()
        if not self._items:
            return Poll() if self._endless else None
        return _as_poll(self._items.popleft())

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def revoke(self, lease: Lease) -> None:
        """Make a lease invalid; any thread may call it."""
        self.revoked.add(lease)

    def holds(self, lease: Lease) -> bool:
        return lease not in self.revoked

    def commit(self, positions: Mapping[Lease, Position]) -> None:
        self.positions |= {
            lease: position for lease, position in positions.items() if self.holds(lease)
        }

    def committed(self, lease: Lease) -> int | None:
        position = self.positions.get(lease)
        return None if position is None else position.offset

    def close(self) -> None:
        self.closed = True


def _as_poll(item: Item) -> Poll:
    if isinstance(item, Exception):
        raise item
    if isinstance(item, Poll):
        return item
    return Poll((item,)) if isinstance(item, EventBatch) else Poll((), (item,))


class MemorySink:
    """Keeps alerts in `alerts` and model events in `events`.

    After `hold()` it acknowledges nothing until `release()`. If `fail` is set, `send` raises it.
    """

    def __init__(self, *, fail: SinkError | None = None) -> None:
        self.alerts: list[Alert] = []
        self.events: list[ModelEvent] = []
        self.fail = fail
        self.closed = False
        self._held = False
        self._waiting = 0

    def send(self, message: Message) -> None:
        if self.closed:
            raise SinkError("memory sink: send after close")
        if self.fail is not None:
            raise self.fail
        if isinstance(message, ModelEvent):
            self.events.append(message)
        else:
            self.alerts.append(message)
        self._waiting += 1

    def hold(self) -> None:
        """Stop acknowledging."""
        self._held = True

    def release(self) -> None:
        self._held = False

    def flush(self, timeout_s: float) -> int:
        """Return the number of held items; never waits."""
        if not self._held:
            self._waiting = 0
        return self._waiting

    def close(self) -> None:
        self.closed = True


@dataclass(slots=True)
class MemoryScores:
    """A ScoreSink that keeps the written batches."""

    written: list[tuple[EventBatch, Scores, int]] = field(default_factory=list)
    closed: bool = False

    def write(self, batch: EventBatch, scores: Scores, key: int) -> None:
        self.written.append((batch, scores, key))

    def close(self) -> None:
        self.closed = True


class MemoryStore:
    """A Store in `blobs`.

    While `fail` is set every call raises it, as if the store were down.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.fail: StoreError | None = None

    def put(self, name: str, blob: bytes) -> None:
        self._answer()
        self.blobs[checked(name)] = bytes(blob)

    def get(self, name: str) -> bytes | None:
        self._answer()
        return self.blobs.get(checked(name))

    def names(self, prefix: str = "") -> Sequence[str]:
        self._answer()
        return sorted(name for name in list(self.blobs) if name.startswith(prefix))

    def delete(self, name: str) -> None:
        self._answer()
        self.blobs.pop(checked(name), None)

    def _answer(self) -> None:
        if self.fail is not None:
            raise self.fail


def open_source(
    stream: config.Stream, section: config.MemorySource, context: SourceContext
) -> MemorySource:
    """The source of a section, empty until somebody adds to it."""
    return MemorySource([], endless=True)


def open_sink(section: config.MemorySink, whole: config.Config | None) -> MemorySink:
    """The sink of a section."""
    return MemorySink()
