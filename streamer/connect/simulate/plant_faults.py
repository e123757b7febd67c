"""Faults of the simulated plant: their schedule, and their effect on sensor values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from streamer.connect.simulate.plant_signals import CHANNELS, NOISE
from streamer.connect.simulate.world import Fault
from streamer.errors import ConfigError
from streamer.event import F64, I64, Bool

KINDS = ("spike", "shift", "drift", "stuck", "noise", "rhythm")
# Length of a fault in intervals of its machine, and its size in sigmas of its sensor (or as a
# factor of the report rate).
LENGTH = {
    "spike": (1.2, 2.5),
    "shift": (60, 120),
    "drift": (150, 250),
    "stuck": (80, 140),
    "noise": (50, 90),
    "rhythm": (50, 90),
}
SIZE = {
    "spike": (12, 20),
    "shift": (8, 12),
    "drift": (14, 20),
    "stuck": (0, 0),
    "noise": (7, 10),
    "rhythm": (2.5, 4),
}
STRIKES = {
    "spike": (0, 2, 3),
    "shift": (0, 2, 3),
    "drift": (1, 0),
    "stuck": (0, 2, 3),
    "noise": (0, 2),
}


@dataclass(slots=True)
class ActiveFault:
    """A fault and its state while it is active."""

    fault: Fault
    machine: int
    channel: int  # -1 for the rhythm
    size: float
    frozen: float = np.nan  # the value of a stuck sensor


class FaultPlan:
    """The schedule of faults: drawn one by one with alternating kinds, or given."""

    def __init__(
        self,
        names: tuple[str, ...],
        interval_s: F64,
        faults: bool | Sequence[Fault],
        first_s: float,
        every_s: float,
        seed: int,
    ) -> None:
        self.begun: list[ActiveFault] = []
        self._running: list[ActiveFault] = []
        self._names, self._interval_s, self._every_s = names, interval_s, every_s
        self._rng = np.random.default_rng([seed, 1, 1])
        self._waiting = [] if isinstance(faults, bool) else self._given(faults)
        self._endless, self._next_s, self._drawn = faults is True, first_s, 0
        self._busy_s = np.zeros(len(names))

    def between(self, from_s: float, until_s: float) -> list[ActiveFault]:
        """Return the faults that are active in the stretch."""
        while self._endless and self._next_s < until_s:
            self._draw()
        fresh = [item for item in self._waiting if item.fault.start_s < until_s]
        self._waiting = [item for item in self._waiting if item.fault.start_s >= until_s]
        self.begun += fresh
        self._running = [item for item in self._running if item.fault.end_s > from_s] + fresh
        return self._running

    def _draw(self) -> None:
        rng, start_s = self._rng, self._next_s
        if self._drawn % len(KINDS) == 0:
            self._order = rng.permutation(len(KINDS))
        kind = KINDS[self._order[self._drawn % len(KINDS)]]
        machine = int(
            rng.choice(np.flatnonzero(self._busy_s <= np.maximum(start_s, self._busy_s.min())))
        )
        start_s = max(start_s, float(self._busy_s[machine]))
        end_s = start_s + float(rng.uniform(*LENGTH[kind]) * self._interval_s[machine])
        channel = int(rng.choice(STRIKES[kind])) if kind in STRIKES else -1
        self._waiting.append(_active(kind, machine, start_s, end_s, channel, self._names, rng))
        # A machine then has no fault for as long again, so that the alarms of one fault end before
        # the next.
        self._busy_s[machine] = end_s + (end_s - start_s) + 100 * self._interval_s[machine]
        self._drawn, self._next_s = (
            self._drawn + 1,
            self._next_s + self._every_s * rng.uniform(0.7, 1.3),
        )

    def _given(self, faults: Sequence[Fault]) -> list[ActiveFault]:
        return [self._checked(fault) for fault in sorted(faults, key=lambda fault: fault.start_s)]

    def _checked(self, fault: Fault) -> ActiveFault:
        if fault.kind not in KINDS:
            raise ConfigError("faults.kind", f"must be one of {', '.join(KINDS)}", fault.kind)
        if fault.entity not in self._names:
            raise ConfigError(
                "faults.entity", f"must be one of {', '.join(self._names)}", fault.entity
            )
        if (fault.kind == "rhythm") != (fault.channel is None) or fault.channel not in (
            *CHANNELS,
            None,
        ):
            raise ConfigError(
                "faults.channel",
                f"must be one of {', '.join(CHANNELS)}, none for rhythm",
                fault.channel,
            )
        channel = -1 if fault.channel is None else CHANNELS.index(fault.channel)
        machine = self._names.index(fault.entity)
        return _active(
            fault.kind, machine, fault.start_s, fault.end_s, channel, self._names, self._rng
        )


def _active(
    kind: str,
    machine: int,
    start_s: float,
    end_s: float,
    channel: int,
    names: Sequence[str],
    rng: Generator,
) -> ActiveFault:
    size = float(rng.uniform(*SIZE[kind])) if SIZE[kind][1] else 0.0
    up = bool(rng.random() < 0.5)
    size = (size if up else -size) if kind != "rhythm" else (size if up else 1 / size)
    name = None if channel < 0 else CHANNELS[channel]
    fault = Fault(kind, names[machine], start_s, end_s, name, detail=_told(kind, size))
    return ActiveFault(fault, machine, channel, size)


def _told(kind: str, size: float) -> str:
    if kind == "rhythm":
        return (
            f"heartbeat {size:.1f} times as fast"
            if size > 1
            else f"heartbeat {1 / size:.1f} times as slow"
        )
    return {
        "spike": f"{size:+.0f} sigma for a moment",
        "shift": f"{size:+.0f} sigma at once",
        "drift": f"up to {size:+.0f} sigma, slowly",
        "stuck": "always the same value",
        "noise": f"noise {abs(size):.0f} times",
    }[kind]


def strike(item: ActiveFault, time_s: F64, machine: I64, values: F64, rng: Generator) -> None:
    """Change the values of the events that the fault covers, in place."""
    fault, c = item.fault, item.channel
    rows: Bool = (machine == item.machine) & (time_s >= fault.start_s) & (time_s < fault.end_s)
    if c < 0 or not rows.any():
        return
    if fault.kind == "stuck":
        item.frozen = float(values[rows, c][0]) if np.isnan(item.frozen) else item.frozen
        values[rows, c] = item.frozen
    elif fault.kind == "noise":
        values[rows, c] += rng.normal(size=int(rows.sum())) * NOISE[c] * abs(item.size)
    else:
        progress = (
            (time_s[rows] - fault.start_s) / (fault.end_s - fault.start_s)
            if fault.kind == "drift"
            else 1.0
        )
        values[rows, c] += item.size * NOISE[c] * progress
