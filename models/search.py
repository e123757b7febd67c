"""Hyperparameter search on one stream's history, judged by detection.

Every trial trains from random weights for the same time on the rows before a cut, and judges the
held-out rows after it with the production pipeline. Its worth is the fraction of planted anomalies
caught at as many false alarms as the compared model, and, among equals, the smaller forecast error.
Likelihood is not used: it rewards a network for learning the anomalies too.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from models import evaluate
from models.planted_trial import Trial, build
from models.split import Split
from streamer.artifact import MAX_LAYERS, Bundle, ModelSpec
from streamer.errors import BackendError, InputError, ModelError
from streamer.settings import DetectSettings

if TYPE_CHECKING:
    import optuna

AIMED = 120  # planted anomalies: one caught more or less is 0.8 %
# weight of the mean log forecast error against recall: decides among equals only
ERROR_WEIGHT = 1e-3
PIECES = 256  # windows per epoch
RANGES: Mapping[str, tuple[float, float]] = {
    "units": (32, 256),
    "layers": (1, MAX_LAYERS),
    "window": (10, 200),
    "batch_rows": (16, 256),
    "dropout": (0.2, 0.5),
    "learning_rate": (1e-4, 1e-2),
}
LOGARITHMIC = ("units", "batch_rows", "learning_rate")
# Both ends of every range, and one value between.
GRID: Mapping[str, tuple[Any, Any, Any]] = {
    "units": (32, 96, 256),
    "layers": (1, 2, MAX_LAYERS),
    "window": (10, 64, 200),
    "batch_rows": (16, 64, 256),
    "dropout": (0.2, 0.35, 0.5),
    "learning_rate": (1e-4, 1e-3, 1e-2),
}
GRID_SIZE = math.prod(map(len, GRID.values()))
HOW = ("grid", "bayes")


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial: its choices and results. `worth` is maximised."""

    number: int
    units: int
    layers: int  # stacked LSTMs of each stream
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
    bundle: Bundle,
    past: Split,
    *,
    how: str,
    trials: int,
    seconds: float,
    seed: int,
    detect: Mapping[str, Any] | None = None,
    report: Report = lambda tried: None,
) -> list[Tried]:
    """Try `trials` choices with `seconds` of training each; return them, best first.

    `how` is grid (in the order of `grid`) or bayes (the tree-structured Parzen estimator of
    Bergstra et al. 2011, over RANGES; BackendError without optuna).
    """
    study = _study(seed) if how == "bayes" else None
    bench = _Bench(bundle, past, seconds, seed, detect or {})
    tried: list[Tried] = []

    def worth(number: int, chosen: Mapping[str, Any]) -> float:
        tried.append(bench.tried(number, chosen))
        report(tried[-1])
        return tried[-1].worth

    if study is not None:
        study.optimize(lambda trial: worth(trial.number, _suggested(trial)), n_trials=trials)
    else:
        for number, chosen in enumerate(grid(seed)[:trials]):
            worth(number, chosen)
    return sorted(tried, key=lambda one: -one.worth)


def grid(seed: int) -> list[dict[str, Any]]:
    """Every choice of GRID once, in rounds of three that try every value of every setting.

    The rounds are the cosets of (1, ..., 1) in a random order, so a search that ends early has
    tried all values equally often.
    """
    rng = np.random.default_rng(seed)
    starts = rng.permutation(list(itertools.product(range(3), repeat=len(GRID) - 1)))
    levels = [
        [(level + shift) % 3 for level in (0, *start)]
        for start in starts
        for shift in rng.permutation(3)
    ]
    return [
        {name: GRID[name][level] for name, level in zip(GRID, row, strict=True)} for row in levels
    ]


def _study(seed: int) -> optuna.Study:
    try:
        import optuna
    except ImportError as exc:
        raise BackendError(
            "a search by bayes needs optuna: pip install 'streamer[search]', or use grid"
        ) from exc
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=5, multivariate=True, warn_independent_sampling=False
    )
    return optuna.create_study(direction="maximize", sampler=sampler)


def _suggested(trial: optuna.Trial) -> dict[str, Any]:
    return {name: _number(trial, name, *RANGES[name]) for name in RANGES}


def _number(trial: optuna.Trial, name: str, low: float, high: float) -> float:
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=name in LOGARITHMIC)
    return trial.suggest_float(name, low, high, log=name in LOGARITHMIC)


def shaped(spec: ModelSpec, *, units: int, layers: int, window: int) -> ModelSpec:
    """The spec with another shape, and a memory that fits the window.

    An anchor replays only measured events, and the first anchor comes no later than a whole window.
    """
    memory = {
        "window": window,
        "scale_window": max(spec.scale_window, window),
        "k_min": min(spec.k_min, window),
    }
    return replace(spec, units=units, layers=layers, **memory)


class _Bench:
    """Judges every trial on the same held-out rows, anomalies and number of false alarms."""

    def __init__(
        self, bundle: Bundle, past: Split, seconds: float, seed: int, detect: Mapping[str, Any]
    ) -> None:
        self._bundle, self._past, self._seconds, self._seed = bundle, past, seconds, seed
        self._trial: Trial = build(past.series, seed, aimed=AIMED)
        self._settings: DetectSettings = evaluate.settings_for(self._trial, detect)
        compared = evaluate.run(bundle, self._trial, self._settings)
        self._allowed = int(evaluate.hits(self._trial, compared).false_alarms.sum())

    def tried(self, number: int, chosen: Mapping[str, Any]) -> Tried:
        """Train and judge one choice.

        A choice that diverges, or needs more rows than there are, gets recall 0.
        """
        began = time.monotonic()
        try:
            candidate = self._trained(chosen)
        except (ModelError, InputError):
            return Tried(
                number,
                **chosen,
                recall=0.0,
                log_error=10.0,
                parameters=0,
                seconds=time.monotonic() - began,
            )
        outcome = evaluate.run(candidate, self._trial, self._settings, "numpy")
        line = evaluate.line_for(self._trial, outcome, self._allowed)
        error = float(np.nanmean(evaluate.log_errors(self._trial, outcome.expected)))
        return Tried(
            number,
            **chosen,
            recall=evaluate.hits(self._trial, outcome, line).recall,
            log_error=error if math.isfinite(error) else 10.0,
            parameters=sum(w.size for w in candidate.weights.values()),
            seconds=time.monotonic() - began,
        )

    def _trained(self, chosen: Mapping[str, Any]) -> Bundle:
        from models.dataset import HistorySet
        from models.train import TrainSettings, train

        spec = shaped(
            self._bundle.spec,
            units=chosen["units"],
            layers=chosen["layers"],
            window=chosen["window"],
        )
        settings = TrainSettings(
            epochs=1000,
            seconds=self._seconds,
            patience=1000,
            noise=0.01,
            seed=self._seed,
            **{name: chosen[name] for name in ("batch_rows", "dropout", "learning_rate")},
        )
        result = train(settings, HistorySet(spec, self._past.train, pieces=PIECES))
        return Bundle("trial", "0" * 64, spec, result.weights, self._bundle.calibration, {})


def plot(tried: Sequence[Tried], path: Any) -> None:
    """Plot recall against parameters and each choice, as PNG."""
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
