"""Densities of the network's heads in closed form, numpy only.

Value: a mixture of M logistic components over the scaled step. Gap: 3 logistic and 3 Weibull
(Gumbel-min on the log gap) components over the log gap in the entity's unit. Parameters in order:
logits, locations, log scales.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamer.detect.network.cell import GAP_COMPONENTS, LOGIT_BOUND, MIXTURE
from streamer.detect.state.arrays import clip
from streamer.event import F32, F64

LOG_SCALE_LOW, LOG_SCALE_HIGH = -5.0, 3.0
# a gap is known to 2 % at best, because of clock jitter
GAP_LOG_SCALE_LOW = -4.0
WEIBULL_FROM = 3
GAP_RANGE = -8.0, 10.0  # of the quantiles of a log gap
PARTS, CUTS = 16, 3


def weights(logits: F32) -> F32:
    """Return the softmax over the last axis of bounded logits."""
    w = np.exp(LOGIT_BOUND * np.tanh(logits / LOGIT_BOUND))
    return w / w.sum(axis=-1, keepdims=True)


class Gap(NamedTuple):
    """The mixture of a log gap: weight, location and scale of its components, (..., G) each."""

    weight: F32
    location: F32
    scale: F32

    @classmethod
    def of(cls, params: F32) -> Gap:
        """Return the mixture of params (..., 3G)."""
        g = GAP_COMPONENTS
        scale = np.exp(clip(params[..., 2 * g :], GAP_LOG_SCALE_LOW, LOG_SCALE_HIGH))
        return cls(weights(params[..., :g]), params[..., g : 2 * g], scale)

    def tails(self, log_gap: F32 | F64) -> tuple[F32, F32]:
        """Return P(gap <= observed) and P(gap >= observed), (...) each, at log gaps (...)."""
        logistic, hazard = self._exponents(log_gap)
        upper = np.concatenate([_sigmoid(-logistic), np.exp(hazard)], axis=-1)
        return self._below(logistic, hazard), np.asarray((self.weight * upper).sum(axis=-1))

    def below(self, log_gap: F32 | F64) -> F32:
        """Return P(gap <= observed) (...) at log gaps (...)."""
        return self._below(*self._exponents(log_gap))

    def _exponents(self, log_gap: F32 | F64) -> tuple[F32, F32]:
        """Return the exponents in the tails of the logistic and of the Weibull components."""
        u: F32 = np.asarray((log_gap[..., None] - self.location) / self.scale)
        return u[..., :WEIBULL_FROM], -np.exp(clip(u[..., WEIBULL_FROM:], -30, 5))

    def _below(self, logistic: F32, hazard: F32) -> F32:
        lower = np.concatenate([_sigmoid(logistic), -np.expm1(hazard)], axis=-1)
        return np.asarray((self.weight * lower).sum(axis=-1))


def gap_tails(params: F32, log_gap: F32 | F64) -> tuple[F32, F32]:
    """Return P(gap <= observed) and P(gap >= observed), (N,) each.

    params is (N, 3G), log gaps are (N,).
    """
    return Gap.of(params).tails(log_gap)


def gap_quantile(params: F32, p: float | F32) -> F32:
    """Return the log gap (N,) below which a share `p` (one, or (N,)) lies, to 1e-3.

    The range is cut into parts three times. The last part is a quarter of the narrowest component,
    where linear interpolation is exact enough.
    """
    rows, low, width = (
        np.arange(len(params)),
        np.full(len(params), GAP_RANGE[0]),
        GAP_RANGE[1] - GAP_RANGE[0],
    )
    gap, wanted = Gap.of(params[:, None]), np.broadcast_to(p, len(params))
    for _ in range(CUTS):
        width /= PARTS
        at = low[:, None] + width * np.arange(PARTS + 1)
        lower = gap.below(at)  # (N, PARTS + 1)
        part = clip((lower < wanted[:, None]).sum(axis=1) - 1, 0, PARTS - 1)
        low = at[rows, part]
    begin, end = lower[rows, part], lower[rows, part + 1]
    return (low + width * clip((wanted - begin) / np.maximum(end - begin, 1e-12), 0, 1)).astype(
        np.float32
    )


def value_log_density(params: F32, step: F32) -> F32:
    """Return the log density (N, C) of the scaled step (N, C) under params (N, C, 3M)."""
    m = MIXTURE
    w = weights(params[..., :m])
    log_scale = clip(params[..., 2 * m :], LOG_SCALE_LOW, LOG_SCALE_HIGH)
    u = np.abs((step[..., None] - params[..., m : 2 * m]) * np.exp(-log_scale))
    log_parts = np.log(w + 1e-12) - u - log_scale - 2 * np.log1p(np.exp(-u))
    peak = log_parts.max(axis=-1, keepdims=True)
    return (peak[..., 0] + np.log(np.exp(log_parts - peak).sum(axis=-1))).astype(np.float32)


def _sigmoid(a: F32 | F64) -> F32:
    return (1 / (1 + np.exp(clip(-a, -60, 60)))).astype(np.float32, copy=False)
