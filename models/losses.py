"""Losses of training: negative log densities of detect.network.density, and forecast errors.

Every loss is a weighted mean. Weight 0 hides missing values, known anomalies and events before the
first judged one.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from streamer.detect.network.cell import GAP_COMPONENTS, LOGIT_BOUND, MIXTURE
from streamer.detect.network.density import (
    GAP_LOG_SCALE_LOW,
    LOG_SCALE_HIGH,
    LOG_SCALE_LOW,
    WEIBULL_FROM,
)

DENSITY_WEIGHTS = {"value": 1.0, "forecast": 1.0, "gap": 0.5, "hour": 0.15}
# An error of 1 % of a channel's typical step counts as none.
ERROR_FLOOR = 0.01
ALARM_CLASS_WEIGHT = 8.0
DENSITY_BESIDE_ALARM = 0.1


def log_weights(logits: Any) -> Any:
    """Log softmax over the last axis of bounded logits."""
    bounded = LOGIT_BOUND * ops.tanh(logits / LOGIT_BOUND)
    return bounded - ops.logsumexp(bounded, axis=-1, keepdims=True)


def value_log_density(params: Any, step: Any) -> Any:
    """Log density (...) of scaled steps (...) under logistic mixtures (..., 3M)."""
    log_scale = ops.clip(params[..., 2 * MIXTURE :], LOG_SCALE_LOW, LOG_SCALE_HIGH)
    u = (step[..., None] - params[..., MIXTURE : 2 * MIXTURE]) * ops.exp(-log_scale)
    parts = log_weights(params[..., :MIXTURE]) + _log_logistic(u) - log_scale
    return ops.logsumexp(parts, axis=-1)


def gap_log_density(params: Any, log_gap: Any) -> Any:
    """Log density (...) of log gaps (...) under mixtures (..., 3G).

    Components are 3 logistic and 3 Gumbel-min ones.
    """
    g = GAP_COMPONENTS
    log_scale = ops.clip(params[..., 2 * g :], GAP_LOG_SCALE_LOW, LOG_SCALE_HIGH)
    u = (log_gap[..., None] - params[..., g : 2 * g]) * ops.exp(-log_scale)
    logistic, weibull = u[..., :WEIBULL_FROM], ops.clip(u[..., WEIBULL_FROM:], -30.0, 5.0)
    shape = ops.concatenate([_log_logistic(logistic), weibull - ops.exp(weibull)], axis=-1)
    return ops.logsumexp(log_weights(params[..., :g]) + shape - log_scale, axis=-1)


def forecast_loss(delta: Any, step: Any, weight: Any) -> Any:
    """Mean over sequences and channels of the log of the channel's mean |error|.

    All arrays are (B, T, C). Detection measures errors in units of the channel's own past error, so
    a factor counts the same on every channel.
    """
    mass = ops.sum(weight, axis=1)  # (B, C)
    error = ops.sum(weight * ops.abs(delta - step), axis=1) / ops.maximum(mass, 1.0)
    present = ops.cast(mass > 0, "float32")
    return _mean(ops.log(error + ERROR_FLOOR), present)


def hour_loss(logits: Any, hour: Any, weight: Any) -> Any:
    """Cross entropy of the hour head: logits (B, T, 24), hours (B, T), weights (B, T)."""
    taken = ops.sum(logits * ops.one_hot(hour, logits.shape[-1]), axis=-1)
    return _mean(ops.logsumexp(logits, axis=-1) - taken, weight)


def alarm_loss(logits: Any, label: Any, weight: Any) -> Any:
    """Binary cross entropy in which anomalies weigh more; all arrays are (B, T).

    Labels are 0 or 1.
    """
    cross = ops.softplus(logits) - label * logits
    return _mean(cross, weight * (1 + (ALARM_CLASS_WEIGHT - 1) * label))


def total(outputs: dict[str, Any], batch: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The loss of a batch (dataset.Windows by field name) and its parts by name."""
    parts = {
        "value": -_mean(value_log_density(outputs["value"], batch["step"]), batch["value_weight"]),
        "forecast": forecast_loss(outputs["delta"], batch["step"], batch["value_weight"]),
        "gap": -_mean(gap_log_density(outputs["gap"], batch["log_gap"]), batch["gap_weight"]),
        "hour": hour_loss(outputs["hour"], batch["hour"], batch["hour_weight"]),
    }
    density = sum(weight * parts[name] for name, weight in DENSITY_WEIGHTS.items())
    if "alarm" not in outputs:
        return density, parts
    parts["alarm"] = alarm_loss(outputs["alarm"], batch["label"], batch["label_weight"])
    return parts["alarm"] + DENSITY_BESIDE_ALARM * density, parts


def _log_logistic(u: Any) -> Any:
    u = ops.abs(u)
    return -u - 2 * ops.log1p(ops.exp(-u))


def _mean(loss: Any, weight: Any) -> Any:
    return ops.sum(loss * weight) / ops.maximum(ops.sum(weight), 1.0)
