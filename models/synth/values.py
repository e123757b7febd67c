"""Values of synthetic streams: each kind makes (N, T) of about unit size, from event times."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.synth.draws import Rng, column, log_column, noise, normal
from streamer.detect.network.features import DAY_S, WEEK_S
from streamer.event import F64

BURN_IN = 64


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


def ar(rng: Rng, time_s: F64) -> F64:
    """First order, from white noise to almost a random walk; some alternate."""
    n, t = time_s.shape
    phi = 1 - 10 ** -column(rng, n, 0, 3)
    phi = np.where(rng.random((n, 1)) < 0.1, -0.9 * phi, phi)
    return _recur(phi, normal(rng, (n, t + BURN_IN)))


def resonance(rng: Rng, time_s: F64) -> F64:
    """Orders two to four with complex poles: vibration, control loops, smooth drifts."""
    n, t = time_s.shape
    poly = np.ones((n, 1))
    for _ in range(2):
        radius, angle = 1 - 10 ** -column(rng, n, 0.3, 2.5), np.pi * column(rng, n, 0, 1) ** 2
        on = rng.random((n, 1)) < 0.7
        pair = np.concatenate(
            [np.ones((n, 1)), -2 * radius * np.cos(angle) * on, radius**2 * on], axis=1
        )
        poly = _multiply(poly, pair)
    return _recur(-poly[:, 1:], normal(rng, (n, t + BURN_IN)))


def _multiply(a: F64, b: F64) -> F64:
    out = np.zeros((len(a), a.shape[1] + b.shape[1] - 1))
    for i in range(b.shape[1]):
        out[:, i : i + a.shape[1]] += a * b[:, i : i + 1]
    return out


def heavy(rng: Rng, time_s: F64) -> F64:
    """First order with Student noise: rare large shocks are normal here."""
    n, t = time_s.shape
    noise = rng.standard_t(column(rng, n, 1.5, 5), (n, t + BURN_IN)).clip(-50, 50)
    return _recur(1 - 10 ** -column(rng, n, 0, 2), noise)


def smooth(rng: Rng, time_s: F64) -> F64:
    """Noise through two or three slow filters: temperatures, levels."""
    v = normal(rng, (len(time_s), time_s.shape[1] + BURN_IN))
    for _ in range(3):
        phi = 1 - 10 ** -column(rng, len(v), 0.3, 1.5)
        v = _recur(phi, np.concatenate([np.zeros((len(v), BURN_IN)), v], axis=1))
    return v[:, BURN_IN:] + noise(rng, v[:, BURN_IN:], 1e-3, 0.3)


def _phase(rng: Rng, time_s: F64) -> F64:
    """Phase (N, T) of a season of 4 to 288 rows; for some rows the season is the day or the week of
    the calendar.
    """
    n, t = time_s.shape
    by_row = 2 * np.pi * (np.arange(t) / log_column(rng, n, 4, 288) + column(rng, n, 0, 1))
    unit = np.where(rng.random((n, 1)) < 0.8, DAY_S, WEEK_S)
    by_clock = 2 * np.pi * (time_s / unit + column(rng, n, 0, 1))
    rows_a_day = unit / np.maximum(np.median(np.diff(time_s, axis=1), axis=1, keepdims=True), 1e-3)
    usable = (rows_a_day > 4) & (rows_a_day < 600) & (rng.random((n, 1)) < 0.6)
    return np.where(usable, by_clock, by_row)


def season(rng: Rng, time_s: F64) -> F64:
    """A wave with harmonics, sometimes squared off, 1 to 100 % noise."""
    n = len(time_s)
    phase = _phase(rng, time_s)
    v = np.sin(phase)
    for k in (2, 3):
        v += column(rng, n, 0, 0.7) * np.sin(k * phase + column(rng, n, 0, 2 * np.pi))
    sharp = log_column(rng, n, 0.5, 20)
    v = np.where(rng.random((n, 1)) < 0.3, np.tanh(sharp * v), v)
    return v + noise(rng, v, 0.01, 1) + 0.3 * ar(rng, time_s) * (rng.random((n, 1)) < 0.4)


def pulses(rng: Rng, time_s: F64) -> F64:
    """A short pulse in every period: scheduled jobs."""
    n = len(time_s)
    position = (_phase(rng, time_s) / (2 * np.pi)) % 1
    height = np.exp(0.3 * noise(rng, position, 0.01, 1))
    return height * (position < log_column(rng, n, 0.02, 0.5)) + noise(rng, position, 0.003, 0.2)


def _switches(rng: Rng, n: int, t: int, low: float, high: float) -> NDArray[np.int64]:
    """Number (N, T) of the current regime; a switch comes with a probability between low and high
    per row.
    """
    return np.cumsum(rng.random((n, t)) < log_column(rng, n, low, high), axis=1)


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
    return v + noise(rng, v, 0.003, 0.5)


def held(rng: Rng, time_s: F64) -> F64:
    """A slow value that is sampled now and then and held, or known in coarse steps."""
    n, t = time_s.shape
    v = ar(rng, time_s)
    keep = np.maximum.accumulate(
        np.where(rng.random((n, t)) < log_column(rng, n, 0.05, 0.7), np.arange(t), 0), axis=1
    )
    coarse = log_column(rng, n, 0.1, 2)
    return np.where(
        rng.random((n, 1)) < 0.6, np.take_along_axis(v, keep, axis=1), np.round(v / coarse) * coarse
    )


def spikes(rng: Rng, time_s: F64) -> F64:
    """Quiet with intermittent bursts that die away."""
    n, t = time_s.shape
    shots = (rng.random((n, t + BURN_IN)) < log_column(rng, n, 0.01, 0.4)) * rng.exponential(
        1, (n, t + BURN_IN)
    )
    v = _recur(column(rng, n, 0, 0.9), shots)
    return v + noise(rng, v, 0.001, 0.3)


def walk(rng: Rng, time_s: F64) -> F64:
    """A random walk, some with a square wave on top."""
    n, t = time_s.shape
    v = np.cumsum(normal(rng, (n, t)), axis=1)
    square = (
        np.sign(np.sin(_phase(rng, time_s)))
        * log_column(rng, n, 0.3, 30)
        * (rng.random((n, 1)) < 0.5)
    )
    return v + square + noise(rng, v, 0.01, 1)


def counter(rng: Rng, time_s: F64) -> F64:
    """A total that grows by steady, noisy or time-proportional amounts; some start
    again at zero.
    """
    n = len(time_s)
    gaps = np.diff(time_s, axis=1, prepend=time_s[:, :1])
    gaps /= np.median(gaps, axis=1, keepdims=True) + 1e-9
    rate = np.maximum(1 + noise(rng, time_s, 0.001, 1), 0)
    total = np.cumsum(np.where(rng.random((n, 1)) < 0.5, rate * gaps.clip(0, 50), rate), axis=1)
    period = log_column(rng, n, 8, 2000)
    return np.where(rng.random((n, 1)) < 0.6, total % period, total)


def flag(rng: Rng, time_s: F64) -> F64:
    """Two values, long or short stays, some on schedule."""
    n, t = time_s.shape
    chance = _switches(rng, n, t, 0.005, 0.5) % 2
    schedule = np.sin(_phase(rng, time_s)) > column(rng, n, -0.95, 0.95)
    return np.where(rng.random((n, 1)) < 0.6, chance, schedule).astype(float)


def constant(rng: Rng, time_s: F64) -> F64:
    """Nothing moves, or a blip comes rarely."""
    n, t = time_s.shape
    blip = (rng.random((n, t)) < log_column(rng, n, 1e-4, 0.02)) * (rng.random((n, 1)) < 0.5)
    return 1.0 * blip * rng.standard_normal((n, 1))


def volatile(rng: Rng, time_s: F64) -> F64:
    """Noise whose size wanders, with weak memory: amounts, prices, loads."""
    size = np.exp(column(rng, len(time_s), 0.2, 1.2) * ar(rng, time_s))
    return size * normal(rng, time_s.shape) + column(rng, len(time_s), 0, 2) * ar(rng, time_s)


def counts(rng: Rng, time_s: F64) -> F64:
    """Whole numbers of things that happened: Poisson with a wandering or seasonal rate."""
    n = len(time_s)
    swing = np.where(rng.random((n, 1)) < 0.5, np.sin(_phase(rng, time_s)), ar(rng, time_s))
    rate = log_column(rng, n, 0.3, 300) * np.exp(column(rng, n, 0, 1.2) * swing)
    return rng.poisson(rate.clip(0, 1e6)).astype(float)


def saturating(rng: Rng, time_s: F64) -> F64:
    """Something seasonal or slow that runs into a floor or a ceiling."""
    v = np.where(rng.random((len(time_s), 1)) < 0.5, season(rng, time_s), smooth(rng, time_s))
    return np.clip(v, column(rng, len(v), -2, 0), column(rng, len(v), 0.2, 2))


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
