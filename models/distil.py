"""Distillation: a student of at most a tenth of the teacher's parameters.

Beside the losses of the data, the student minimises the cross entropy from the teacher's densities
to its own (Hinton, Vinyals & Dean 2015, for densities instead of classes). A mixture's cross
entropy has no closed form. It is summed over `NODES` equally likely quantiles of each of the
teacher's components, which needs no sampling.

A retraining's student starts from the twin in service, or else from the starter's twin
(STARTER_TWIN), which is made by

    python -m models.distil [--out DIR] [--minutes N] [--seed S]

Its quality is measured as the gate measures: anomalies caught at equal false alarms and the
forecast error, on rows that neither has learnt. The smaller of the two ratios is its quality. Below
MIN_QUALITY the student is refused.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from keras import ops

from models import compare as comparison
from models import evaluate, export, losses, network
from models.dataset import HistorySet
from models.export import expected_shapes
from models.gate_rules import GateRules
from models.planted_trial import build
from models.pretrain import SyntheticSet
from models.rehearsal import MixedSet
from models.split import Split
from models.train import Batch, DataSet, Report, TrainSettings, train
from streamer import artifact
from streamer.artifact import PRETRAINED, Bundle, ModelSpec
from streamer.backends import open_scorer
from streamer.detect.network.cell import GAP_COMPONENTS, MIXTURE
from streamer.detect.network.density import (
    GAP_LOG_SCALE_LOW,
    LOG_SCALE_HIGH,
    LOG_SCALE_LOW,
    WEIBULL_FROM,
)
from streamer.event import F64
from streamer.protocols import Clock

SCHEMA = "streamer.distil/1"
SHARE = 0.1  # largest fraction of the teacher's parameters
MIN_QUALITY = 0.95
REHEARSAL = 0.1  # fraction of a synthetic epoch, beside as many batches of history
STARTER_TWIN = PRETRAINED.with_name("pretrained_edge")
NODES = 4
# The teacher counts as much as the data: the data alone are noisy, the teacher alone is sometimes
# wrong.
TEACHER_WEIGHT = 1.0
LEARNING_RATE = 1e-2  # few parameters tolerate a higher rate than the teacher's 4e-3


def parameters(spec: ModelSpec) -> int:
    """Number of parameters of a network of this shape."""
    return sum(map(math.prod, expected_shapes(spec).values()))


def student_spec(teacher: ModelSpec, share: float = SHARE) -> ModelSpec:
    """The student's shape: the same memory, and the most units that `share` allows.

    Encoders have one layer, whose step costs least. The head is as wide as the encoders, attention
    half of that.
    """
    fitting = teacher
    for units in range(teacher.units - 1, 1, -1):
        fitting = replace(teacher, layers=1, units=units, head=units, attention=max(1, units // 2))
        if parameters(fitting) <= share * parameters(teacher):
            break
    return fitting


def train_student(
    teacher: Bundle,
    past: Split,
    out: Path,
    *,
    version: str,
    start: Bundle | None,
    seconds: float,
    seed: int,
    training: Mapping[str, Any],
    report: Report = lambda epoch: None,
    data: DataSet | None = None,
    clock: Clock = time.monotonic,
) -> Bundle:
    """Train and export a student of the teacher.

    `start` gives first weights if it has the student's shape. `seconds` are the clock's.
    """
    spec = student_spec(teacher.spec)
    start = next(
        (twin for twin in (start, starter_twin()) if twin is not None and twin.spec == spec), None
    )
    again = start is not None
    settings = TrainSettings(
        epochs=500,
        patience=500,
        seconds=seconds,
        seed=seed,
        learning_rate=LEARNING_RATE / (4 if again else 1),
    )
    learnt = data or MixedSet(
        HistorySet(spec, past.train, pieces=256), SyntheticSet(spec, seed, REHEARSAL)
    )
    weights = start.weights if start is not None else None
    result = train(
        settings, learnt, start=weights, report=report, criterion=Distillation(teacher), clock=clock
    )
    said = dict(training) | {
        "teacher": teacher.version,
        "parent": start.version if start is not None else None,
    }
    return export.write_bundle(
        out,
        version=version,
        spec=spec,
        weights=result.weights,
        calibration=teacher.calibration,
        training=said,
        prove=("litert", "litert-fp16", "litert-int8"),
    )


def starter_twin() -> Bundle | None:
    """The shipped twin of the starter; None if it is not installed."""
    return artifact.load(STARTER_TWIN) if STARTER_TWIN.is_dir() else None


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The size of a network: parameters, step bytes by precision, time of a step.

    `step_us` is microseconds per event of a batched step.
    """

    parameters: int
    step_bytes: Mapping[str, int]
    step_us: float


