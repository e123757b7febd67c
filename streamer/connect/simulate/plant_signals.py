"""The sensors of the simulated plant without faults: load, heat and drift on a time grid.

Axes: M machines, S sensors, G points of a time grid, N events.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from streamer.connect.simulate.world import DAY_S
from streamer.event import F64, I64

CHANNELS = ("rms", "temperature", "pressure", "current")
UNITS = ("mm/s", "°C", "bar", "A")

NOISE = np.array([0.12, 0.25, 0.04, 0.35])  # (S,) one sigma of the sensors
WANDER = 0.5 * NOISE  # (S,) slow random drift with a time constant of ten minutes
# (S,) per unit of load; the temperature follows the slow load instead
LOAD_EFFECT = np.array([0.8, 0.0, 0.15, 12.0])
HEAT = 10.0  # °C per unit of slow load
AMBIENT = 3.0  # °C, amplitude over the day
GRID_S = 30.0
LOAD_LAG_S = 180.0
HEAT_LAG_S = 1500.0
WANDER_S = 600.0
REGIME_MEAN_S = 2 * 3600.0


class PlantSignals:
    """Slow quantities of every machine on a grid of GRID_S: load, heat and drift."""

    def __init__(self, machines: int, hour: F64, start_s: float, rng: Generator) -> None:
        self._hour = hour
        self._regime = rng.uniform(-0.1, 0.1, machines)
        self._load = self._target(start_s)
        self._heat = self._load.copy()
        self._wander = rng.normal(size=(machines, len(CHANNELS))) * WANDER

    def follow(self, from_s: float, until_s: float, rng: Generator) -> tuple[F64, F64, F64]:
        """Return load (G, M), heat (G, M) and drift (G, M, S) at all grid points, ends included."""
        steps, machines = round((until_s - from_s) / GRID_S), len(self._load)
        load, heat = np.empty((steps + 1, machines)), np.empty((steps + 1, machines))
        wander = np.empty((steps + 1, machines, len(CHANNELS)))
        changes = rng.random((steps, machines)) < GRID_S / REGIME_MEAN_S
        regimes = rng.uniform(-0.1, 0.1, (steps, machines))
        kicks = rng.normal(size=wander[1:].shape) * WANDER * np.sqrt(2 * GRID_S / WANDER_S)
        load[0], heat[0], wander[0] = self._load, self._heat, self._wander
        for g in range(steps):
            self._regime = np.where(changes[g], regimes[g], self._regime)
            load[g + 1] = load[g] + (self._target(from_s + g * GRID_S) - load[g]) * (
                GRID_S / LOAD_LAG_S
            )
            heat[g + 1] = heat[g] + (load[g] - heat[g]) * (GRID_S / HEAT_LAG_S)
            wander[g + 1] = wander[g] * (1 - GRID_S / WANDER_S) + kicks[g]
        self._load, self._heat, self._wander = load[-1], heat[-1], wander[-1]
        return load, heat, wander

    def _target(self, now_s: float) -> F64:
        """Target load: higher by day, with slopes of about an hour, plus the current regime."""
        hour = ((now_s - self._hour) % DAY_S) / 3600
        day = 1 / (1 + np.exp(-(hour - 6) * 4)) - 1 / (1 + np.exp(-(hour - 20) * 4))
        return 0.45 + 0.25 * day + self._regime


def interpolated(grid: F64, at: F64, machine: I64) -> F64:
    """Interpolate the grid (G, M, ...) at fractional grid times `at` (N,) of each machine."""
    left = np.minimum(at.astype(np.int64), len(grid) - 2)
    share = (at - left).reshape(-1, *[1] * (grid.ndim - 2))
    result: F64 = grid[left, machine] * (1 - share) + grid[left + 1, machine] * share
    return result
