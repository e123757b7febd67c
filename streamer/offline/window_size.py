"""Suggestion of a window from the autocorrelation of series.

Per entity and channel: the autocorrelation at lags 1 to LONGEST that exceeds what chance would give
a series without further dependency (Bartlett 1946). The *need* is the lag within which SHARE of
that dependency lies. The suggestion is the 95th percentile of the needs. Axes: L rows, K lags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamer.event import F64
from streamer.offline.series import Series

SHORTEST, LONGEST = 10, 200  # events
SHARE, PERCENTILE = 0.90, 95.0
LEAST_ROWS = 2 * LONGEST
DEVIATIONS = 3.5  # standard deviations of chance: one of 200 lags exceeds it in one series of ten


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A window in events, and the needs that it follows from.

    `silent` counts series without a need.
    """

    window: int
    needs: tuple[int, ...]
    silent: int  # too short, constant, or without autocorrelation
    kept: float  # median fraction of the dependency that the window holds


def suggest(series: Sequence[Series]) -> Suggestion:
    """Suggest a window for these series."""
    profiles = [profile(one.values[:, c]) for one in series for c in range(one.values.shape[1])]
    some = [found for found in profiles if found is not None]
    needs = tuple(need(found) for found in some)
    wanted = float(np.percentile(needs, PERCENTILE)) if needs else SHORTEST
    window = int(min(max(np.ceil(wanted), SHORTEST), LONGEST))
    kept = float(np.median([found[:window].sum() / found.sum() for found in some])) if some else 1.0
    return Suggestion(window, needs, len(profiles) - len(some), kept)


def need(found: F64) -> int:
    """The smallest lag within which SHARE of a dependency (K,) lies."""
    return int(np.searchsorted(np.cumsum(found) / found.sum(), SHARE)) + 1


def profile(values: np.ndarray) -> F64 | None:
    """Significant autocorrelation at each lag 1..LONGEST (K,); None if there is none.

    Missing values are replaced by the mean.
    """
    known = ~np.isnan(values)
    if known.sum() < LEAST_ROWS or np.ptp(values[known]) == 0:
        return None
    centred = np.where(known, values - values[known].mean(), 0.0).astype(np.float64)
    size = 1 << (2 * len(centred) - 1).bit_length()
    auto = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2, size)[: LONGEST + 1]
    rho = auto[1:] / auto[0]
    before = np.concatenate([[0.0], np.cumsum(rho * rho)[:-1]])
    chance = np.sqrt((1 + 2 * before) / known.sum())
    found = np.where(np.abs(rho) > DEVIATIONS * chance, np.abs(rho), 0.0)
    return found if found.sum() > 0 else None