@dataclass(frozen=True, slots=True)
class DistilReport:
    """Teacher and student side by side; a ratio of 1 is as good as the teacher."""

    teacher: ModelSize
    student: ModelSize
    detection: float  # ratio of anomalies caught at equal false alarms, student over teacher
    forecast: float  # ratio of forecast errors, teacher over student
    recall: tuple[float, float]
    false_alarms: tuple[float, float]

    @property
    def quality(self) -> float:
        # np.min propagates NaN; min() may not.
        return float(np.min([self.detection, self.forecast]))

    @property
    def passed(self) -> bool:
        return not self.why

    @property
    def why(self) -> str:
        """The broken rule, or ""."""
        share = self.student.parameters / self.teacher.parameters
        if share > SHARE:
            return f"it has {share:.1%} of the teacher's parameters, {SHARE:.0%} are allowed"
        if not self.quality >= MIN_QUALITY:
            return (
                f"it keeps {self.detection:.1%} of the detection and {self.forecast:.1%} of the "
                f"forecast, "
                f"{MIN_QUALITY:.0%} are required"
            )
        return ""

    def as_json(self) -> dict[str, Any]:
        own = {
            "quality": self.quality,
            "required": MIN_QUALITY,
            "passed": self.passed,
            "why": self.why,
        }
        return {"schema": SCHEMA, **asdict(self), **own}


def compare(
    teacher: Bundle,
    student: Bundle,
    past: Split,
    *,
    detect: Mapping[str, Any],
    rules: GateRules,
    seed: int = 0,
    backend: str = "auto",
) -> DistilReport:
    """Measure both on the held-out span with the production pipeline."""
    trial = build(past.series, seed, aimed=rules.anomalies, warm=rules.warm_rows)
    paired = comparison.compare(teacher, student, trial, detect, backend)
    theirs, ours = paired.equal
    loss = paired.errors[1] - paired.errors[0]
    us = evaluate.step_us(
        [open_scorer(b, backend) for b in (teacher, student)], teacher.spec, trial.values.shape[1]
    )
    return DistilReport(
        _size(teacher, us[0]),
        _size(student, us[1]),
        detection=ours.recall / theirs.recall if theirs.recall > 0 else 1.0,
        forecast=0.0 if evaluate.unscored(trial, paired.outcomes[1]) else _forecast_kept(loss),
        recall=(theirs.recall, ours.recall),
        false_alarms=(
            float(paired.at_line[0].false_alarms.sum()),
            float(paired.at_line[1].false_alarms.sum()),
        ),
    )


def _forecast_kept(loss: F64) -> float:
    """The forecast ratio from log errors, the student's minus the teacher's (K, C).

    1 if there is no error to compare.
    """
    return float(np.exp(-np.nanmean(loss))) if np.isfinite(loss).any() else 1.0


def _size(bundle: Bundle, step_us: float) -> ModelSize:
    names = sorted(name for name in bundle.parts if name.startswith("step_"))
    return ModelSize(
        parameters(bundle.spec), {name: len(bundle.parts[name]) for name in names}, step_us
    )


