"""Cost and effect of each exported precision: bytes, speed, changed scores and alerts.

The reference is the numpy step of the same weights. Scores are compared relative to 1 + the
reference's score, because evidence is on a log scale whose size grows with the anomaly. An alert is
flipped if one of the two raises it and the other raises none within NEAR rows: one event earlier or
later is the same alert. A score on the line falls to either side by rounding. Whether an incident
opens changes what is learnt after it. So a few flips are always allowed, and the largest TRIMMED of
the differences are set to their edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models import evaluate
from models.gate_rules import RuleResult
from models.planted_trial import Trial
from streamer.artifact import Bundle
from streamer.backends import open_scorer
from streamer.event import F32, I64
from streamer.settings import DetectSettings

BACKENDS = ("litert", "litert-fp16", "litert-int8")
# By backend: mean score difference, and flipped alerts as a fraction of all. Measured on three sets
# of waves (12 to 53 alerts): 2e-7, 8e-4 and 0.013 to 0.018; one flip of 27 with int8, none
# otherwise.
LIMITS: Mapping[str, tuple[float, float]] = {
    "litert": (1e-4, 0.002),
    "litert-fp16": (0.005, 0.02),
    "litert-int8": (0.05, 0.1),
}
FREE_FLIPS = 2
TRIMMED = 0.02
NEAR = 10  # rows over which scores are smoothed


@dataclass(frozen=True, slots=True)
class Form:
    """One precision against the reference."""

    backend: str
    bytes: int  # step and replay together
    step_us: float
    max_difference: float
    mean_difference: float
    alerts: int  # alerts of the reference
    flipped: int

    @property
    def why(self) -> str:
        """The broken rule, or ""."""
        mean, flips = LIMITS[self.backend]
        if not self.mean_difference <= mean:
            return (
                f"{self.backend}: scores differ by {self.mean_difference:.2g} on average, "
                f"allowed is {mean:g}"
            )
        allowed = max(FREE_FLIPS, flips * self.alerts)
        if self.flipped > allowed:
            return (
                f"{self.backend}: {self.flipped} of {self.alerts} alerts are flipped, allowed "
                f"are {allowed:.0f}"
            )
        return ""


def measure(
    bundle: Bundle, trial: Trial, settings: DetectSettings, backends: Sequence[str] = BACKENDS
) -> tuple[Form, ...]:
    """Measure every precision of the bundle on the same trial."""
    reference = evaluate.run(bundle, trial, settings, "numpy")
    scorers = [open_scorer(bundle, name) for name in backends]
    us = evaluate.step_us(scorers, bundle.spec, trial.values.shape[1])
    return tuple(
        _form(bundle, trial, settings, reference, *one) for one in zip(backends, us, strict=True)
    )


def _form(
    bundle: Bundle,
    trial: Trial,
    settings: DetectSettings,
    reference: evaluate.TrialResult,
    backend: str,
    us: float,
) -> Form:
    got = evaluate.run(bundle, trial, settings, backend)
    difference = np.abs(got.score - reference.score) / (1 + reference.score)
    wanted = _alerts(trial, reference)
    return Form(
        backend,
        bytes_of(bundle, backend),
        us,
        float(difference.max()),
        _mean(difference),
        len(wanted),
        flipped(wanted, _alerts(trial, got)),
    )


def _mean(difference: F32) -> float:
    return float(np.minimum(difference, np.quantile(difference, 1 - TRIMMED)).mean())


def _alerts(trial: Trial, outcome: evaluate.TrialResult) -> I64:
    """Rows of alarms on one ascending axis (n,) that keeps streams NEAR rows apart."""
    rows = np.flatnonzero(outcome.alarm >= 1)
    apart = int(trial.number.max()) + 2 * NEAR
    return np.sort(trial.stream[rows].astype(np.int64) * apart + trial.number[rows])


def flipped(ours: I64, theirs: I64) -> int:
    """Number of alarms of either side (ascending) without one of the other within NEAR rows."""
    return _alone(ours, theirs) + _alone(theirs, ours)


def _alone(ours: I64, theirs: I64) -> int:
    return int(
        np.count_nonzero(
            np.searchsorted(theirs, ours - NEAR) == np.searchsorted(theirs, ours + NEAR, "right")
        )
    )


def bytes_of(bundle: Bundle, backend: str) -> int:
    """Bytes of the graphs that a backend loads."""
    from streamer.backends.litert import PRECISIONS

    return sum(
        len(bundle.parts[f"{graph}_{PRECISIONS[backend]}.tflite"]) for graph in ("step", "replay")
    )


def findings(forms: Sequence[Form]) -> list[RuleResult]:
    """One rule result per precision."""
    return [
        RuleResult(
            form.backend.replace("litert", "parity").replace("parity-", "parity_"),
            not form.why,
            form.why
            or f"{form.backend} changes scores by {form.mean_difference:.2g} on average and "
            f"flips {form.flipped} of {form.alerts} alerts",
            None,
            form.mean_difference,
            LIMITS[form.backend][0],
        )
        for form in forms
    ]


def figures(forms: Sequence[Form]) -> list[dict[str, Any]]:
    """The forms as JSON-ready objects."""
    return [asdict(form) for form in forms]
