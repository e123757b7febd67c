"""A student of at most a tenth of the teacher's parameters, trained on the teacher's densities and on the data.

Beside the losses of the data the student minimises the cross entropy from the teacher's densities to its own (Hinton,
Vinyals & Dean 2015, for densities instead of classes). A mixture's cross entropy has no closed form; it is summed over
`NODES` equally likely quantiles of each of the teacher's components, which needs no sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from keras import ops

from models import losses, network
from models.export import expected_shape
from models.train import Batch
from streamer.artifact import Bundle, ModelSpec
from streamer.detect.cell import GAP_COMPONENTS, MIXTURE, SHAPES
from streamer.detect.density import GAP_LOG_SCALE_LOW, LOG_SCALE_HIGH, LOG_SCALE_LOW, WEIBULL_FROM

SHARE = 0.1  # of the teacher's parameters, at most
NODES = 4
# What the teacher says counts as much as what happened: the data alone are noisy, the teacher alone is wrong at times.
TEACHER_WEIGHT = 1.0
LEARNING_RATE = 8e-3  # few parameters bear a higher rate than the teacher's 4e-3


def parameters(spec: ModelSpec) -> int:
    """How many numbers a network of this shape has."""
    return sum(int(np.prod(expected_shape(spec, name))) for name in SHAPES)


def student_spec(teacher: ModelSpec, share: float = SHARE) -> ModelSpec:
    """The student's shape: the same memory in events, the most units that a share of the parameters allows.

    Head as wide as the encoders, attention half of that: of the shapes tried (docs/notes/learning.md) the best.
    """
    fitting = teacher
    for units in range(teacher.units - 1, 1, -1):
        fitting = replace(teacher, units=units, head=units, attention=max(1, units // 2))
        if parameters(fitting) <= share * parameters(teacher):
            break
    return fitting


class Distillation:
    """A training criterion: the losses of the data, and the cross entropy to a teacher that sees the same windows."""

    def __init__(self, teacher: Bundle, weight: float = TEACHER_WEIGHT) -> None:
        self._teacher, self._weight = network.build(teacher.spec), weight
        self._teacher.trainable = False
        network.load_weights(self._teacher, teacher.weights)

    def __call__(self, outputs: dict[str, Any], batch: Batch) -> tuple[Any, dict[str, Any]]:
        loss, parts = losses.total(outputs, batch)
        said = self._teacher((batch["x"], batch["r"]), training=False)
        soft = soft_losses(said, outputs, batch)
        weights = losses.DENSITY_WEIGHTS
        loss = loss + self._weight * sum(weights[name] * part for name, part in soft.items())
        return loss, parts | {f"teacher_{name}": part for name, part in soft.items()}


def soft_losses(teacher: Mapping[str, Any], student: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
    """Cross entropies of value, gap and hour and the log distance of the forecasts, weighted like the data's losses."""
    value, value_mass = nodes(teacher["value"], MIXTURE, LOG_SCALE_LOW, MIXTURE)
    gap, gap_mass = nodes(teacher["gap"], GAP_COMPONENTS, GAP_LOG_SCALE_LOW, WEIBULL_FROM)
    hour = ops.sum(ops.softmax(teacher["hour"]) * ops.log_softmax(student["hour"]), axis=-1)
    return {
        "value": _cross(losses.value_log_density, student["value"], value, value_mass, batch["value_weight"]),
        "forecast": losses.forecast_loss(student["delta"], teacher["delta"], batch["value_weight"]),
        "gap": _cross(losses.gap_log_density, student["gap"], gap, gap_mass, batch["gap_weight"]),
        "hour": -_mean(hour, batch["hour_weight"]),
    }


def nodes(params: Any, components: int, log_scale_low: float, weibull_from: int) -> tuple[Any, Any]:
    """Points (..., components * NODES) and their masses, which sum to 1, of mixture parameters (..., 3 components).

    Components from number `weibull_from` on are Gumbel-min (Weibull on the log axis), the others logistic.
    """
    p = (np.arange(NODES, dtype=np.float32) + 0.5) / NODES
    standard = np.stack(
        [np.log(p / (1 - p)) if k < weibull_from else np.log(-np.log1p(-p)) for k in range(components)]
    ).astype(np.float32)  # (components, NODES)
    location = params[..., components : 2 * components]
    scale = ops.exp(ops.clip(params[..., 2 * components :], log_scale_low, LOG_SCALE_HIGH))
    points = location[..., None] + scale[..., None] * standard
    mass = ops.exp(losses.log_weights(params[..., :components]))[..., None] * np.full(NODES, 1 / NODES, np.float32)
    shape = (*ops.shape(params)[:-1], components * NODES)
    return ops.reshape(points, shape), ops.reshape(mass, shape)


def _cross(log_density: Callable[[Any, Any], Any], params: Any, points: Any, mass: Any, weight: Any) -> Any:
    """Weighted mean of -sum of mass x log density, of the student's params (..., 3K) at points (..., P)."""
    logs = log_density(params[..., None, :], points)
    return -_mean(ops.sum(mass * logs, axis=-1), weight)


def _mean(value: Any, weight: Any) -> Any:
    return ops.sum(value * weight) / ops.maximum(ops.sum(weight), 1.0)
