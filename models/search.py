"""A search for the shape and the training of a network on one stream's history, judged by what it would have caught.

Every trial trains from nothing for the same time on the rows before a cut, and judges the held-out ones behind it
through the production pipeline: its worth is the share of planted anomalies that it catches at as many false alarms
as the model it is compared with, and, among equals, the smaller forecast error. Never the likelihood: it rewards a
network for learning the anomalies too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from models import evaluate
from models.split import Split
from models.trial import Trial, build
from streamer.artifact import MAX_LAYERS, Bundle, ModelSpec
from streamer.detect.settings import DetectSettings
from streamer.errors import BackendError, InputError, ModelError

if TYPE_CHECKING:
    import optuna

AIMED = 120  # planted anomalies: one more or fewer caught is 0.8 %
ERROR_WEIGHT = 1e-3  # of the mean log forecast error against the recall: decides among equals only
PIECES = 256  # windows an epoch
GRID: dict[str, list[Any]] = {
    "units": [32, 64, 128], "layers": [1, 2, 4], "window": [16, 64, 128], "batch_rows": [64, 256],
    "dropout": [0.2, 0.4], "learning_rate": [1e-3, 4e-3],
}  # fmt: skip
HOW = ("grid", "bayes")


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial: what was chosen, and what came of it. `worth` is what is maximised."""

    number: int
    units: int
    layers: int  # LSTMs of each stream, one on the other
    window: int  # events
    batch_rows: int
    dropout: float
    learning_rate: float
    recall: float  # at the compared model's number of false alarms
    log_error: float  # mean over entities and channels of the log of the forecast error
    parameters: int
    seconds: float

    @property
    def worth(self) -> float:
        return self.recall - ERROR_WEIGHT * self.log_error

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"worth": self.worth}


Report = Callable[[Tried], None]


def search(
    bundle: Bundle, past: Split, *, how: str, trials: int, seconds: float, seed: int,
    detect: Mapping[str, Any] | None = None, report: Report = lambda tried: None,
) -> list[Tried]:  # fmt: skip
    """Try so many choices, `seconds` of training each; the best first. BackendError without optuna.

    `how`: grid (GRID in a random order) or bayes (the tree-structured Parzen estimator of Bergstra et al. 2011, over
    units 32..256, layers 1..4, window 10..200, batch 16..256, dropout 0.2..0.5, rate 1e-4..1e-2).
    """
    library = _optuna()
    bench = _Bench(bundle, past, seconds, seed, detect or {})
    study = library.create_study(direction="maximize", sampler=_sampler(library, how, seed))
    tried: list[Tried] = []

    def objective(trial: optuna.Trial) -> float:
        tried.append(bench.tried(trial.number, _chosen(trial, how)))
        report(tried[-1])
        return tried[-1].worth

    study.optimize(objective, n_trials=trials)
    return sorted(tried, key=lambda one: -one.worth)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as exc:
        raise BackendError("a search needs optuna: pip install 'streamer[search]'") from exc
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _sampler(optuna: Any, how: str, seed: int) -> Any:
    if how == "grid":
        return optuna.samplers.GridSampler(GRID, seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, multivariate=True, warn_independent_sampling=False)


def _chosen(trial: optuna.Trial, how: str) -> dict[str, Any]:
    if how == "grid":
        return {name: trial.suggest_categorical(name, values) for name, values in GRID.items()}
    return {
        "units": trial.suggest_int("units", 32, 256, log=True), "layers": trial.suggest_int("layers", 1, MAX_LAYERS),
        "window": trial.suggest_int("window", 10, 200),
        "batch_rows": trial.suggest_int("batch_rows", 16, 256, log=True),
        "dropout": trial.suggest_float("dropout", 0.2, 0.5),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
    }  # fmt: skip


def shaped(spec: ModelSpec, *, units: int, layers: int, window: int) -> ModelSpec:
    """The spec with another shape, and a memory that fits the window.

    An anchor replays nothing that it has not measured, and the first one stands no later than a whole window.
    """
    memory = {"window": window, "scale_window": max(spec.scale_window, window), "k_min": min(spec.k_min, window)}
    return replace(spec, units=units, layers=layers, **memory)


class _Bench:
    """Where every trial is judged: the same held-out rows, the same planted anomalies, the same false alarms."""

    def __init__(self, bundle: Bundle, past: Split, seconds: float, seed: int, detect: Mapping[str, Any]) -> None:
        self._bundle, self._past, self._seconds, self._seed = bundle, past, seconds, seed
        self._trial: Trial = build(past.series, seed, aimed=AIMED)
        self._settings: DetectSettings = evaluate.settings_for(self._trial, detect)
        compared = evaluate.run(bundle, self._trial, self._settings)
        self._allowed = int(evaluate.hits(self._trial, compared).false_alarms.sum())

    def tried(self, number: int, chosen: Mapping[str, Any]) -> Tried:
        """Train and judge one choice; one that diverges, or needs more rows than there are, is worth nothing."""
        began = time.monotonic()
        try:
            candidate = self._trained(chosen)
        except (ModelError, InputError):
            return Tried(number, **chosen, recall=0.0, log_error=10.0, parameters=0, seconds=time.monotonic() - began)
        outcome = evaluate.run(candidate, self._trial, self._settings, "numpy")
        line = evaluate.line_for(self._trial, outcome, self._allowed)
        error = float(np.nanmean(evaluate.log_errors(self._trial, outcome.expected)))
        return Tried(
            number, **chosen, recall=evaluate.hits(self._trial, outcome, line).recall,
            log_error=error if math.isfinite(error) else 10.0,
            parameters=sum(w.size for w in candidate.weights.values()), seconds=time.monotonic() - began,
        )  # fmt: skip

    def _trained(self, chosen: Mapping[str, Any]) -> Bundle:
        from models.dataset import HistorySet
        from models.train import TrainSettings, train

        spec = shaped(self._bundle.spec, units=chosen["units"], layers=chosen["layers"], window=chosen["window"])
        settings = TrainSettings(
            epochs=1000, seconds=self._seconds, patience=1000, noise=0.01, seed=self._seed,
            **{name: chosen[name] for name in ("batch_rows", "dropout", "learning_rate")},
        )  # fmt: skip
        result = train(settings, HistorySet(spec, self._past.train, pieces=PIECES))
        return Bundle("trial", "0" * 64, spec, result.weights, self._bundle.calibration, {})


def plot(tried: Sequence[Tried], path: Any) -> None:
    """Every trial: recall against parameters, and against each choice, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = ["parameters", "layers", "window", "batch_rows", "dropout", "learning_rate"]
    figure, axes = plt.subplots(1, len(names), figsize=(16, 3), sharey=True, layout="constrained")
    for axis, name in zip(axes, names, strict=True):
        axis.scatter([getattr(one, name) for one in tried], [one.recall for one in tried], s=18)
        axis.set(xlabel=name, xscale="log" if name in {"parameters", "learning_rate"} else "linear")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("recall at equal false alarms")
    figure.savefig(path, dpi=120)
    plt.close(figure)
