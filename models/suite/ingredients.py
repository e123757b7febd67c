"""What a normal stream is made of, kept apart so that a fault can change one part of it.

Axes: T rows, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.suite.stream import Parameters
from streamer.detect.network.features import DAY_S
from streamer.event import F64, Bool

Rng = np.random.Generator
Season = Callable[[F64, int], F64]  # (row positions (T,), form) -> (T, C)
KERNEL_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Timeline:
    """The clock of a stream and the draws for it."""

    rng: Rng
    draw: Parameters
    time_s: F64  # (T,)
    step_s: float

    @property
    def rows(self) -> int:
        return len(self.time_s)

    @property
    def day_rows(self) -> float:
        return DAY_S / self.step_s

    def normal(self, channels: int = 1) -> F64:
        """White noise, (T, C)."""
        return self.rng.standard_normal((self.rows, channels))

    def smooth(self, memory_rows: float, channels: int = 1) -> F64:
        """Noise of first order that forgets within `memory_rows`, of unit size, (T, C)."""
        keep = np.exp(-1 / max(memory_rows, 1e-3))
        kernel = keep ** np.arange(min(self.rows, KERNEL_ROWS))
        return filtered(self.normal(channels), kernel) * np.sqrt(1 - keep**2)


def filtered(noise: F64, kernel: F64) -> F64:
    """Noise (T, C) through a causal filter (K,)."""
    size = 1 << (len(noise) + len(kernel) - 1).bit_length()
    product = np.fft.rfft(noise, size, axis=0) * np.fft.rfft(kernel, size)[:, None]
    return np.fft.irfft(product, size, axis=0)[: len(noise)]


def no_season(position: F64, form: int) -> F64:
    """Nothing recurs."""
    return np.zeros((len(position), 1))


def same(values: F64) -> F64:
    return values


@dataclass(slots=True)
class Ingredients:
    """values = finish(level + season + noise * size). `runs` are the rows of scheduled jobs."""

    level: F64  # (T, C)
    noise: F64  # (T, C) of its own size
    season: Season = no_season
    finish: Callable[[F64], F64] = same  # causal: rounds, limits, adds up
    runs: tuple[tuple[int, int], ...] = ()
    job: F64 | None = None  # (T, C) what the jobs add
    other: F64 | None = None  # (T, C) level and noise as other causes would have them
    harmless: tuple[tuple[str, int, int], ...] = ()
    rarity: float = 1.0  # spread of rare large values, in units of the usual spread

    def values(self, position: F64, form: F64) -> F64:
        """The stream (T, C), its season read at these positions (T,) and in these forms (T,)."""
        season = np.where(form[:, None] > 0, self.season(position, 1), self.season(position, 0))
        season = np.where(form[:, None] == MUTE, season.mean(axis=0), season)
        extra = 0.0 if self.job is None else self.job
        return self.finish(self.level + season + self.noise + extra)


MUTE = 2.0  # the form of a season that does not come


def template(rng: Rng, harmonics: int = 4) -> Callable[[F64], F64]:
    """A wave of unit size over phases in turns."""
    order = np.arange(1, harmonics + 1)
    weight = rng.standard_normal((2, harmonics)) / order
    weight[0, 0] += 1.0
    weight /= np.sqrt((weight**2).sum() / 2)

    def wave(turns: F64) -> F64:
        angle = 2 * np.pi * turns[..., None] * order
        return (np.sin(angle) * weight[0] + np.cos(angle) * weight[1]).sum(axis=-1)

    return wave


def seasonal_of(rng: Rng, period_rows: float, size: float, channels: int = 1) -> Season:
    """A season in two forms: its own, and another of the same size and length."""
    own = [template(rng) for _ in range(channels)]
    foreign = [template(rng) for _ in range(channels)]
    phase = rng.random(channels)

    def season(position: F64, form: int) -> F64:
        waves = foreign if form else own
        turns = position[:, None] / period_rows + phase
        return size * np.stack([wave(turns[:, c]) for c, wave in enumerate(waves)], axis=1)

    return season


def daily_runs(timeline: Timeline, at_s: float, length_s: float) -> tuple[tuple[int, int], ...]:
    """Rows of a job that runs at the same time every day."""
    first_day = np.floor(timeline.time_s[0] / DAY_S) * DAY_S
    days = int(np.ptp(timeline.time_s) / DAY_S) + 2
    found = []
    for day in range(days):
        begin = first_day + day * DAY_S + at_s
        start, stop = np.searchsorted(timeline.time_s, [begin, begin + length_s])
        if 0 < start < stop < timeline.rows:
            found.append((int(start), int(stop)))
    return tuple(found)


def dwelling(rng: Rng, rows: int, mean_rows: float, states: int) -> np.ndarray:
    """State (T,) of a chain that stays for about `mean_rows` and then goes to another one."""
    switch = rng.random(rows) < 1 / mean_rows
    jump = np.where(switch, rng.integers(1, states, rows), 0) if states > 1 else np.zeros(rows)
    return (np.cumsum(jump) % states).astype(np.int64)


def covered(rows: int, runs: tuple[tuple[int, int], ...]) -> Bool:
    """Whether a row lies in one of the runs, (T,)."""
    inside = np.zeros(rows, np.bool_)
    for start, stop in runs:
        inside[start:stop] = True
    return inside
