"""A stream whose model follows a registry, on one thread and without waiting."""

from __future__ import annotations

import time
from typing import Any

from streamer.config import Model
from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.lifecycle.alias_follower import Follower
from tests.lifecycle.training_world import Room, loaded, pieces, traffic

PASSED = {"passed": True, "why": ""}
BAD = 10.0  # times the weights: forecasts far off
WHOLE = traffic(6000, entities=20)


class House:
    """A room and its follower."""

    def __init__(self, registry: DirectoryRegistry, **section: Any) -> None:
        self.now, self.registry = [0.0], registry
        self.room = Room(first=loaded("v0"), clock=lambda: self.now[0])
        self.section = Model.model_validate({"registry": "x", "backend": "numpy", **section})
        self.restart()

    def restart(self, later_s: float = 0.0) -> None:
        """A follower that knows nothing of the one before, over what the snapshots brought back, so
        much later.
        """
        began_s = time.time() - self.now[0]
        self.now[0] += later_s
        self.follower = Follower(
            self.registry,
            self.section,
            self.room.swapper,
            self.room.shadow_slot,
            [self.room.processor],
            clock=lambda: self.now[0],
            wall=lambda: began_s + self.now[0],
        )
        self.follower.step(0.0)

    def follow(self, steps: int = 2) -> None:
        for _ in range(steps):
            self.follower.step(0.0)
            self.room.settle()
            self.room.scoring_loop.step()

    def feed(self, start: int, end: int) -> None:
        for batch in pieces(WHOLE.rows(slice(start, end)), 100):
            self.room.feed(batch)
            self.follow(1)

    @property
    def judging(self) -> str:
        return self.room.processor.model_ref().version
