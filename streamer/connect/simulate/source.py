"""A simulated world as a source, endless or limited, with its ground truth."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from streamer.connect.base.pace import PacedSource, Pacer, Wait
from streamer.connect.simulate.cards import Cards
from streamer.connect.simulate.plant import Plant
from streamer.connect.simulate.world import START_S, Fault, World
from streamer.errors import ConfigError
from streamer.event import EventBatch, Poll
from streamer.protocols import Clock

if TYPE_CHECKING:
    from streamer import config
    from streamer.connect.base.opening import SourceContext


class SyntheticSource(PacedSource):
    """Source of a simulated world; `kind` is plant or cards, or a `world` is given.

    Offsets count from 0. The same arguments give the same events, for any `rows` and `pace`.
    `faults` grows with the stream.
    """

    def __init__(
        self,
        kind: str = "plant",
        *,
        world: World | None = None,
        seed: int = 0,
        entities: int = 8,
        faults: bool | Sequence[Fault] = True,
        start_s: float = START_S,
        stream: str = "",
        rows: int = 4096,
        events: int | None = None,
        pace: float | None = None,
        clock: Clock = time.monotonic,
        wait: Wait | None = None,
    ) -> None:
        self.world = world or make_world(kind, entities, seed, faults, start_s, stream)
        self.channels, self.units = self.world.channels, self.world.units
        self.entity_keys = len(self.world.keys)
        self._rows, self._left = rows, events
        super().__init__(Pacer(pace, clock, wait))
        self._batch: EventBatch | None = None

    @property
    def faults(self) -> Sequence[Fault]:
        """Ground truth of all events made so far, slightly ahead of the events polled."""
        return self.world.faults

    def _fetch(self, timeout_s: float) -> Poll | None:
        return None if self._left == 0 else Poll((self._next(),))

    def _next(self) -> EventBatch:
        while self._batch is None or not len(self._batch):
            self._batch = self.world.advance()
        n = min(self._rows, len(self._batch), self._rows if self._left is None else self._left)
        head, self._batch = self._batch.rows(slice(0, n)), self._batch.rows(slice(n, None))
        self._left = None if self._left is None else self._left - n
        return head


def make_world(
    kind: str, entities: int, seed: int, faults: bool | Sequence[Fault], start_s: float, stream: str
) -> World:
    """Create a plant of `entities` machines, or cards of `entities` customers."""
    if kind == "plant":
        return Plant(entities, seed=seed, faults=faults, start_s=start_s, stream=stream or kind)
    if kind == "cards":
        return Cards(entities, seed=seed, faults=faults, start_s=start_s, stream=stream or kind)
    raise ConfigError("source.world", "must be plant or cards", kind)


def labels_of(faults: Sequence[Fault], batch: EventBatch) -> np.ndarray:
    """Mark the events (N,) of the batch that belong to a fault."""
    covered = np.zeros(len(batch), dtype=bool)
    for fault in faults:
        covered |= fault.covers(batch)
    return covered


def open_source(
    stream: config.Stream, section: config.SyntheticSource, context: SourceContext
) -> SyntheticSource:
    """The source of a section."""
    return SyntheticSource(
        section.world,
        seed=section.seed,
        entities=section.entities,
        faults=section.faults,
        stream=stream.name,
        rows=section.poll_rows,
        events=section.events,
        pace=section.pace,
    )
