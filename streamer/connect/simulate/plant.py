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

from streamer.connect.simulate.world import DAY_S, START_S, Fault
from streamer.errors import ConfigError
from streamer.event import F64, I64, Bool, EventBatch

CHANNELS = ("rms", "temperature", "pressure", "current")
UNITS = ("mm/s", "°C", "bar", "A")
KINDS = ("spike", "shift", "drift", "stuck", "noise", "rhythm")
MACHINES = ("pump", "fan", "compressor", "mixer")

NOISE = np.array([0.12, 0.25, 0.04, 0.35])  # (S,) one sigma of the sensors
WANDER = 0.5 * NOISE  # (S,) slow random drift with a time constant of ten minutes
# (S,) per unit of load; the temperature follows the slow load instead
LOAD_EFFECT = np.array([0.8, 0.0, 0.15, 12.0])
HEAT = 10.0  # °C per unit of slow load
AMBIENT = 3.0  # °C, amplitude over the day
GRID_S = 30.0
LOAD_LAG_S, HEAT_LAG_S, WANDER_S = 180.0, 1500.0, 600.0
REGIME_MEAN_S = 2 * 3600.0
JITTER = 0.03  # of the interval between reports
EVENTS_A_STRETCH = 8192
# Length of a fault in intervals of its machine, and its size in sigmas of its sensor (or as a
# factor of the report rate).
LENGTH = {
    "spike": (1.2, 2.5), "shift": (60, 120), "drift": (150, 250),
    "stuck": (80, 140), "noise": (50, 90), "rhythm": (50, 90),
}  # fmt: skip
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
class _Active:
    """A fault and its state while it is active."""

    fault: Fault
    machine: int
    channel: int  # -1 for the rhythm
    size: float
    frozen: float = np.nan  # the value of a stuck sensor


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
        self._clock = _Clock(self.interval_s, start_s)
        self._grid = _Grid(machines, self._hour, start_s, rng)
        self._stretch_s = _stretch(self.interval_s)
        self._plan = _Plan(
            self.names, self.interval_s, faults, start_s + quiet_s, fault_every_s, seed
        )
        self._now_s, self._count, self._turn = start_s, 0, 0

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(active.fault for active in self._plan.begun)

    def advance(self) -> EventBatch:
        until_s = self._now_s + self._stretch_s
        self._turn += 1
        rng = np.random.default_rng([self.seed, self._turn])
        active = self._plan.between(self._now_s, until_s)
        time_s, machine = self._clock.beats(self._now_s, until_s, active, rng)
        load, heat, wander = self._grid.follow(self._now_s, until_s, rng)
        values = self._sensors(time_s, machine, load, heat, wander, rng)
        for item in active:
            _strike(item, time_s, machine, values, rng)
        return self._batch(time_s, machine, values, active, until_s)

    def _sensors(
        self, time_s: F64, machine: I64, load: F64, heat: F64, wander: F64, rng: Generator
    ) -> F64:
        """Return values (N, S) without faults."""
        at = (time_s - self._now_s) / GRID_S
        values: F64 = self._base[machine] + _between(load, at, machine)[:, None] * LOAD_EFFECT
        values += _between(wander, at, machine) + rng.normal(size=(len(at), len(CHANNELS))) * NOISE
        daily: F64 = AMBIENT * np.sin(2 * np.pi * (time_s / DAY_S - 0.375))  # warmest at 15:00
        values[:, 1] += HEAT * _between(heat, at, machine) + daily
        return values

    def _batch(
        self, time_s: F64, machine: I64, values: F64, active: list[_Active], until_s: float
    ) -> EventBatch:
        offset = np.arange(self._count, self._count + len(time_s), dtype=np.int64)
        self._now_s, self._count = until_s, self._count + len(time_s)
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


def _between(grid: F64, at: F64, machine: I64) -> F64:
    """Interpolate the grid (G, M, ...) at fractional grid times `at` (N,) of each machine."""
    left = np.minimum(at.astype(np.int64), len(grid) - 2)
    share = (at - left).reshape(-1, *[1] * (grid.ndim - 2))
    result: F64 = grid[left, machine] * (1 - share) + grid[left + 1, machine] * share
    return result


class _Clock:
    """Report times of machines: regular with jitter, on a phase that rhythm faults distort."""

    def __init__(self, interval_s: F64, start_s: float) -> None:
        self.interval_s = interval_s
        self._phase = np.zeros(len(interval_s))  # reports so far, fractional
        # phase of the next event, spread over the machines
        self._next = (np.arange(len(interval_s)) * 0.618) % 1

    def beats(
        self, from_s: float, until_s: float, active: list[_Active], rng: Generator
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


def warp_of(item: _Active, clock: _Clock, from_s: float, until_s: float) -> tuple[F64, F64]:
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


class _Grid:
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


class _Plan:
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
        self.begun: list[_Active] = []
        self._running: list[_Active] = []
        self._names, self._interval_s, self._every_s = names, interval_s, every_s
        self._rng = np.random.default_rng([seed, 1, 1])
        self._waiting = [] if isinstance(faults, bool) else self._given(faults)
        self._endless, self._next_s, self._drawn = faults is True, first_s, 0
        self._busy_s = np.zeros(len(names))

    def between(self, from_s: float, until_s: float) -> list[_Active]:
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

    def _given(self, faults: Sequence[Fault]) -> list[_Active]:
        return [self._checked(fault) for fault in sorted(faults, key=lambda fault: fault.start_s)]

    def _checked(self, fault: Fault) -> _Active:
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
) -> _Active:
    size = float(rng.uniform(*SIZE[kind])) if SIZE[kind][1] else 0.0
    up = bool(rng.random() < 0.5)
    size = (size if up else -size) if kind != "rhythm" else (size if up else 1 / size)
    name = None if channel < 0 else CHANNELS[channel]
    fault = Fault(kind, names[machine], start_s, end_s, name, detail=_told(kind, size))
    return _Active(fault, machine, channel, size)


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


def _strike(item: _Active, time_s: F64, machine: I64, values: F64, rng: Generator) -> None:
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
