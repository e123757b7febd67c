"""A simulated plant: machines with four sensors, a daily cycle and six kinds of faults.

Axes: M machines, N events, S sensors, G points of a time grid. A machine reports about every
`interval` seconds with jitter. Sensors follow the machine's load (steps, smoothed), the ambient
temperature (a daily sine), and noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from streamer.connect.simulate.plant_faults import ActiveFault, FaultPlan, strike
from streamer.connect.simulate.plant_signals import (
    AMBIENT,
    CHANNELS,
    GRID_S,
    HEAT,
    LOAD_EFFECT,
    NOISE,
    UNITS,
    PlantSignals,
    interpolated,
)
from streamer.connect.simulate.world import DAY_S, START_S, Fault
from streamer.errors import ConfigError
from streamer.event import F64, I64, EventBatch

MACHINES = ("pump", "fan", "compressor", "mixer")
JITTER = 0.03  # of the interval between reports
EVENTS_A_STRETCH = 8192


@dataclass(slots=True)
class PlantProgress:
    """How far the plant has run."""

    now_s: float
    events: int = 0
    stretches: int = 0


class Plant:
    """A world of M machines from `start_s` on.

    `faults` True draws one every `fault_every_s`, of alternating kinds; a sequence gives the exact
    faults. Given faults need kind, entity, start_s, end_s, and a channel (except `rhythm`).
    """

    channels: tuple[str, ...] = CHANNELS
    units: tuple[str, ...] = UNITS
    keys: tuple[str, ...] = ("machine",)

    def __init__(
        self,
        machines: int = 8,
        *,
        seed: int = 0,
        interval_s: tuple[float, float] = (2.0, 30.0),
        faults: bool | Sequence[Fault] = True,
        fault_every_s: float = 3600.0,
        quiet_s: float = 6 * 3600.0,
        start_s: float = START_S,
        stream: str = "plant",
    ) -> None:
        """Create the plant; no fault starts within `quiet_s`, so the detector can learn.

        Intervals are drawn from `interval_s`.
        """
        if machines < 1:
            raise ConfigError("source.entities", "must be at least 1", machines)
        self.stream, self.seed, self.start_s = stream, seed, start_s
        self.names = tuple(f"{MACHINES[m % len(MACHINES)]}-{m + 1:02d}" for m in range(machines))
        rng = np.random.default_rng([seed, 0])
        low, high = np.log(interval_s[0]), np.log(interval_s[1])
        self.interval_s = np.exp(rng.uniform(low, high, machines))  # (M,)
        self._base = rng.uniform([2, 45, 4, 20], [5, 70, 8, 60], (machines, len(CHANNELS)))
        # start of shifts, different for each machine
        self._hour = rng.uniform(0, 3, machines) * 3600
        self._clock = ReportClock(self.interval_s, start_s)
        self._grid = PlantSignals(machines, self._hour, start_s, rng)
        self._stretch_s = _stretch(self.interval_s)
        self._plan = FaultPlan(
            self.names, self.interval_s, faults, start_s + quiet_s, fault_every_s, seed
        )
        self._done = PlantProgress(start_s)

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(active.fault for active in self._plan.begun)

    def advance(self) -> EventBatch:
        until_s = self._done.now_s + self._stretch_s
        self._done.stretches += 1
        rng = np.random.default_rng([self.seed, self._done.stretches])
        active = self._plan.between(self._done.now_s, until_s)
        time_s, machine = self._clock.beats(self._done.now_s, until_s, active, rng)
        load, heat, wander = self._grid.follow(self._done.now_s, until_s, rng)
        values = self._sensors(time_s, machine, load, heat, wander, rng)
        for item in active:
            strike(item, time_s, machine, values, rng)
        return self._batch(time_s, machine, values, active, until_s)

    def _sensors(
        self, time_s: F64, machine: I64, load: F64, heat: F64, wander: F64, rng: Generator
    ) -> F64:
        """Return values (N, S) without faults."""
        at = (time_s - self._done.now_s) / GRID_S
        values: F64 = self._base[machine] + interpolated(load, at, machine)[:, None] * LOAD_EFFECT
        values += (
            interpolated(wander, at, machine) + rng.normal(size=(len(at), len(CHANNELS))) * NOISE
        )
        daily: F64 = AMBIENT * np.sin(2 * np.pi * (time_s / DAY_S - 0.375))  # warmest at 15:00
        values[:, 1] += HEAT * interpolated(heat, at, machine) + daily
        return values

    def _batch(
        self, time_s: F64, machine: I64, values: F64, active: list[ActiveFault], until_s: float
    ) -> EventBatch:
        offset = np.arange(self._done.events, self._done.events + len(time_s), dtype=np.int64)
        self._done.now_s, self._done.events = until_s, self._done.events + len(time_s)
        entity = machine.astype(np.int32)[:, None]
        batch = EventBatch(
            self.stream,
            self.stream,
            0,
            self.names,
            entity,
            time_s,
            values.astype(np.float32),
            offset,
        )
        for item in active:
            item.fault = item.fault.seen(offset[item.fault.covers(batch)])
        return batch


def _stretch(interval_s: F64) -> float:
    """Length of a stretch: about EVENTS_A_STRETCH events, whole grid steps, at most a day."""
    ideal = EVENTS_A_STRETCH / float((1 / interval_s).sum())
    return GRID_S * max(1, min(round(ideal / GRID_S), int(DAY_S / GRID_S)))


class ReportClock:
    """Report times of machines: regular with jitter, on a phase that rhythm faults distort."""

    def __init__(self, interval_s: F64, start_s: float) -> None:
        self.interval_s = interval_s
        self._phase = np.zeros(len(interval_s))  # reports so far, fractional
        # phase of the next event, spread over the machines
        self._next = (np.arange(len(interval_s)) * 0.618) % 1

    def beats(
        self, from_s: float, until_s: float, active: list[ActiveFault], rng: Generator
    ) -> tuple[F64, I64]:
        """Return event times (N,) of the stretch in order, and their machines (N,)."""
        end = self._phase + (until_s - from_s) / self.interval_s
        warps = {
            item.machine: warp_of(item, self, from_s, until_s)
            for item in active
            if item.channel < 0
        }
        for m, (phases, _) in warps.items():
            end[m] = phases[-1]
        count = (np.maximum(end - self._next, 0) * 1.3).astype(np.int64) + 6
        machine = np.repeat(np.arange(len(count)), count)
        steps = np.maximum(1 + JITTER * rng.normal(size=len(machine)), 0.2)
        first = np.cumsum(count) - count
        steps[first] = self._next
        sums = np.cumsum(steps)
        phase = sums - np.repeat(sums[first] - steps[first], count)
        late = phase >= end[machine]
        self._next = np.minimum.reduceat(np.where(late, phase, np.inf), first)
        return self._in_order(phase[~late], machine[~late], from_s, warps, end)

    def _in_order(
        self, phase: F64, machine: I64, from_s: float, warps: dict[int, tuple[F64, F64]], end: F64
    ) -> tuple[F64, I64]:
        time_s = from_s + (phase - self._phase[machine]) * self.interval_s[machine]
        for m, (phases, times) in warps.items():
            mine = machine == m
            time_s[mine] = np.interp(phase[mine], phases, times)
        self._phase = end
        order = np.argsort(time_s, kind="stable")
        return time_s[order], machine[order]

    def phase_of(self, machine: int) -> float:
        return float(self._phase[machine])


def warp_of(
    item: ActiveFault, clock: ReportClock, from_s: float, until_s: float
) -> tuple[F64, F64]:
    """Return phases and times as a piecewise linear map.

    The phase runs `size` times as fast during the fault.
    """
    edges = [min(max(edge, from_s), until_s) for edge in (item.fault.start_s, item.fault.end_s)]
    times = np.array([from_s, *edges, until_s])
    rates = np.array([1.0, item.size, 1.0]) / clock.interval_s[item.machine]
    phases = clock.phase_of(item.machine) + np.concatenate(
        [[0.0], np.cumsum(np.diff(times) * rates)]
    )
    return phases, times
