"""Evaluation of one model on a held-out trial: detection, forecasts and likelihood.

The trial runs through the production pipeline (detect.pipeline.Detector). Forecast errors are
absolute, per cell and channel, in the channel's own unit. The largest 1 % of each are set to their
99th percentile. Axes: N rows, C channels, K cells, A anomalies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from models import forecast_skill
from models.dataset import History, Windows, rows_needed, windows
from models.planted_trial import Trial
from models.split import TrainingSeries
from streamer.artifact import Bundle, ModelSpec
from streamer.backends import open_scorer
from streamer.detect.network import density
from streamer.detect.network.cell import MIXTURE
from streamer.detect.pipeline import Detector
from streamer.errors import ConfigError
from streamer.event import F32, F64, Bool, Fate
from streamer.protocols import Network
from streamer.settings import DetectSettings

# Errors are compared on a log scale; an error of 1 % of the typical change per row counts as none.
ERROR_FLOOR = 0.01
MOST_WINDOWS = 512
SPEED_ROWS, SPEED_CALLS = 256, 8
LEAST_ROUNDS, MOST_ROUNDS = 5, 60
LAGS = (6, 288)  # rows: the range of seasons
# interquartile range of the narrowest logistic
NARROWEST = 2 * np.log(3) * np.exp(density.GAP_LOG_SCALE_LOW)
LEAST_SEASON = 0.3  # least autocorrelation of a season


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The pipeline's results for every row of a trial (N, ...), in its order."""

    score: F32
    alarm: F32  # >= 1 if an alarm fires, > 0 if one would at a lower line
    expected: F32  # (N, C)
    outside: Bool  # (N, C) known values outside the expected band
    fate: np.ndarray
    seconds: float


@dataclass(frozen=True, slots=True)
class Hits:
    """Results at one alarm line: caught anomalies (A,), delays (A,), false alarms (K,)."""

    line: float
    caught: Bool
    delay_rows: F64  # NaN if missed
    false_alarms: F64

    @property
    def recall(self) -> float:
        return float(self.caught.mean()) if len(self.caught) else float("nan")


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Mean negative log density of each window (W,), and probability integrals.

    The density covers judged values only.
    """

    nll: F64
    value_pit: F64  # (V,) probability below the observed value; uniform if calibrated
    gap_pit: F64  # (G,)


def settings_for(trial: Trial, given: Mapping[str, Any]) -> DetectSettings:
    """The stream's settings for the streams of a trial; ConfigError for an unknown name."""
    known = {f.name for f in fields(DetectSettings)}
    if unknown := sorted(given.keys() - known):
        raise ConfigError("detect", f"unknown: {', '.join(unknown)}")
    channels = trial.values.shape[1]
    chosen = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    names = tuple(chosen.get("channels", [f"c{c}" for c in range(channels)]))
    if len(names) != channels:
        raise ConfigError(
            "detect.channels", f"names {len(names)} channels, the history has {channels}"
        )
    return replace(
        DetectSettings(),
        **(
            {"expected_entities": trial.entities}
            | chosen
            | {
                "channels": names,
                "max_entities": len(trial.keys),
                "late_s": np.inf,
                "idle_after_s": np.inf,
                "silence": False,
                "storm_alerts": len(trial.time_s),
                "rhythm": trial.rhythm and chosen.get("rhythm", True),
            }
        ),
    )


def run(
    bundle: Bundle, trial: Trial, settings: DetectSettings, backend: str = "auto"
) -> TrialResult:
    """Run the whole trial through a new detector."""
    detector = Detector(settings, open_scorer(bundle, backend), bundle.spec, bundle.calibration)
    began = time.perf_counter()
    parts = [detector.process(batch).scores for batch in trial.batches()]
    seconds = time.perf_counter() - began
    names = ("score", "alarm", "expected", "fate")
    score, alarm, expected, fate = (np.concatenate([getattr(p, n) for p in parts]) for n in names)
    low, high = (np.concatenate([getattr(p, n) for p in parts]) for n in ("low", "high"))
    return TrialResult(
        score, alarm, expected, (trial.values < low) | (trial.values > high), fate, seconds
    )


def hits(trial: Trial, outcome: TrialResult, line: float = 1.0) -> Hits:
    """Anomalies caught by alarms at `line` and above, and false alarms."""
    rows = np.flatnonzero(outcome.alarm >= line)
    wrong = rows[trial.clean[rows]]
    delay = np.full(len(trial.anomalies), np.nan)
    found = trial.anomaly[rows]
    for row, number in zip(rows[found >= 0][::-1], found[found >= 0][::-1], strict=True):
        # reversed, so that the first alarm stays
        delay[number] = trial.number[row] - trial.anomalies[number].start
    counts = np.bincount(trial.cell[wrong], minlength=trial.cells).astype(np.float64)
    return Hits(line, ~np.isnan(delay), delay, counts)


