"""Families of normal streams: what each is made of, and which faults make sense in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.suite.ingredients import (
    Ingredients,
    Timeline,
    covered,
    daily_runs,
    dwelling,
    filtered,
    seasonal_of,
)
from streamer.detect.network.features import DAY_S
from streamer.event import F64

SHARED_CHANNELS = 8


def seasonal(t: Timeline) -> Ingredients:
    """A pattern that recurs: by the day where a day has few rows, else within minutes."""
    daily = t.day_rows < 2000 and t.draw.between("daily", 0, 1) < 0.6
    period = t.day_rows if daily else t.draw.log_between("period_rows", 24, 400)
    size = t.draw.log_between("season_over_noise", 1.5, 12)
    noise = t.normal() + 0.7 * t.smooth(t.draw.log_between("memory_rows", 3, 60))
    return Ingredients(np.zeros((t.rows, 1)), noise, seasonal_of(t.rng, period, size))


def trending(t: Timeline) -> Ingredients:
    """A slow way up or down, wandering."""
    slope = t.draw.between("rise_over_noise", -6, 6)
    memory = t.draw.log_between("memory_rows", 300, 3000)
    level = slope * np.linspace(0, 1, t.rows)[:, None] + t.smooth(memory)
    return Ingredients(level, t.draw.log_between("noise", 0.2, 0.8) * t.normal())


def bursty(t: Timeline) -> Ingredients:
    """Quiet with bursts that die away, of any height."""
    often = t.rng.random((t.rows, 1)) < t.draw.log_between("bursts_a_row", 0.004, 0.05)
    height = t.rng.exponential(1, (t.rows, 1)) * t.draw.log_between("height", 3, 10)
    fade = np.exp(-np.arange(200) / t.draw.log_between("fade_rows", 2, 20))
    level = filtered(often * height, fade)
    return Ingredients(level, 0.3 * t.normal(), finish=_not_negative, rarity=8.0)


def regimes(t: Timeline) -> Ingredients:
    """Two to four levels of work, each normal, each kept for a while."""
    states = 2 + int(t.draw.between("states", 0, 2.99))
    levels = np.sort(t.rng.uniform(0, 12, states))
    state = dwelling(t.rng, t.rows, t.draw.log_between("stay_rows", 80, 500), states)
    settle = np.exp(-np.arange(60) / t.draw.log_between("settle_rows", 1, 8))
    level = filtered(levels[state][:, None], settle / settle.sum())
    changes = np.flatnonzero(np.diff(state))
    marks = tuple(("regime", int(c) + 1, int(c) + 20) for c in changes[changes > 0.6 * t.rows][:4])
    return Ingredients(level, t.draw.log_between("noise", 0.2, 0.8) * t.normal(), harmless=marks)


def intermittent(t: Timeline) -> Ingredients:
    """Mostly nothing, now and then a demand."""
    chance = t.draw.log_between("demand_a_row", 0.03, 0.3)
    size = t.rng.gamma(t.draw.between("shape", 1.5, 6), 1.0, (t.rows, 1))
    level = (t.rng.random((t.rows, 1)) < chance) * size
    return Ingredients(level, np.zeros((t.rows, 1)), finish=_whole, rarity=4.0)


def counter(t: Timeline) -> Ingredients:
    """A total that grows with the load of the day and starts again after restarts."""
    size = t.draw.between("swing", 0.1, 0.6)
    level = np.full((t.rows, 1), t.draw.log_between("rate", 2, 50))
    often = t.draw.log_between("restart_rows", 400, 2000)
    restarts = np.cumsum(t.rng.exponential(often, 64) + 60).astype(int)
    restarts = restarts[restarts < t.rows]
    marks = tuple(("restart", int(r), int(r) + 5) for r in restarts[restarts > 0.6 * t.rows][:4])
    noise = level * 0.15 * t.normal()
    season = seasonal_of(
        t.rng, max(t.day_rows, 50) if t.day_rows < 2000 else 300, size * level[0, 0]
    )

    def added_up(rate: F64) -> F64:
        total = np.cumsum(np.maximum(rate, 0), axis=0)
        base = np.zeros(t.rows)
        for r in restarts:
            base[r:] = total[r - 1, 0]
        return total - base[:, None]

    return Ingredients(level, noise, season, added_up, harmless=marks)


def bounded(t: Timeline) -> Ingredients:
    """A utilisation between 0 and 100 that spends time at its limits."""
    load = t.draw.between("load", -0.5, 1.2) + t.smooth(t.draw.log_between("memory_rows", 30, 300))
    noise = t.draw.log_between("noise", 0.05, 0.3) * t.normal()
    period = t.draw.log_between("period_rows", 100, 600)

    def percent(x: F64) -> F64:
        return np.clip(50 + 35 * x, 0, 100)

    return Ingredients(0.6 * load, noise, seasonal_of(t.rng, period, 0.7), percent)


def quantised(t: Timeline) -> Ingredients:
    """A slow sensor that reports in coarse steps."""
    step = t.draw.log_between("step", 0.3, 1.5)
    level = t.smooth(t.draw.log_between("memory_rows", 60, 600)) * 1.5
    return Ingredients(level, 0.25 * t.normal(), finish=lambda x: np.round(x / step) * step)


def heteroscedastic(t: Timeline) -> Ingredients:
    """Noise whose size wanders and follows the time of day."""
    clock = 2 * np.pi * t.time_s[:, None] / min(DAY_S, 2000 * t.step_s)
    swing = t.draw.between("swing", 0.3, 0.9) * np.sin(clock)
    size = np.exp(swing + t.draw.between("wander", 0.2, 0.7) * t.smooth(200))
    return Ingredients(0.5 * t.smooth(40), size * t.normal())


def shared_causes(t: Timeline) -> Ingredients:
    """Eight channels, mixtures of three causes, each with noise of its own."""
    causes = 3
    mixing = t.rng.standard_normal((causes, SHARED_CHANNELS))
    memory = t.draw.log_between("memory_rows", 10, 120)
    level, foreign = (t.smooth(memory, causes) @ mixing for _ in range(2))
    own = t.draw.log_between("own_noise", 0.1, 0.5) * t.normal(SHARED_CHANNELS)
    season = seasonal_of(t.rng, t.draw.log_between("period_rows", 60, 500), 0.8, SHARED_CHANNELS)
    return Ingredients(level, own, season, other=foreign)


def daily_job(t: Timeline) -> Ingredients:
    """A plain level, and a job at the same time of every day."""
    length_s = t.draw.log_between("job_s", 1200, 7200)
    at_s = t.draw.between("job_at_s", 0.1, 0.6) * DAY_S
    runs = daily_runs(t, at_s, length_s)
    job = t.draw.log_between("job_over_noise", 6, 25) * covered(t.rows, runs)[:, None].astype(float)
    marks = tuple(("daily job", *run) for run in runs[3:])
    level = 0.5 * t.smooth(t.draw.log_between("memory_rows", 20, 200))
    return Ingredients(level, 0.7 * t.normal(), runs=runs, job=job, harmless=marks)


def vibration(t: Timeline) -> Ingredients:
    """A resonance: noise with a frequency of its own."""
    turn = 2 * np.pi / t.draw.log_between("period_rows", 4, 25)
    lag = np.arange(300)
    damping = np.exp(-lag / t.draw.log_between("memory_rows", 5, 40))
    own, fast = (
        filtered(t.normal(), damping * np.cos(turn * factor * lag)) for factor in (1.0, 2.2)
    )
    other = fast * own.std() / fast.std()
    return Ingredients(np.zeros((t.rows, 1)), own / own.std(), other=other / own.std())


def events(t: Timeline) -> Ingredients:
    """Amounts of independent events."""
    spread = t.draw.between("spread", 0.3, 0.9)
    return Ingredients(np.zeros((t.rows, 1)), spread * t.normal(), finish=np.exp, rarity=3.0)


def heartbeat(t: Timeline) -> Ingredients:
    """A sign of life: its value says little, its clock everything."""
    chance = t.draw.log_between("flag_a_row", 0.001, 0.05)
    flags = (t.rng.random((t.rows, 1)) < chance).astype(np.float64)
    return Ingredients(flags, 0.01 * t.normal(), finish=lambda x: np.round(x, 1))


def _not_negative(x: F64) -> F64:
    return np.maximum(x, 0)


def _whole(x: F64) -> F64:
    return np.asarray(np.round(np.maximum(x, 0)), np.float64)


POINT, SUDDEN = ("spike", "dip"), ("shift", "stuck", "noisier")
REGULAR_RHYTHM = ("silence", "slowed", "irregular")
TEMPO = ("faster", "burst")


@dataclass(frozen=True, slots=True)
class Family:
    """How a stream is made, at which sampling steps, and what may go wrong with it."""

    make: Callable[[Timeline], Ingredients]
    steps_s: tuple[float, ...]
    kinds: tuple[str, ...]
    clock: str = "regular"  # "regular" | "events" | "beat"
    copies: int = 2  # streams with faults at each step


FAMILIES: dict[str, Family] = {
    "seasonal": Family(
        seasonal,
        (1, 10, 60, 300),
        (
            "form",
            "shift",
            "missing_season",
            "frequency",
            "spike",
            "form",
            "drift",
            "missing_season",
            "frequency",
            "noisier",
            "dip",
        ),
        copies=3,
    ),
    "trending": Family(
        trending, (1, 10, 60, 300), ("drift", "spike", "shift", "slowed", "calmer", "dip", "stuck")
    ),
    "bursty": Family(bursty, (1, 10, 60), ("shift", "noisier", "stuck", "spike", "silence")),
    "regimes": Family(
        regimes, (10, 60, 300), ("drift", "shift", "spike", "stuck", "irregular", "noisier")
    ),
    "intermittent": Family(intermittent, (10, 60, 300), ("noisier", "stuck", "spike", "slowed")),
    "counter": Family(counter, (10, 60, 300), ("stuck", "shift", "spike", "drift")),
    "bounded": Family(bounded, (1, 10, 60, 300), ("stuck", "noisier", "dip", "drift", "form")),
    "quantised": Family(
        quantised, (1, 10, 60, 300), ("shift", "silence", "noisier", "stuck", "drift", "irregular")
    ),
    "heteroscedastic": Family(
        heteroscedastic, (10, 60, 300), ("shift", "noisier", "drift", "spike")
    ),
    "shared_causes": Family(
        shared_causes,
        (10, 60, 300),
        (
            "decoupled",
            "shift",
            "stuck",
            "decoupled",
            "drift",
            "noisier",
            "decoupled",
            "spike",
            "form",
            "calmer",
        ),
        copies=3,
    ),
    "daily_job": Family(
        daily_job,
        (60, 300),
        ("missed_run", "odd_hour", "missed_run", "odd_hour", "shift"),
        copies=5,
    ),
    "vibration": Family(
        vibration, (1, 10, 60), ("frequency", "calmer", "noisier", "irregular", "dip", "silence")
    ),
    "events": Family(
        events, (20, 120, 600), ("burst", "silence", "faster", "slowed", "spike", "shift"), "events"
    ),
    "heartbeat": Family(
        heartbeat, (1, 10, 60, 300), ("slowed", "silence", "irregular", "faster", "burst"), "beat"
    ),
}
