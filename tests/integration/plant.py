"""A plant whose machines begin to ring after every start: nothing is broken, but the model has
never seen it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tests.integration.load import EPOCH_S, Load

DAY_S = 86_400.0
SEASON = 240  # steps
RING_STEPS = 30
RING = (
    3.0 * np.cos(np.pi * np.arange(RING_STEPS)) * np.exp(-np.arange(RING_STEPS) / 15)
)  # 20 sigma, alternating


@dataclass(frozen=True)
class Plant(Load):
    """A load without spikes. From `shift_step` on each machine rings about once in `ring_every`
    steps, at random.
    """

    step_s: int = 60
    shift_step: int = 600
    ring_every: int = 180
    last_step: int = 40_000  # nothing rings after it

    def calm(self, step: int) -> np.ndarray:
        """Both channels have the rhythm of a shift."""
        noise = np.random.default_rng((self.seed, step)).normal(size=(self.entities, 2))
        phase = 2 * np.pi * step / SEASON + np.arange(self.entities)
        return np.stack([5 + np.sin(phase), 40 + np.cos(phase)], axis=1) + noise * [0.15, 0.3]

    def _step(self, step: int) -> np.ndarray:
        return self.calm(step) + self._ringing(step)[:, None] * [1.0, 0.0]

    def _ringing(self, step: int) -> np.ndarray:
        """(entities,) what the newest start of each machine adds."""
        newest = (self._starts <= step).sum(axis=1) - 1
        begun = np.where(newest >= 0, self._starts[np.arange(self.entities), newest], -RING_STEPS)
        age = step - begun
        return np.where(age < RING_STEPS, RING[np.minimum(age, RING_STEPS - 1)], 0.0)

    @cached_property
    def _starts(self) -> np.ndarray:
        """(entities, starts) steps, ascending."""
        rng, usual = np.random.default_rng((self.seed, 2)), self.ring_every
        count = 2 * (self.last_step - self.shift_step) // usual
        first = self.shift_step + rng.integers(0, usual, (self.entities, 1))
        return np.cumsum(
            np.hstack([first, rng.integers(usual // 2, 3 * usual // 2, (self.entities, count))]),
            axis=1,
        )

    def history(self, first: int, steps: int, entities: int) -> dict[str, np.ndarray]:
        """Values (entities, steps, channels) and times (entities, steps) of the first machines, as
        a training reads.
        """
        values = np.stack(
            [self._step(step)[:entities] for step in range(first, first + steps)], axis=1
        )
        time_s = np.tile(
            EPOCH_S + self.step_s * np.arange(first, first + steps, dtype=np.float64), (entities, 1)
        )
        return {"values": values.astype(np.float32), "time_s": time_s}

    def step_of(self, offset: int) -> int:
        """Of a record in its partition."""
        return offset // (self.entities // self.partitions)