def line_for(trial: Trial, outcome: TrialResult, false_alarms: int) -> float:
    """The lowest line at which the untouched streams raise at most `false_alarms` alarms."""
    alarms = np.sort(outcome.alarm[trial.clean & (outcome.alarm > 0)])[::-1]
    return float(np.nextafter(alarms[false_alarms], np.inf)) if len(alarms) > false_alarms else 1e-9


def unscored(trial: Trial, outcome: TrialResult) -> float:
    """Fraction of judged rows whose forecast or alarm is not finite."""
    judged = outcome.fate == Fate.SCORED
    bad = ~np.isfinite(outcome.expected[judged]).all(axis=1) | ~np.isfinite(outcome.alarm[judged])
    return float(bad.mean()) if len(bad) else 1.0


def log_errors(trial: Trial, expected: F32) -> F64:
    """Log of the mean absolute error per cell and channel (K, C) on clean rows.

    NaN if there is no error.
    """
    errors = np.where(trial.clean[:, None], np.abs(expected - trial.values), np.nan).astype(
        np.float64
    )
    naive = np.where(trial.clean[:, None], np.abs(previous(trial) - trial.values), np.nan).astype(
        np.float64
    )
    out = np.full((trial.cells, trial.values.shape[1]), np.nan)
    for cell in np.unique(trial.cell[trial.clean]):
        mine = trial.clean & (trial.cell == cell)
        out[cell] = _log_error(errors[mine], naive[mine])
    return out


def _log_error(error: F64, naive: F64) -> F64:
    """Log error (C,) of errors (n, C), with a floor from persistence's errors."""
    with np.errstate(all="ignore"):
        unit = np.nanmean(naive, axis=0)
        edge = np.nanquantile(error, 0.99, axis=0)
        mean = np.nanmean(np.minimum(error, edge), axis=0)
    usable = np.isfinite(unit) & (unit > 0) & np.isfinite(mean)
    return np.where(usable, np.log(np.where(usable, mean + ERROR_FLOOR * unit, 1)), np.nan)


def previous(trial: Trial) -> F32:
    """The previous value of each row in its own stream (N, C).

    The last known one if that is missing.
    """
    return _by_stream(
        trial,
        lambda values: np.concatenate([values[:1] * np.nan, forecast_skill.filled(values)[:-1]]),
    )


def seasonal(trial: Trial) -> F32:
    """The value one season before each row (N, C); persistence without a season."""
    return _by_stream(trial, lambda values: _season_before(values, forecast_skill.filled(values)))


