"""Training: AdamW, clipped gradients, cosine or plateau schedule, early stopping.

The weights of the best epoch are kept. `train(settings, data)` is deterministic for a seed if
bounded by epochs; a bound in seconds depends on the clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from models import losses, network
from models.dataset import Windows
from streamer.artifact import ModelSpec
from streamer.errors import ModelError
from streamer.event import F32
from streamer.protocols import Clock

Batch = dict[str, Any]
WARMUP_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Settings of a training.

    Rates are per step, `seconds` is wall time (0 = no bound), `batch_rows` counts sequences x
    channels.
    """

    epochs: int = 30
    seconds: float = 0.0
    learning_rate: float = 4e-3
    schedule: str = "cosine"  # "cosine" | "plateau"
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    patience: int = 5
    plateau_patience: int = 2
    batch_rows: int = 256
    noise: float = 0.0  # standard deviation added to the scaled inputs
    dropout: float = 0.0  # between layers, not inside the recurrence
    l2: float = 0.0
    accumulate: int = 1  # batches per step of the optimizer
    mixed_precision: bool = False
    supervised: bool = False
    seed: int = 0
    log_dir: Path | None = None  # TensorBoard


class DataSet(Protocol):
    """Batches (see losses.total): new ones for each epoch, fixed ones for validation."""

    @property
    def spec(self) -> ModelSpec: ...

    def epoch(self, rng: np.random.Generator, rows: int) -> Iterable[Batch]: ...

    def validation(self) -> Iterable[Batch]: ...


