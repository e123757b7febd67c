"""A pump with three sensors, as an operator would try a detector on it, and the same pump sampled
every second, every ten seconds or every minute.

Vibration (mm/s), temperature (C) and pressure (bar) follow one load. Axes: T rows, C = 3 channels.
"""

from __future__ import annotations

import numpy as np

from models.suite.ingredients import Timeline, covered, daily_runs
from models.suite.stream import HarmlessChange, LabelledStream, Parameters, PlantedFault
from models.synth.rhythms import EPOCH_2024_S
from streamer.detect.network.features import DAY_S
from streamer.event import F64

CHANNELS = ("vibration", "temperature", "pressure")
VIBRATION, TEMPERATURE, PRESSURE = range(3)
HOUR_S = 3600.0
SHIFTS = (6.0, 12.0, 20.0)  # in deviations of the channel over the hours before
SHIFT_DAY_S = 22 * HOUR_S
RUN_AT_S, RUN_S, RUN_DAYS = 6 * HOUR_S, 45 * 60.0, 14
MISSED_DAY, ODD_DAY, ODD_AT_S = 9, 11, 15 * HOUR_S
STANDING = (0.05, 24.0, 1.0)  # vibration, temperature far away, pressure of a pump at rest


class SimulatedPump:
    """A simulated pump of some seed; faults change its rows in place."""

    def __init__(self, seed: int, span_s: float, step_s: float, extra_load: F64 | None = None):
        rng = np.random.default_rng([4711, seed])
        time_s = (
            EPOCH_2024_S + 40 * DAY_S + step_s * np.arange(int(span_s / step_s), dtype=np.float64)
        )
        self.clock = Timeline(rng, Parameters(rng, "choose"), time_s, step_s)
        self.extra = np.zeros(len(time_s)) if extra_load is None else extra_load
        self.values = self._normal()  # (T, C)

    def row(self, at_s: float) -> int:
        """The row at a time from the start."""
        return int(at_s / self.clock.step_s)

    def _normal(self) -> F64:
        t, step = self.clock, self.clock.step_s
        day = np.sin(2 * np.pi * (t.time_s / DAY_S - 0.3))
        load = 0.7 + 0.12 * t.smooth(1200 / step)[:, 0] + 0.05 * day + self.extra
        shake = 1 + 0.07 * t.smooth(3 / step)[:, 0]
        warm = 46 + 12 * _lagged(load, 900 / step) + 2 * np.roll(day, self.row(3 * HOUR_S))
        vibration = (1.1 + 1.4 * load) * shake
        temperature = warm + 0.2 * t.normal()[:, 0]
        pressure = 6.4 - 0.3 * load + 0.05 * t.smooth(5 / step)[:, 0]
        return np.stack([vibration, np.round(temperature, 1), np.round(pressure, 3)], axis=1)

    # -- faults --
    def stuck(self, at_s: float, length_s: float) -> PlantedFault:
        """The temperature sensor repeats its last value."""
        start, stop = self.row(at_s), self.row(at_s + length_s)
        self.values[start:stop, TEMPERATURE] = self.values[start - 1, TEMPERATURE]
        return PlantedFault("stuck", start, stop, 1.0, (TEMPERATURE,))

    def cavitation(self, at_s: float, length_s: float) -> PlantedFault:
        """The pressure falls and trembles, and the pump shakes."""
        start, stop = self.row(at_s), self.row(at_s + length_s)
        rough = self.clock.smooth(4 / self.clock.step_s)[start:stop, 0]
        self.values[start:stop, PRESSURE] -= 0.5 - 0.25 * rough
        self.values[start:stop, VIBRATION] *= 1.5 + 0.2 * np.abs(rough)
        return PlantedFault("cavitation", start, stop, 0.5, (VIBRATION, PRESSURE))

    def wear(self, at_s: float, length_s: float, factor: float, warmer: float) -> PlantedFault:
        """A bearing wears: vibration and temperature rise, slowly at first."""
        start, stop = self.row(at_s), self.row(at_s + length_s)
        way = np.linspace(0, 1, stop - start) ** 1.3
        self.values[start:stop, VIBRATION] *= 1 + (factor - 1) * way
        self.values[start:stop, TEMPERATURE] += warmer * way
        return PlantedFault("wear", start, stop, factor, (VIBRATION, TEMPERATURE))

    def trip(self, at_s: float, length_s: float) -> PlantedFault:
        """The pump stands still; its temperature falls, and recovers after the restart."""
        start, stop = self.row(at_s), self.row(at_s + length_s)
        before = self.values[start - 1, TEMPERATURE]
        cooling = np.exp(-np.arange(stop - start) * self.clock.step_s / 1500)
        noise = self.values[start:stop] - self.values[start:stop].mean(axis=0)
        at_rest = np.array(STANDING) + 0.02 * noise
        at_rest[:, TEMPERATURE] = STANDING[1] + (before - STANDING[1]) * cooling
        self.values[start:stop] = np.round(at_rest, 3)
        rest = np.exp(-np.arange(len(self.values) - stop) * self.clock.step_s / 600)
        self.values[stop:, TEMPERATURE] += (at_rest[-1, 1] - self.values[stop, 1]) * rest
        return PlantedFault("trip", start, stop, 1.0, (0, 1, 2))

    def sampled(
        self,
        name: str,
        step_s: float,
        faults: list[PlantedFault],
        harmless: tuple[HarmlessChange, ...] = (),
    ) -> LabelledStream:
        """What arrives at this sampling step."""
        each = round(step_s / self.clock.step_s)
        found = [
            PlantedFault(f.kind, -(-f.start // each), -(-f.stop // each), f.strength, f.channels)
            for f in faults
        ]
        calm = [HarmlessChange(h.kind, -(-h.start // each), -(-h.stop // each)) for h in harmless]
        return LabelledStream(
            f"{name}-{step_s:g}s",
            "pump",
            name.split("-", maxsplit=1)[0],
            step_s,
            self.clock.time_s[::each],
            self.values[::each].astype(np.float32),
            0,
            tuple(found),
            tuple(calm),
            names=CHANNELS,
        )


def _lagged(load: F64, rows: float) -> F64:
    """Load through a slow first-order lag."""
    keep = np.exp(-1 / max(rows, 1e-3))
    out, state = np.empty_like(load), float(load[0])
    for i, x in enumerate(load.tolist()):
        state = keep * state + (1 - keep) * x
        out[i] = state
    return out


def two_days(seed: int, steps_s: tuple[float, ...], base_s: float = 1.0) -> list[LabelledStream]:
    """Stuck sensor, cavitation, a bearing that wears for 3 h 40 and the trip that ends it."""
    rng = np.random.default_rng([815, seed])
    pump = SimulatedPump(seed, 48 * HOUR_S, base_s)
    early, late, factor, warmer = rng.uniform([20, 26, 2.8, 13], [22, 28, 3.2, 15])
    wear_at = float(rng.uniform(33, 36)) * HOUR_S
    wear_s = (3 + 40 / 60) * HOUR_S
    faults = [
        pump.stuck(early * HOUR_S, 2 * HOUR_S),
        pump.cavitation(late * HOUR_S, 40 * 60),
        pump.wear(wear_at, wear_s, float(factor), float(warmer)),
        pump.trip(wear_at + wear_s, 20 * 60),
    ]
    return [pump.sampled(f"pump-{seed}", step, faults) for step in steps_s]


def level_shift(
    seed: int, sigma: float, steps_s: tuple[float, ...], base_s: float = 1.0
) -> list[LabelledStream]:
    """A level that is off from the middle of the day to its end."""
    rng = np.random.default_rng([816, seed])
    pump = SimulatedPump(1000 + seed, SHIFT_DAY_S, base_s)
    start, channel = pump.row(float(rng.uniform(11, 13)) * HOUR_S), seed % len(CHANNELS)
    deviation = pump.values[start - pump.row(6 * HOUR_S) : start, channel].std()
    pump.values[start:, channel] += sigma * deviation
    fault = PlantedFault(f"shift {sigma:g}", start, len(pump.values), sigma, (channel,))
    return [pump.sampled(f"shift{sigma:g}-{seed}", step, [fault]) for step in steps_s]


def daily_load(seed: int, steps_s: tuple[float, ...], base_s: float = 10.0) -> list[LabelledStream]:
    """A job at 06:00 on 14 days, light or heavy by the seed; one run is missed, and one day has a
    second one at 15:00.
    """
    plain = SimulatedPump(2000 + seed, RUN_DAYS * DAY_S, base_s).clock
    runs = list(daily_runs(plain, RUN_AT_S, RUN_S))
    (odd,) = (run for day, run in enumerate(daily_runs(plain, ODD_AT_S, RUN_S)) if day == ODD_DAY)
    missed = runs.pop(MISSED_DAY)
    heavy = float(np.random.default_rng([817, seed]).uniform(0.9, 3.0))
    load = heavy * covered(plain.rows, (*runs, odd)).astype(np.float64)
    pump = SimulatedPump(2000 + seed, RUN_DAYS * DAY_S, base_s, extra_load=load)
    faults = [
        PlantedFault("missed run", *missed, heavy, (0, 1, 2)),
        PlantedFault("odd hour", *odd, heavy, (0, 1, 2)),
    ]
    harmless = tuple(HarmlessChange("daily job", *run) for run in runs)
    return [pump.sampled(f"job-{seed}", step, faults, harmless) for step in steps_s]