def autoregressive(trial: Trial) -> F32:
    """AR(3) forecasts (N, C), fitted to the first half of each stream."""

    def fitted(values: F32) -> F32:
        return forecast_skill.ar_forecast(values[: max(len(values) // 2, 8)], values).astype(
            np.float32
        )

    return _by_stream(trial, fitted)


def _by_stream(trial: Trial, forecast: Callable[[F32], F32]) -> F32:
    """A forecast of every untouched stream from its values; NaN in planted copies."""
    out = np.full(trial.values.shape, np.nan, np.float32)
    for stream in range(trial.entities):
        mine = np.flatnonzero(trial.stream == stream)
        out[mine] = forecast(trial.values[mine])
    return out


def _season_before(values: F32, filled: F32) -> F32:
    out = np.concatenate([values[:1] * np.nan, filled[:-1]])
    for c in range(values.shape[1]):
        if lag := season(filled[: len(filled) // 2, c]):
            out[lag:, c] = filled[:-lag, c]
    return out


def season(values: F32 | F64) -> int:
    """The lag in rows of the highest autocorrelation after its first dip; 0 if none."""
    centred = (values - values.mean()).astype(np.float64)
    size = 1 << (2 * len(centred) - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(centred, size)) ** 2
    auto = np.fft.irfft(spectrum, size)[: len(centred) // 2]
    if len(auto) <= LAGS[0] or auto[0] <= 0:
        return 0
    auto = auto / auto[0] * len(centred) / np.arange(len(centred), len(centred) - len(auto), -1)
    dips = np.flatnonzero(auto < 0)
    first = max(int(dips[0]) if len(dips) else len(auto), LAGS[0])
    some = auto[first : LAGS[1] + 1]
    if not len(some) or some.max() < LEAST_SEASON:
        return 0
    # Multiples of a season correlate as well: take the first peak that is about as high as the
    # highest.
    start = int(np.argmax(some >= 0.9 * some.max()))
    return first + start + int(np.argmax(some[start : start + max(first // 2, 2)]))


def judged_windows(
    series: TrainingSeries, spec: ModelSpec, *, held: bool, before: int = 0
) -> History | None:
    """Windows of grown entities whose judged rows are all held out, or all learnt.

    `before` rows of embargo precede the cut. Held-out windows lie completely after the cut if
    possible: a window across a change of regime would say little.
    """
    cut = int(np.argmax(series.held)) if series.held.any() else len(series)
    length = rows_needed(spec)
    stop, first = (len(series), cut) if held else (cut - before, 0)
    least = first + length if stop >= first + length else max(first + spec.stride, length)
    ends = np.arange(stop, least - 1, -spec.stride)
    if not len(ends):
        return None
    rows = ends[:, None] + np.arange(-length, 0)
    return History(
        series.values[rows],
        series.time_s[rows],
        series.excluded[rows],
        np.full(len(rows), series.rhythm),
    )


def together(parts: list[History | None]) -> History | None:
    """The windows of all series; at most MOST_WINDOWS, evenly spaced."""
    some = [p for p in parts if p is not None]
    if not some:
        return None
    joined = [
        np.concatenate([getattr(p, n) for p in some])
        for n in ("values", "time_s", "anomaly", "rhythm")
    ]
    keep = np.linspace(0, len(joined[0]) - 1, min(len(joined[0]), MOST_WINDOWS)).astype(int)
    return History(*(a[keep] for a in joined))


def likelihood(scorer: Network, spec: ModelSpec, history: History) -> Likelihood:
    """Replay windows (W, L, C) and judge their last `stride` rows."""
    data = windows(history, spec)
    last = slice(-spec.stride, None)
    out = forecast_skill.replay(scorer, data)[last]
    params, gap = np.stack([o.value for o in out], axis=1), np.stack([o.gap for o in out], axis=1)
    weight = data.value_weight[:, last]
    log = density.value_log_density(params, data.step[:, last])
    with np.errstate(invalid="ignore"):
        nll = -(log * weight).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))
    return Likelihood(
        nll.astype(np.float64), _value_pit(params, data, weight, last), _gap_pit(gap, data, last)
    )


def _value_pit(params: F32, data: Windows, weight: F32, last: slice) -> F64:
    m = MIXTURE
    scale = np.exp(np.clip(params[..., 2 * m :], density.LOG_SCALE_LOW, density.LOG_SCALE_HIGH))
    u = (data.step[:, last, :, None] - params[..., m : 2 * m]) / scale
    below = (density.weights(params[..., :m]) / (1 + np.exp(-np.clip(u, -60, 60)))).sum(axis=-1)
    return below[weight > 0].astype(np.float64)


def _gap_pit(params: F32, data: Windows, last: slice) -> F64:
    """Probability integrals of gaps, without windows of a very regular clock.

    There the narrowest density is wider than all gaps, so good and bad models are off alike.
    """
    on, log_gap = data.gap_weight[:, last] > 0, data.log_gap[:, last]
    low, high = np.quantile(log_gap, [0.25, 0.75], axis=1)
    on &= (high - low > NARROWEST)[:, None]
    return density.gap_tails(params[on], log_gap[on])[0].astype(np.float64)


def pit_error(pit: F64) -> float:
    """Mean distance of the quantiles of a probability integral transform from uniform.

    0 is calibrated, 0.5 worst. Dawid 1984; Gneiting, Balabdaoui & Raftery 2007.
    """
    if not len(pit):
        return 0.0
    levels = np.linspace(0.025, 0.975, 39)
    return float(np.mean(np.abs(np.quantile(pit, levels) - levels)))


def step_us(
    scorers: Sequence[Network], spec: ModelSpec, channels: int, *, enough: float = 1.0
) -> list[float]:
    """CPU time in microseconds per event of a step of SPEED_ROWS rows, best of all rounds.

    The scorers take turns. A busy machine makes a round slow, never fast. So there are up to
    MOST_ROUNDS rounds while the second scorer takes more than `enough` times the first one's time.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(SPEED_ROWS, channels, spec.value_features)).astype(np.float32)
    r = rng.normal(size=(SPEED_ROWS, spec.rhythm_features)).astype(np.float32)
    best = np.full(len(scorers), np.inf)
    for number in range(MOST_ROUNDS):
        best = np.minimum(best, [_seconds(scorer, x, r) for scorer in scorers])
        if number >= LEAST_ROUNDS and best[1] <= enough * best[0]:
            break
    return [float(1e6 * seconds / SPEED_CALLS / SPEED_ROWS) for seconds in best]


def _seconds(scorer: Network, x: F32, r: F32) -> float:
    value = np.zeros((*x.shape[:2], scorer.value_width), np.float32)
    rhythm = np.zeros((len(x), scorer.rhythm_width), np.float32)
    began = time.thread_time()
    for _ in range(SPEED_CALLS):
        out = scorer.step(value, rhythm, x, r)
        value, rhythm = out.value_state, out.rhythm_state
    return time.thread_time() - began
