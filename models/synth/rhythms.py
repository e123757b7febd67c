"""Rhythms of synthetic streams: each family makes event times (N, T) of N streams, T rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.synth.draws import Rng, column, log_column, normal
from streamer.detect.network.features import DAY_S
from streamer.event import F64

EPOCH_2024_S = 1_704_067_200.0
YEAR_S = 365 * DAY_S


def rhythms(rng: Rng, entities: int, rows: int) -> F64:
    """Event times (E, T), one randomly chosen family per entity, starting somewhere in
    some year.
    """
    families = list(RHYTHM_FAMILIES.values())
    choice = rng.integers(len(families), size=entities)
    start = EPOCH_2024_S + rng.uniform(0, YEAR_S, (entities, 1))
    time_s = np.empty((entities, rows))
    for index, family in enumerate(families):
        chosen = np.flatnonzero(choice == index)
        if len(chosen):
            time_s[chosen] = family(rng, start[chosen], rows)
    return time_s


def periodic(rng: Rng, start: F64, rows: int) -> F64:
    """A clock with up to 15 % jitter and some missing beats; round periods are common."""
    n = len(start)
    common = rng.choice([0.1, 1.0, 5.0, 10.0, 60.0, 300.0, 600.0, 1800.0, 3600.0], (n, 1))
    period = np.where(rng.random((n, 1)) < 0.6, common, log_column(rng, n, 0.05, DAY_S))
    missing = rng.random((n, rows)) < log_column(rng, n, 1e-4, 0.05)
    beats = np.cumsum(1 + missing * rng.integers(1, 4, (n, rows)), axis=1)
    jitter = column(rng, n, 0, 0.15) * (rng.random((n, 1)) < 0.7)
    return start + period * (beats + 0.5 * jitter * normal(rng, (n, rows)).clip(-3, 3))


def lognormal(rng: Rng, start: F64, rows: int) -> F64:
    """Independent gaps of some spread."""
    gaps = np.exp(column(rng, len(start), 0.2, 1.5) * normal(rng, (len(start), rows)))
    return start + np.cumsum(log_column(rng, len(start), 0.1, DAY_S) * gaps, axis=1)


def poisson(rng: Rng, start: F64, rows: int) -> F64:
    """No memory at all."""
    return start + np.cumsum(
        rng.exponential(log_column(rng, len(start), 0.1, DAY_S), (len(start), rows)), axis=1
    )


def bursty(rng: Rng, start: F64, rows: int) -> F64:
    """Runs of short gaps with long pauses between them."""
    n = len(start)
    pause = rng.random((n, rows)) < log_column(rng, n, 0.02, 0.4)
    spread = np.exp(column(rng, n, 0.05, 0.8) * normal(rng, (n, rows)))
    gaps = np.where(pause, log_column(rng, n, 5, 200), 1.0) * spread
    return start + np.cumsum(log_column(rng, n, 0.1, 3600) * gaps, axis=1)


def calendar(rng: Rng, start: F64, rows: int) -> F64:
    """Busy by day and weekday, quiet by night."""
    n = len(start)
    mean, swing, peak = (
        log_column(rng, n, 60, DAY_S / 4),
        column(rng, n, 0.5, 2.5),
        column(rng, n, 0, 1),
    )
    weekend = np.where(rng.random((n, 1)) < 0.5, column(rng, n, 0.5, 4), 1.0)
    shape = log_column(rng, n, 0.7, 5)
    draws = rng.gamma(shape, 1 / shape, (n, rows))
    now, out = start.copy(), np.empty((n, rows))
    for t in range(rows):
        slow = np.exp(-swing * np.cos(2 * np.pi * (now / DAY_S - peak)))
        slow = slow * np.where((now / DAY_S + 3) % 7 >= 5, weekend, 1)
        now = now + mean * np.minimum(slow, 30) * draws[:, t : t + 1]
        out[:, t : t + 1] = now
    return out


def schedule(rng: Rng, start: F64, rows: int) -> F64:
    """The same one to eight times of day, every day, give or take."""
    n = len(start)
    slots = np.sort(rng.uniform(0, DAY_S, (n, 8)), axis=1)
    used = rng.integers(1, 9, (n, 1))
    index = np.arange(rows)[None]
    slot = np.sort(np.where(np.arange(8)[None] < used, slots, np.inf), axis=1)
    at = np.take_along_axis(slot, index % used, axis=1) + DAY_S * (index // used)
    jitter = log_column(rng, n, 10, 3600) * normal(rng, (n, rows))
    return np.sort(np.floor(start / DAY_S) * DAY_S + at + jitter, axis=1)


Rhythm = Callable[[Rng, F64, int], F64]
RHYTHM_FAMILIES: dict[str, Rhythm] = {
    "periodic": periodic,
    "lognormal": lognormal,
    "poisson": poisson,
    "bursty": bursty,
    "calendar": calendar,
    "schedule": schedule,
}
