"""A labelled stream: what was planted where, how strongly, and in which channels.

Axes: T rows, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from streamer.event import F32, F64, U8, Bool

PARTS = ("choose", "confirm")
# Every range of a parameter is cut into so many cells; those of even number belong to `choose`.
CELLS = 16
# Rows after a fault that are neither right nor wrong: the values need time to settle.
AFTERMATH_ROWS, AFTERMATH_SHARE = 60, 0.5


@dataclass(frozen=True, slots=True)
class PlantedFault:
    """Rows start <= row < stop that a detector should find."""

    kind: str
    start: int
    stop: int
    strength: float  # in units of the channel's own spread, or the factor of what changed
    channels: tuple[int, ...] = ()  # culprits; empty: the rhythm

    @property
    def rhythm(self) -> bool:
        return not self.channels


@dataclass(frozen=True, slots=True)
class HarmlessChange:
    """Rows start <= row < stop of a change that is normal: an alarm here is false."""

    kind: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class LabelledStream:
    """One entity's rows in time order. Rows before `taught` hold no fault."""

    name: str
    part: str
    family: str
    step_s: float
    time_s: F64  # (T,)
    values: F32  # (T, C)
    taught: int
    faults: tuple[PlantedFault, ...] = ()
    harmless: tuple[HarmlessChange, ...] = ()
    parameters: Mapping[str, float] = field(default_factory=dict)
    names: tuple[str, ...] = ()  # of the channels, where they have any

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def channels(self) -> int:
        return self.values.shape[1]

    @property
    def label(self) -> U8:
        """1 for rows of a fault, (T,)."""
        marked = np.zeros(len(self), np.uint8)
        for fault in self.faults:
            marked[fault.start : fault.stop] = 1
        return marked

    @property
    def quiet(self) -> Bool:
        """Rows where an alarm is false: outside the faults and what follows them, (T,)."""
        calm = np.ones(len(self), np.bool_)
        for fault in self.faults:
            length = fault.stop - fault.start
            calm[fault.start : fault.stop + AFTERMATH_ROWS + int(AFTERMATH_SHARE * length)] = False
        return calm


class Parameters:
    """Draws the parameters of one stream, each from the cells that belong to its part."""

    def __init__(self, rng: np.random.Generator, part: str) -> None:
        self._rng, self._odd = rng, PARTS.index(part)
        self.drawn: dict[str, float] = {}

    def between(self, name: str, low: float, high: float) -> float:
        """Even over low .. high, over this part's cells only."""
        cell = 2 * int(self._rng.integers(CELLS // 2)) + self._odd
        value = low + (high - low) * (cell + float(self._rng.uniform(0.05, 0.95))) / CELLS
        self.drawn[name] = value
        return value

    def log_between(self, name: str, low: float, high: float) -> float:
        """The same on a logarithmic axis."""
        value = float(np.exp(self.between(name, np.log(low), np.log(high))))
        self.drawn[name] = value
        return value