@dataclass(frozen=True, slots=True)
class Epoch:
    """The result of one epoch: mean training loss, validation loss and its parts."""

    number: int
    loss: float
    validation: float
    parts: dict[str, float]
    learning_rate: float
    seconds: float
    steps: int


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The best epoch's weights, and the history; epoch 0 is before any training.

    `extra` holds the weights of the supervised head.
    """

    weights: dict[str, F32]
    best: Epoch
    history: list[Epoch]
    seconds: float
    stopped: str  # "epochs" | "patience" | "seconds"
    extra: dict[str, F32] = field(default_factory=dict)

    @property
    def improved(self) -> bool:
        """Whether training beat the weights it started from."""
        return self.best.number > 0


Report = Callable[[Epoch], None]
# (outputs of the network, batch) -> (loss, its parts by name); runs inside a tf.function.
Criterion = Callable[[dict[str, Any], Batch], tuple[Any, dict[str, Any]]]


def train(
    settings: TrainSettings,
    data: DataSet,
    *,
    start: Mapping[str, F32] | None = None,
    report: Report = lambda epoch: None,
    clock: Clock = time.monotonic,
    criterion: Criterion = losses.total,
) -> TrainResult:
    """Train from `start`, or from a seeded random network.

    ModelError if the loss is no longer finite.
    """
    began = clock()
    run = _Run(settings, data.spec, start, criterion)
    rng = np.random.default_rng(settings.seed)
    history = [Epoch(0, math.nan, *run.validate(data.validation()), 0.0, clock() - began, 0)]
    report(history[0])
    best, kept, stopped = history[0], run.snapshot(), "epochs"
    while len(history) <= settings.epochs:
        deadline = began + settings.seconds if settings.seconds else math.inf
        epoch = _epoch(run, data, rng, history, deadline, clock)
        history.append(epoch)
        report(epoch)
        if epoch.validation < best.validation:
            best, kept = epoch, run.snapshot()
        stopped = verdict(settings, history, best, clock() >= deadline)
        if stopped:
            break
    return TrainResult(kept[0], best, history, clock() - began, stopped or "epochs", kept[1])


def verdict(settings: TrainSettings, history: list[Epoch], best: Epoch, out_of_time: bool) -> str:
    """Why training ends after this epoch, or "" to continue."""
    if out_of_time:
        return "seconds"
    return "patience" if history[-1].number - best.number >= settings.patience else ""


def _epoch(
    run: _Run,
    data: DataSet,
    rng: np.random.Generator,
    history: list[Epoch],
    deadline: float,
    clock: Clock,
) -> Epoch:
    began, number, settings = clock(), len(history), run.settings
    sums: list[Any] = []
    for batch in _until(data.epoch(rng, settings.batch_rows), deadline, clock):
        run.set_rate(_rate(run, history, len(sums), began, deadline, clock()))
        sums.append(run.step(batch))
    if not sums:
        raise ModelError("an epoch without batches: the data set is empty or the time is too short")
    loss = float(np.mean([float(s) for s in sums]))
    if not math.isfinite(loss):
        raise ModelError(
            f"the loss of epoch {number} is {loss}; lower learning_rate or check the data"
        )
    validation, parts = run.validate(data.validation())
    return Epoch(number, loss, validation, parts, run.rate, clock() - began, len(sums))


def _until(batches: Iterable[Batch], deadline: float, clock: Clock) -> Iterator[Batch]:
    for index, batch in enumerate(batches):
        if index and clock() >= deadline:
            return
        yield batch


def _rate(
    run: _Run, history: list[Epoch], step: int, began: float, deadline: float, now: float
) -> float:
    settings = run.settings
    if settings.schedule == "plateau":
        return plateau_rate(settings, history)
    steps = history[-1].steps
    within = min(1.0, step / steps) if steps else 0.0
    progress = (len(history) - 1 + within) / settings.epochs
    if math.isfinite(deadline):
        run.started = run.started or now
        progress = max(progress, (now - run.started) / max(deadline - run.started, 1e-9))
    return cosine_rate(settings.learning_rate, progress)


def cosine_rate(peak: float, progress: float) -> float:
    """A short linear warm-up, then half a cosine down to 1 % of the peak; progress 0..1."""
    if progress < WARMUP_SHARE:
        return peak * (0.05 + 0.95 * progress / WARMUP_SHARE)
    share = min(1.0, (progress - WARMUP_SHARE) / (1 - WARMUP_SHARE))
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def plateau_rate(settings: TrainSettings, history: list[Epoch]) -> float:
    """The rate, halved after every `plateau_patience` epochs without a better loss."""
    rate, best, waited = settings.learning_rate, math.inf, 0
    for epoch in history[1:]:
        waited = 0 if epoch.validation < best else waited + 1
        best = min(best, epoch.validation)
        if waited >= settings.plateau_patience:
            rate, waited = rate / 2, 0
    return rate


class _Run:
    """The network, its optimizer and the two compiled steps of one training."""

    def __init__(
        self,
        settings: TrainSettings,
        spec: ModelSpec,
        start: Mapping[str, F32] | None,
        criterion: Criterion,
    ) -> None:
        keras.utils.set_random_seed(settings.seed)
        keras.mixed_precision.set_global_policy(
            "mixed_float16" if settings.mixed_precision else "float32"
        )
        self.settings, self.criterion = settings, criterion
        self.started: float | None = None
        options = {
            "dropout": settings.dropout,
            "l2": settings.l2,
            "supervised": settings.supervised,
        }
        self.model = network.build(spec, **options)
        if start is not None:
            network.load_weights(self.model, start)
        self.rate = settings.learning_rate
        self.optimizer = _optimizer(settings)
        self.optimizer.build(self.model.trainable_variables)
        # Open shapes: one trace (seconds each) serves every number of rows, steps and channels.
        signature = [_signature(spec)]
        self._step = tf.function(self._train, input_signature=signature)
        self._validate = tf.function(self._judge, input_signature=signature)
        self._writer = (
            tf.summary.create_file_writer(str(settings.log_dir)) if settings.log_dir else None
        )
        self._epochs = 0

    def set_rate(self, rate: float) -> None:
        self.rate = rate
        _inner(self.optimizer).learning_rate.assign(rate)

    def step(self, batch: Batch) -> Any:
        """Train on one batch; return its loss, not yet fetched."""
        return self._step(_tensors(batch))

    def validate(self, batches: Iterable[Batch]) -> tuple[float, dict[str, float]]:
        """Mean loss and parts over batches of equal weight."""
        results = [self._validate(_tensors(batch)) for batch in batches]
        parts = {name: float(np.mean([r[1][name] for r in results])) for name in results[0][1]}
        loss = float(np.mean([r[0] for r in results]))
        self._log(loss, parts)
        return loss, parts

    def snapshot(self) -> tuple[dict[str, F32], dict[str, F32]]:
        """Copies of the shared weights and of the supervised head's."""
        extra = [
            layer for layer in (self.model.alarm_hidden, self.model.alarm_out) if layer is not None
        ]
        named = {f"{layer.name}/{v.name}": np.array(v) for layer in extra for v in layer.weights}
        return network.weights_of(self.model), named

    def _train(self, batch: Batch) -> Any:
        x = batch["x"]
        if self.settings.noise:
            # Only the scaled value and its step are measurements; the other two features are marks.
            spread = tf.constant([1.0, 1.0, 0.0, 0.0]) * self.settings.noise
            x += tf.random.normal(tf.shape(x)) * spread
        with tf.GradientTape() as tape:
            loss, _ = self.criterion(self.model((x, batch["r"]), training=True), batch)
            scaled = self.optimizer.scale_loss(loss + sum(self.model.losses))
        gradients = tape.gradient(scaled, self.model.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
        return loss

    def _judge(self, batch: Batch) -> tuple[Any, dict[str, Any]]:
        return self.criterion(self.model((batch["x"], batch["r"]), training=False), batch)

    def _log(self, loss: float, parts: Mapping[str, float]) -> None:
        if self._writer is None:
            return
        with self._writer.as_default(step=self._epochs):
            for name, value in {"validation": loss, "learning_rate": self.rate, **parts}.items():
                tf.summary.scalar(name, value)
        self._epochs += 1
        self._writer.flush()


def _optimizer(settings: TrainSettings) -> Any:
    inner = keras.optimizers.AdamW(
        settings.learning_rate,
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm,
        gradient_accumulation_steps=settings.accumulate if settings.accumulate > 1 else None,
    )
    return keras.mixed_precision.LossScaleOptimizer(inner) if settings.mixed_precision else inner


def _inner(optimizer: Any) -> Any:
    return getattr(optimizer, "inner_optimizer", optimizer)


def _signature(spec: ModelSpec) -> dict[str, Any]:
    """Tensor shapes of a batch (dataset.Windows) with open B, T and C."""
    shapes: dict[str, list[int | None]] = {f.name: [None, None] for f in fields(Windows)}
    shapes["x"] = [None, None, None, spec.value_features]
    shapes["r"] = [None, None, spec.rhythm_features]
    shapes["step"] = shapes["value_weight"] = [None, None, None]
    return {
        n: tf.TensorSpec(shape, tf.int32 if n == "hour" else tf.float32, name=n)
        for n, shape in shapes.items()
    }


def _tensors(batch: Batch) -> Batch:
    return {name: tf.convert_to_tensor(array) for name, array in batch.items()}
