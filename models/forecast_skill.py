"""Forecast errors of the step beside peers: persistence, and an AR(3) per channel.

Errors are absolute, over the judged events of grown windows (as detect.network.lanes judges them),
in the channel's own unit. Axes: L rows, C channels, T steps of a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.dataset import History, Windows, rows_needed, windows
from streamer.artifact import ModelSpec
from streamer.event import F32, F64
from streamer.protocols import Network, StepOut

AR_ORDER = 3
# Ridge per row, and bound of lags in standard deviations: the constants of the measured peer.
AR_RIDGE, AR_CLIP = 0.01, 8.0


@dataclass(frozen=True, slots=True)
class Errors:
    """Mean and median absolute error per channel (C,) of the network and its peers.

    In the unit of the channel.
    """

    network: F64  # (2, C): mean, median
    persistence: F64
    ar3: F64

    def ratio(self, peer: str = "ar3", *, median: bool = False) -> F64:
        """Network error over the peer's (C,).

        NaN if the peer has none (constant and two-valued channels).
        """
        theirs = getattr(self, peer)[int(median)]
        return np.divide(
            self.network[int(median)], theirs, out=np.full(len(theirs), np.nan), where=theirs > 1e-9
        )


def replay(scorer: Network, data: Windows) -> list[StepOut]:
    """Run all T steps of the windows from zero state, as the lanes do."""
    n, t, c, _ = data.x.shape
    value_state = np.zeros((n, c, scorer.value_width), np.float32)
    rhythm_state = np.zeros((n, scorer.rhythm_width), np.float32)
    steps = []
    for i in range(t):
        x, r = np.ascontiguousarray(data.x[:, i]), np.ascontiguousarray(data.r[:, i])
        out = scorer.step(value_state, rhythm_state, x, r)
        value_state, rhythm_state = out.value_state, out.rhythm_state
        steps.append(out)
    return steps


def compare(
    scorer: Network, spec: ModelSpec, train: F32, test: F32, time_s: F64 | None = None
) -> Errors:
    """Errors on `test` (L, C).

    AR(3) learns from `train` (n, C), the network from neither. Without times the rhythm is off.
    """
    length, first = rows_needed(spec), spec.scale_window
    starts = np.arange(0, len(test) - length + 1, spec.stride)
    if not len(starts):
        raise ValueError(f"{len(test)} rows are too few to judge: a window takes {length}")
    rows = starts[:, None] + np.arange(length)
    clock = np.zeros(len(test)) if time_s is None else time_s
    none = np.zeros(rows.shape, bool)
    history = History(test[rows], clock[rows], none, np.full(len(rows), time_s is not None))
    data = windows(history, spec)
    judged = rows[:, first:]  # (E, stride)
    unit = _unit(test, rows, data, first)
    delta = np.stack([out.delta for out in replay(scorer, data)], axis=1)[:, -spec.stride :]
    missing = data.value_weight[:, -spec.stride :] == 0
    error = np.where(
        missing, np.nan, np.abs(delta * unit[:, None] + _before(test, judged) - test[judged])
    )
    naive = np.where(missing, np.nan, np.abs(_before(test, judged) - test[judged]))
    linear = np.where(missing, np.nan, np.abs(ar_forecast(train, test)[judged] - test[judged]))
    return Errors(*(_mean_and_median(e) for e in (error, naive, linear)))


def _before(test: F32, judged: np.ndarray) -> F32:
    return filled(test)[judged - 1]


def filled(values: F32) -> F32:
    """Values (L, C) with each missing one replaced by the previous one, first by 0."""
    from streamer.detect.network.features import carry_forward

    last = carry_forward(
        np.concatenate([values, values[:1]])[None], np.zeros((1, values.shape[1]), np.float32)
    )
    return last[0, 1:]


def _unit(test: F32, rows: np.ndarray, data: Windows, first: int) -> F32:
    """The anchors' step scale (E, C)."""
    from streamer.detect.network.features import anchor_of

    clock = np.zeros((len(rows), first))
    return anchor_of(test[rows[:, :first]], np.ones((len(rows), first), bool), clock).step


def _mean_and_median(error: F64) -> F64:
    flat = error.reshape(-1, error.shape[-1])
    # The largest 1 % are set to their 99th percentile, so that one outlier does not decide.
    edge = np.nanquantile(flat, 0.99, axis=0)
    return np.stack([np.nanmean(np.minimum(flat, edge), axis=0), np.nanmedian(flat, axis=0)])


def ar_forecast(train: F32, test: F32, order: int = AR_ORDER) -> F64:
    """One-step forecasts (L, C) of `test` by ridge regression on own lags.

    Fitted on `train`; the first rows repeat the values.
    """
    known, seen = filled(train).astype(np.float64), filled(test).astype(np.float64)
    loc, scale = known.mean(axis=0), known.std(axis=0) + 1e-9
    forecast = seen.copy()
    for c in range(train.shape[1]):
        z = (known[:, c] - loc[c]) / scale[c]
        lags = _lags(z, order)
        beta = np.linalg.solve(
            lags.T @ lags + AR_RIDGE * len(z) * np.eye(order), lags.T @ z[order:]
        )
        forecast[order:, c] = loc[c] + scale[c] * (
            _lags((seen[:, c] - loc[c]) / scale[c], order) @ beta
        )
    return forecast


def _lags(z: F64, order: int) -> F64:
    """Rows of the `order` values before each value from number `order` on (n - order, order)."""
    return np.stack([z[order - 1 - k : len(z) - 1 - k] for k in range(order)], axis=1).clip(
        -AR_CLIP, AR_CLIP
    )
