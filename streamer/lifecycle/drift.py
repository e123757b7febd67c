"""The drift of live traffic from a reference, per channel: the population stability index (PSI).

PSI = sum over bins of (p - q) ln(p / q) (Siddiqi, Credit Risk Scorecards, 2006; Jeffreys'
divergence, 1946). The ten bins are deciles of the reference, and one more bin counts missing
values. Values are first scaled to their entity's units in the reference, so entities of different
levels share bins.

The PSI that chance alone causes is measured. A sample is cut into stretches; the even and the odd
ones cover the same seasons. Their PSI against each other shows how much two samples of one
distribution differ here, with the data's dependence in time. Without a change, the PSI of n against
m rows is about (bins - 1) (1/n + 1/m) (Yurdakul, Statistical Properties of PSI, 2018). So a quarter
of the sum of both samples' halves is subtracted, and a PSI below three times that counts as 0.

The alert rate is compared by the ratio of two Poisson rates: the lower bound of |ln ratio| at three
standard errors of its logarithm (Ng and Tang, Testing the equality of two Poisson means, 2005),
widened by the burstiness of the incidents. Axes: N rows, C channels, B bins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamer.event import F32, F64, I32, I64, Bool

DECILES = 10
# With fewer than eight stretches the halves see different parts of a day. 24 alone is misled by
# values that wander for hours.
STRETCHES = (24, 8)
SURE = 3.0  # times the noise; standard errors of a rate
LEAST_ROWS = 500  # of a sample; fewer give 0
UNIT_ROWS = 32  # of an entity, to have its own units
MOST_UNITS = 4096  # entities times channels, because the profile is part of a manifest


@dataclass(frozen=True, slots=True)
class DriftSample:
    """Rows drawn evenly from a stretch of traffic."""

    names: tuple[str, ...]
    entity: I32  # (N,) index into names
    time_s: F64  # (N,)
    values: F32  # (N, C), NaN = missing

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def halves(self) -> Bool:
        """Masks (S, N) of every other stretch, one per cut; both halves cover all of a season."""
        start_s, end_s = float(self.time_s.min()), float(self.time_s.max())
        place = (self.time_s - start_s) / max(end_s - start_s, 1e-9)
        return np.stack([(place * count).astype(np.int64) % 2 == 0 for count in STRETCHES])


@dataclass(frozen=True, slots=True)
class TrafficProfile:
    """Bin edges of a sample, the number of rows per bin, and the PSI between its halves."""

    edges: F64  # (C, DECILES - 1)
    counts: F64  # (C, B)
    halves: F64  # (C,)
    # by entity: location (C,) and scale (C,); empty: values are not scaled
    units: Mapping[str, tuple[F64, F64]]

    def as_json(self) -> dict[str, Any]:
        units = {name: [_short(loc), _short(scale)] for name, (loc, scale) in self.units.items()}
        arrays = {
            name: [_short(row) for row in getattr(self, name)] for name in ("edges", "counts")
        }
        return {**arrays, "halves": _short(self.halves), "units": units}

    @classmethod
    def of_json(cls, raw: Mapping[str, Any], channels: int) -> TrafficProfile | None:
        """Read a profile; None if it is not a valid profile of `channels` channels."""
        try:
            arrays = [np.asarray(raw[name], np.float64) for name in ("edges", "counts", "halves")]
            units = {
                str(name): (np.asarray(a, float), np.asarray(b, float))
                for name, (a, b) in raw["units"].items()
            }
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        shapes = [(channels, DECILES - 1), (channels, DECILES + 1), (channels,)]
        fits = [array.shape for array in arrays] == shapes and all(
            np.isfinite(array).all() for array in arrays
        )
        return cls(arrays[0], arrays[1], arrays[2], units) if fits else None


def profile_of(sample: DriftSample) -> TrafficProfile:
    """Return the reference against which later samples are compared."""
    units = units_of(sample)
    known, z = in_units(sample, units)
    with np.errstate(invalid="ignore"):
        edges = _quantiles(z, np.arange(1, DECILES) / DECILES)
    return TrafficProfile(
        edges, counted(z, edges), _apart(sample.halves[:, known], z, edges), units
    )


def drift_of(reference: TrafficProfile, sample: DriftSample) -> F64:
    """Return (C,) the PSI of every channel beyond what chance explains.

    It is 0 if chance explains all of it, or if there are too few rows.
    """
    known, z = in_units(sample, reference.units)
    if len(z) < LEAST_ROWS:
        return np.zeros(len(reference.edges))
    index = stability(reference.counts, counted(z, reference.edges))
    noise = (reference.halves + _apart(sample.halves[:, known], z, reference.edges)) / 4
    return np.where(index >= SURE * noise, np.maximum(index - noise, 0.0), 0.0)


def rate_drift(before: I64, before_rows: int, now: I64, now_rows: int) -> float:
    """Return the lower bound of the log ratio of two incident rates.

    `before` and `now` are counts (K,) per stretch, with the total number of rows.
    """
    a, b = float(before.sum()) + 0.5, float(now.sum()) + 0.5
    log_ratio = math.log(b / max(now_rows, 1)) - math.log(a / max(before_rows, 1))
    error = math.sqrt(_burstiness(before) / a + _burstiness(now) / b)
    return max(abs(log_ratio) - SURE * error, 0.0)


def units_of(sample: DriftSample) -> dict[str, tuple[F64, F64]]:
    """Return median and quartile range of each entity with enough rows.

    Empty if most rows belong to other entities, or if there are too many entities.
    """
    order = np.argsort(sample.entity, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(sample.entity[order])) + 1)
    grown = [rows for rows in groups if len(rows) >= UNIT_ROWS]
    if sum(map(len, grown)) < len(sample) / 2 or len(grown) * sample.values.shape[1] > MOST_UNITS:
        return {}
    return {sample.names[sample.entity[rows[0]]]: _unit(sample.values[rows]) for rows in grown}


def in_units(sample: DriftSample, units: Mapping[str, tuple[F64, F64]]) -> tuple[Bool, F64]:
    """Return which rows (N,) belong to entities with units, and their scaled values.

    Without units it returns all rows, unscaled.
    """
    if not units:
        return np.ones(len(sample), bool), sample.values.astype(np.float64)
    channels = sample.values.shape[1]
    none = (np.full(channels, np.nan), np.ones(channels))
    known = np.array([name in units for name in sample.names], bool)[sample.entity]
    loc, scale = (
        np.stack(column) for column in zip(*(units.get(n, none) for n in sample.names), strict=True)
    )
    entity = sample.entity[known]
    return known, (sample.values[known] - loc[entity]) / scale[entity]


def counted(z: F64, edges: F64) -> F64:
    """Return the rows in each bin (C, B); the last bin counts missing values."""
    counts = np.zeros((len(edges), DECILES + 1))
    for c, edge in enumerate(edges):
        missing = np.isnan(z[:, c])
        bins = np.searchsorted(edge, z[~missing, c], side="right")
        counts[c, :DECILES] = np.bincount(bins, minlength=DECILES)
        counts[c, DECILES] = np.count_nonzero(missing)
    return counts


def stability(before: F64, now: F64) -> F64:
    """Return the PSI (C,) of counts (C, B).

    Half a row is added to every bin, so that an empty bin does not give infinity.
    """
    p, q = (_shares(counts) for counts in (before, now))
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=1))


def _shares(counts: F64) -> F64:
    smoothed = counts + 0.5
    return np.asarray(smoothed / smoothed.sum(axis=1, keepdims=True))


def _apart(halves: Bool, z: F64, edges: F64) -> F64:
    """Return (C,) the PSI of one half against the other, the largest over all cuts."""
    cuts = [stability(counted(z[half], edges), counted(z[~half], edges)) for half in halves]
    return np.asarray(np.max(cuts, axis=0))


def _unit(values: F32) -> tuple[F64, F64]:
    loc, low, high = (
        row[:, 0] for row in np.split(_quantiles(values, np.array([0.5, 0.25, 0.75])), 3, axis=1)
    )
    scale = np.maximum(high - low, 1e-6 * np.abs(loc))
    return loc, np.where(scale > 0, scale, 1.0)


def _quantiles(values: F32 | F64, at: F64) -> F64:
    """Return quantiles (C, Q) of the known values of each channel; 0 if there are none."""
    columns = (column[~np.isnan(column)] for column in values.T.astype(np.float64))
    return np.stack(
        [np.quantile(column, at) if len(column) else np.zeros(len(at)) for column in columns]
    )


def _burstiness(counts: I64) -> float:
    """Return variance over mean of counts per stretch, at least 1; independent incidents give 1."""
    mean = float(counts.mean()) if len(counts) else 0.0
    return max(float(counts.var()) / mean, 1.0) if mean > 0 else 1.0


def _short(row: F64) -> list[float]:
    return [float(f"{number:.6g}") for number in row]
