"""Synthetic streams: varied normal behaviour to learn from, and anomalies to be measured by.
Vectorised, seeded.

Axes: E entities, T rows, C channels; N rows of values (N = E * C) while they are generated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.dataset import History
from streamer.detect.network.features import DAY_S, WEEK_S
from streamer.event import F64

Rng = np.random.Generator
EPOCH_2024_S = 1_704_067_200.0
YEAR_S = 365 * DAY_S
BURN_IN = 64
RHYTHM_OFF_SHARE = 0.2
MISSING_SHARE = 0.15
COUPLED_SHARE = 0.4


def streams(rng: Rng, entities: int, rows: int, channels: int) -> History:
    """E normal streams of T rows: every entity has a rhythm, every channel a kind; nothing in it is
    an anomaly.
    """
    time_s = rhythms(rng, entities, rows)
    v = channel_values(rng, np.repeat(time_s, channels, axis=0))  # (E * C, T)
    v = v.reshape(entities, channels, rows).transpose(0, 2, 1)  # (E, T, C)
    if channels > 1:
        v = _couple(rng, v)
    v = _missing(rng, _units(rng, v))
    normal = np.zeros((entities, rows), bool)
    return History(v.astype(np.float32), time_s, normal, rng.random(entities) >= RHYTHM_OFF_SHARE)


# --- values: each kind makes (N, T) of about unit size, given the event times (N, T) ---


def channel_values(rng: Rng, time_s: F64) -> F64:
    """One randomly chosen kind per row of `time_s` (N, T)."""
    kinds = list(VALUE_KINDS.items())
    weights = np.array([weight for _, (weight, _) in kinds])
    choice = rng.choice(len(kinds), len(time_s), p=weights / weights.sum())
    v = np.empty(time_s.shape)
    for index, (_, (_, make)) in enumerate(kinds):
        rows = np.flatnonzero(choice == index)
        if len(rows):
            v[rows] = make(rng, time_s[rows])
    return v


def _column(rng: Rng, n: int, low: float, high: float) -> F64:
    return rng.uniform(low, high, (n, 1))


def _log_column(rng: Rng, n: int, low: float, high: float) -> F64:
    return np.exp(rng.uniform(np.log(low), np.log(high), (n, 1)))


def _recur(coefficients: F64, noise: F64) -> F64:
    """v_t = sum_k coefficients[:, k] v_(t-1-k) + noise_t over (N, T), standardised after a burn-in
    that is cut off.
    """
    order = coefficients.shape[1]
    v = np.zeros((len(noise), noise.shape[1] + order))
    for t in range(noise.shape[1]):
        v[:, t + order] = (
            np.einsum("nk,nk->n", coefficients, v[:, t : t + order][:, ::-1]) + noise[:, t]
        )
    v = v[:, order + BURN_IN :]
    return v / (v.std(axis=1, keepdims=True) + 1e-9)


def _normal(rng: Rng, shape: tuple[int, int]) -> F64:
    return rng.standard_normal(shape)


def ar(rng: Rng, time_s: F64) -> F64:
    """First order, from white noise to almost a random walk; some alternate."""
    n, t = time_s.shape
    phi = 1 - 10 ** -_column(rng, n, 0, 3)
    phi = np.where(rng.random((n, 1)) < 0.1, -0.9 * phi, phi)
    return _recur(phi, _normal(rng, (n, t + BURN_IN)))


def resonance(rng: Rng, time_s: F64) -> F64:
    """Orders two to four with complex poles: vibration, control loops, smooth drifts."""
    n, t = time_s.shape
    poly = np.ones((n, 1))
    for _ in range(2):
        radius, angle = 1 - 10 ** -_column(rng, n, 0.3, 2.5), np.pi * _column(rng, n, 0, 1) ** 2
        on = rng.random((n, 1)) < 0.7
        pair = np.concatenate(
            [np.ones((n, 1)), -2 * radius * np.cos(angle) * on, radius**2 * on], axis=1
        )
        poly = _multiply(poly, pair)
    return _recur(-poly[:, 1:], _normal(rng, (n, t + BURN_IN)))


def _multiply(a: F64, b: F64) -> F64:
    out = np.zeros((len(a), a.shape[1] + b.shape[1] - 1))
    for i in range(b.shape[1]):
        out[:, i : i + a.shape[1]] += a * b[:, i : i + 1]
    return out


def heavy(rng: Rng, time_s: F64) -> F64:
    """First order with Student noise: rare large shocks are normal here."""
    n, t = time_s.shape
    noise = rng.standard_t(_column(rng, n, 1.5, 5), (n, t + BURN_IN)).clip(-50, 50)
    return _recur(1 - 10 ** -_column(rng, n, 0, 2), noise)


def smooth(rng: Rng, time_s: F64) -> F64:
    """Noise through two or three slow filters: temperatures, levels."""
    v = _normal(rng, (len(time_s), time_s.shape[1] + BURN_IN))
    for _ in range(3):
        phi = 1 - 10 ** -_column(rng, len(v), 0.3, 1.5)
        v = _recur(phi, np.concatenate([np.zeros((len(v), BURN_IN)), v], axis=1))
    return v[:, BURN_IN:] + _noise(rng, v[:, BURN_IN:], 1e-3, 0.3)


def _noise(rng: Rng, like: F64, low: float, high: float) -> F64:
    return _log_column(rng, len(like), low, high) * _normal(rng, like.shape)


def _phase(rng: Rng, time_s: F64) -> F64:
    """Phase (N, T) of a season of 4 to 288 rows; for some rows the season is the day or the week of
    the calendar.
    """
    n, t = time_s.shape
    by_row = 2 * np.pi * (np.arange(t) / _log_column(rng, n, 4, 288) + _column(rng, n, 0, 1))
    unit = np.where(rng.random((n, 1)) < 0.8, DAY_S, WEEK_S)
    by_clock = 2 * np.pi * (time_s / unit + _column(rng, n, 0, 1))
    rows_a_day = unit / np.maximum(np.median(np.diff(time_s, axis=1), axis=1, keepdims=True), 1e-3)
    usable = (rows_a_day > 4) & (rows_a_day < 600) & (rng.random((n, 1)) < 0.6)
    return np.where(usable, by_clock, by_row)


def season(rng: Rng, time_s: F64) -> F64:
    """A wave with harmonics, sometimes squared off, 1 to 100 % noise."""
    n = len(time_s)
    phase = _phase(rng, time_s)
    v = np.sin(phase)
    for k in (2, 3):
        v += _column(rng, n, 0, 0.7) * np.sin(k * phase + _column(rng, n, 0, 2 * np.pi))
    sharp = _log_column(rng, n, 0.5, 20)
    v = np.where(rng.random((n, 1)) < 0.3, np.tanh(sharp * v), v)
    return v + _noise(rng, v, 0.01, 1) + 0.3 * ar(rng, time_s) * (rng.random((n, 1)) < 0.4)


def pulses(rng: Rng, time_s: F64) -> F64:
    """A short pulse in every period: scheduled jobs."""
    n = len(time_s)
    position = (_phase(rng, time_s) / (2 * np.pi)) % 1
    height = np.exp(0.3 * _noise(rng, position, 0.01, 1))
    return height * (position < _log_column(rng, n, 0.02, 0.5)) + _noise(rng, position, 0.003, 0.2)


def _switches(rng: Rng, n: int, t: int, low: float, high: float) -> NDArray[np.int64]:
    """Number (N, T) of the current regime; a switch comes with a probability between low and high
    per row.
    """
    return np.cumsum(rng.random((n, t)) < _log_column(rng, n, low, high), axis=1)


def _levels(rng: Rng, regime: NDArray[np.int64], levels: F64) -> F64:
    """Level of each row: regimes take the levels (N, K) in turn."""
    return np.take_along_axis(levels, regime % levels.shape[1], axis=1)


def regimes(rng: Rng, time_s: F64) -> F64:
    """Steps between two to six levels, noise and slow approach."""
    n, t = time_s.shape
    levels = rng.standard_normal((n, 6))
    few = rng.integers(2, 7, (n, 1))
    levels = np.take_along_axis(levels, np.arange(6)[None] % few, axis=1)
    v = _levels(rng, _switches(rng, n, t, 0.005, 0.2), levels)
    return v + _noise(rng, v, 0.003, 0.5)


def held(rng: Rng, time_s: F64) -> F64:
    """A slow value that is sampled now and then and held, or known in coarse steps."""
    n, t = time_s.shape
    v = ar(rng, time_s)
    keep = np.maximum.accumulate(
        np.where(rng.random((n, t)) < _log_column(rng, n, 0.05, 0.7), np.arange(t), 0), axis=1
    )
    coarse = _log_column(rng, n, 0.1, 2)
    return np.where(
        rng.random((n, 1)) < 0.6, np.take_along_axis(v, keep, axis=1), np.round(v / coarse) * coarse
    )


def spikes(rng: Rng, time_s: F64) -> F64:
    """Quiet with intermittent bursts that die away."""
    n, t = time_s.shape
    shots = (rng.random((n, t + BURN_IN)) < _log_column(rng, n, 0.01, 0.4)) * rng.exponential(
        1, (n, t + BURN_IN)
    )
    v = _recur(_column(rng, n, 0, 0.9), shots)
    return v + _noise(rng, v, 0.001, 0.3)


def walk(rng: Rng, time_s: F64) -> F64:
    """A random walk, some with a square wave on top."""
    n, t = time_s.shape
    v = np.cumsum(_normal(rng, (n, t)), axis=1)
    square = (
        np.sign(np.sin(_phase(rng, time_s)))
        * _log_column(rng, n, 0.3, 30)
        * (rng.random((n, 1)) < 0.5)
    )
    return v + square + _noise(rng, v, 0.01, 1)


def counter(rng: Rng, time_s: F64) -> F64:
    """A total that grows by steady, noisy or time-proportional amounts; some start
    again at zero.
    """
    n = len(time_s)
    gaps = np.diff(time_s, axis=1, prepend=time_s[:, :1])
    gaps /= np.median(gaps, axis=1, keepdims=True) + 1e-9
    rate = np.maximum(1 + _noise(rng, time_s, 0.001, 1), 0)
    total = np.cumsum(np.where(rng.random((n, 1)) < 0.5, rate * gaps.clip(0, 50), rate), axis=1)
    period = _log_column(rng, n, 8, 2000)
    return np.where(rng.random((n, 1)) < 0.6, total % period, total)


def flag(rng: Rng, time_s: F64) -> F64:
    """Two values, long or short stays, some on schedule."""
    n, t = time_s.shape
    chance = _switches(rng, n, t, 0.005, 0.5) % 2
    schedule = np.sin(_phase(rng, time_s)) > _column(rng, n, -0.95, 0.95)
    return np.where(rng.random((n, 1)) < 0.6, chance, schedule).astype(float)


def constant(rng: Rng, time_s: F64) -> F64:
    """Nothing moves, or a blip comes rarely."""
    n, t = time_s.shape
    blip = (rng.random((n, t)) < _log_column(rng, n, 1e-4, 0.02)) * (rng.random((n, 1)) < 0.5)
    return 1.0 * blip * rng.standard_normal((n, 1))


def volatile(rng: Rng, time_s: F64) -> F64:
    """Noise whose size wanders, with weak memory: amounts, prices, loads."""
    size = np.exp(_column(rng, len(time_s), 0.2, 1.2) * ar(rng, time_s))
    return size * _normal(rng, time_s.shape) + _column(rng, len(time_s), 0, 2) * ar(rng, time_s)


def counts(rng: Rng, time_s: F64) -> F64:
    """Whole numbers of things that happened: Poisson with a wandering or seasonal rate."""
    n = len(time_s)
    swing = np.where(rng.random((n, 1)) < 0.5, np.sin(_phase(rng, time_s)), ar(rng, time_s))
    rate = _log_column(rng, n, 0.3, 300) * np.exp(_column(rng, n, 0, 1.2) * swing)
    return rng.poisson(rate.clip(0, 1e6)).astype(float)


def saturating(rng: Rng, time_s: F64) -> F64:
    """Something seasonal or slow that runs into a floor or a ceiling."""
    v = np.where(rng.random((len(time_s), 1)) < 0.5, season(rng, time_s), smooth(rng, time_s))
    return np.clip(v, _column(rng, len(v), -2, 0), _column(rng, len(v), 0.2, 2))


ValueKind = Callable[[Rng, F64], F64]
VALUE_KINDS: dict[str, tuple[float, ValueKind]] = {
    "ar": (3, ar),
    "resonance": (3, resonance),
    "heavy": (1, heavy),
    "smooth": (2, smooth),
    "season": (3, season),
    "pulses": (1, pulses),
    "regimes": (1.5, regimes),
    "held": (1.5, held),
    "spikes": (1.5, spikes),
    "walk": (1.5, walk),
    "counter": (1, counter),
    "flag": (0.5, flag),
    "constant": (0.3, constant),
    "volatile": (1.5, volatile),
    "counts": (1.5, counts),
    "saturating": (1, saturating),
}


def _couple(rng: Rng, v: F64) -> F64:
    """Let the channels (E, T, C) of some entities be mixtures of each other, some a few
    rows later.
    """
    e, _, c = v.shape
    v = v / (v.std(axis=1, keepdims=True) + 1e-9)
    mixing = np.eye(c) + rng.standard_normal((e, c, c)) * (rng.random((e, c, c)) < 0.5)
    mixed = np.einsum("etc,ecd->etd", np.roll(v, 1, axis=1), mixing)
    return np.where(rng.random((e, 1, 1)) < COUPLED_SHARE, mixed, v)


def _units(rng: Rng, v: F64) -> F64:
    """Into somebody's unit: exp of some, noise on some, an offset and a size, floors
    and rounding.
    """
    e, _, c = v.shape
    shape = (e, 1, c)
    v = np.where(rng.random(shape) < 0.1, np.exp(v.clip(-4, 4)), v)
    v = v + (rng.random(shape) < 0.15) * np.exp(rng.uniform(-5, 0, shape)) * rng.standard_normal(
        v.shape
    )
    v = np.where(rng.random(shape) < 0.05, np.maximum(v, 0), v)
    v = (v + rng.choice([0.0, 1.0, 10.0], shape) * rng.standard_normal(shape)) * 10 ** rng.uniform(
        -3, 4, shape
    )
    unit = np.ptp(v, axis=1, keepdims=True) * 10 ** rng.uniform(-3, -1, shape) + 1e-12
    return np.where(rng.random(shape) < 0.2, np.round(v / unit) * unit, v)


def _missing(rng: Rng, v: F64) -> F64:
    """Take away single values or whole rows of some entities."""
    e, t, c = v.shape
    share = np.exp(rng.uniform(np.log(0.01), np.log(0.3), (e, 1, 1))) * (
        rng.random((e, 1, 1)) < MISSING_SHARE
    )
    single = rng.random((e, t, c)) < share
    whole = rng.random((e, t, 1)) < share
    return np.where(np.where(rng.random((e, 1, 1)) < 0.5, single, whole), np.nan, v)


# --- rhythm: each family makes event times (N, T) ---


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
    period = np.where(rng.random((n, 1)) < 0.6, common, _log_column(rng, n, 0.05, DAY_S))
    missing = rng.random((n, rows)) < _log_column(rng, n, 1e-4, 0.05)
    beats = np.cumsum(1 + missing * rng.integers(1, 4, (n, rows)), axis=1)
    jitter = _column(rng, n, 0, 0.15) * (rng.random((n, 1)) < 0.7)
    return start + period * (beats + 0.5 * jitter * _normal(rng, (n, rows)).clip(-3, 3))


def lognormal(rng: Rng, start: F64, rows: int) -> F64:
    """Independent gaps of some spread."""
    gaps = np.exp(_column(rng, len(start), 0.2, 1.5) * _normal(rng, (len(start), rows)))
    return start + np.cumsum(_log_column(rng, len(start), 0.1, DAY_S) * gaps, axis=1)


def poisson(rng: Rng, start: F64, rows: int) -> F64:
    """No memory at all."""
    return start + np.cumsum(
        rng.exponential(_log_column(rng, len(start), 0.1, DAY_S), (len(start), rows)), axis=1
    )


def bursty(rng: Rng, start: F64, rows: int) -> F64:
    """Runs of short gaps with long pauses between them."""
    n = len(start)
    pause = rng.random((n, rows)) < _log_column(rng, n, 0.02, 0.4)
    spread = np.exp(_column(rng, n, 0.05, 0.8) * _normal(rng, (n, rows)))
    gaps = np.where(pause, _log_column(rng, n, 5, 200), 1.0) * spread
    return start + np.cumsum(_log_column(rng, n, 0.1, 3600) * gaps, axis=1)


def calendar(rng: Rng, start: F64, rows: int) -> F64:
    """Busy by day and weekday, quiet by night."""
    n = len(start)
    mean, swing, peak = (
        _log_column(rng, n, 60, DAY_S / 4),
        _column(rng, n, 0.5, 2.5),
        _column(rng, n, 0, 1),
    )
    weekend = np.where(rng.random((n, 1)) < 0.5, _column(rng, n, 0.5, 4), 1.0)
    shape = _log_column(rng, n, 0.7, 5)
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
    jitter = _log_column(rng, n, 10, 3600) * _normal(rng, (n, rows))
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