class Distillation:
    """A training criterion: losses of the data, and cross entropy to a teacher.

    The teacher reads the same windows.
    """

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


def soft_losses(
    teacher: Mapping[str, Any], student: Mapping[str, Any], batch: Batch
) -> dict[str, Any]:
    """Cross entropies of value, gap and hour, and the log distance of forecasts.

    They are weighted like the losses of the data.
    """
    value, value_mass = nodes(teacher["value"], MIXTURE, LOG_SCALE_LOW, MIXTURE)
    gap, gap_mass = nodes(teacher["gap"], GAP_COMPONENTS, GAP_LOG_SCALE_LOW, WEIBULL_FROM)
    hour = ops.sum(ops.softmax(teacher["hour"]) * ops.log_softmax(student["hour"]), axis=-1)
    return {
        "value": _cross(
            losses.value_log_density, student["value"], value, value_mass, batch["value_weight"]
        ),
        "forecast": losses.forecast_loss(student["delta"], teacher["delta"], batch["value_weight"]),
        "gap": _cross(losses.gap_log_density, student["gap"], gap, gap_mass, batch["gap_weight"]),
        "hour": -_mean(hour, batch["hour_weight"]),
    }


def nodes(params: Any, components: int, log_scale_low: float, weibull_from: int) -> tuple[Any, Any]:
    """Points (..., components * NODES) and masses of mixture parameters (..., 3 components).

    Masses sum to 1. Components from number `weibull_from` on are Gumbel-min (Weibull on the log
    axis), the others logistic.
    """
    p = (np.arange(NODES, dtype=np.float32) + 0.5) / NODES
    standard = np.stack(
        [
            np.log(p / (1 - p)) if k < weibull_from else np.log(-np.log1p(-p))
            for k in range(components)
        ]
    ).astype(np.float32)  # (components, NODES)
    location = params[..., components : 2 * components]
    scale = ops.exp(ops.clip(params[..., 2 * components :], log_scale_low, LOG_SCALE_HIGH))
    points = location[..., None] + scale[..., None] * standard
    mass = ops.exp(losses.log_weights(params[..., :components]))[..., None] * np.full(
        NODES, 1 / NODES, np.float32
    )
    shape = (*ops.shape(params)[:-1], components * NODES)
    return ops.reshape(points, shape), ops.reshape(mass, shape)


def _cross(
    log_density: Callable[[Any, Any], Any], params: Any, points: Any, mass: Any, weight: Any
) -> Any:
    """Weighted mean of -sum of mass x log density at points (..., P).

    `params` (..., 3K) are the student's.
    """
    logs = log_density(params[..., None, :], points)
    return -_mean(ops.sum(mass * logs, axis=-1), weight)


def _mean(value: Any, weight: Any) -> Any:
    return ops.sum(value * weight) / ops.maximum(ops.sum(weight), 1.0)


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=STARTER_TWIN, help="Directory of the bundle."
)
@click.option("--minutes", type=float, default=25.0, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(out: Path, minutes: float, seed: int) -> None:
    """Distil the starter's twin from synthetic streams."""
    from models import calibrate, training_report

    teacher = artifact.load(PRETRAINED)
    spec = student_spec(teacher.spec)
    settings = TrainSettings(
        epochs=500, patience=500, seconds=60 * minutes, seed=seed, learning_rate=LEARNING_RATE
    )
    with training_report.progress(settings.seconds) as show:
        result = train(
            settings, SyntheticSet(spec, seed), report=show, criterion=Distillation(teacher)
        )
    said = training_report.summary(result, settings) | {
        "teacher": teacher.version,
        "data": "synthetic streams of models.synth",
    }
    version = f"{teacher.version}-edge"
    bundle = export.write_bundle(
        out, version=version, spec=spec, weights=result.weights, training=said
    )
    calibrate.calibrated(bundle, out)


if __name__ == "__main__":
    main()
