"""A world in which some entities are silent for a while: their events are not sent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamer.connect.simulate.world import Fault, World
from streamer.event import EventBatch

KIND = "silent"


class SilencedWorld:
    """Removes events of a world during silences.

    `silences` are faults of kind `silent`. Offsets of removed events are skipped.
    """

    def __init__(self, world: World, silences: Sequence[Fault]) -> None:
        self.channels, self.units, self.keys = world.channels, world.units, world.keys
        self._world, self._silences = world, tuple(silences)
        self._newest_s = float("-inf")

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Faults of the world and silences that have begun, ordered by start."""
        begun = [fault for fault in self._silences if fault.start_s <= self._newest_s]
        return tuple(sorted([*self._world.faults, *begun], key=lambda fault: fault.start_s))

    def advance(self) -> EventBatch:
        batch = self._world.advance()
        if len(batch):
            self._newest_s = float(batch.time_s[-1])
        silent = np.zeros(len(batch), dtype=bool)
        for fault in self._silences:
            silent |= fault.covers(batch)
        return batch.rows(np.flatnonzero(~silent)) if silent.any() else batch
