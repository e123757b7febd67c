"""Paired comparison of two models on one trial: detection and forecasts.

A loss counts only if it exceeds noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models import evaluate
from models.evaluate import Hits, TrialResult
from models.gate_rules import GateRules, RuleResult
from models.planted_trial import Trial
from streamer.artifact import Bundle
from streamer.event import F64

RESAMPLES = 2000
# Persistence can be beaten if a peer beats it by this fraction of its error. Otherwise no skill is
# required.
BEATABLE = 0.03
FREE_FALSE_ALARMS = 1.0  # a difference of one is chance
FREE_DELAY_ROWS = 3.0
# Equal false alarms: at least one per this many clean rows, or the line would depend on a single
# event.
EQUAL_RATE = 1e-3


@dataclass(frozen=True, slots=True)
class Paired:
    """Results of both models on one trial, champion first."""

    trial: Trial
    outcomes: tuple[TrialResult, TrialResult]
    at_line: tuple[Hits, Hits]
    equal: tuple[Hits, Hits]  # at equal false alarms
    errors: tuple[F64, F64]  # log, (K, C)
    peers: Mapping[str, F64]  # the same for persistence, seasonal naive and AR(3)
    draws: F64  # (R, K) how often a resample contains each cell


def compare(
    champion: Bundle, challenger: Bundle, trial: Trial, detect: Mapping[str, Any], backend: str
) -> Paired:
    """Run both models through the pipeline with the same settings."""
    settings = evaluate.settings_for(trial, detect)
    outcomes = [evaluate.run(bundle, trial, settings, backend) for bundle in (champion, challenger)]
    allowed = max(
        settings.budget_per_day * trial.days / trial.entities,
        EQUAL_RATE * float(trial.clean.sum()),
        1.0,
    )
    lines = [evaluate.line_for(trial, outcome, int(allowed)) for outcome in outcomes]
    peers = {
        "persistence": evaluate.previous,
        "seasonal": evaluate.seasonal,
        "ar3": evaluate.autoregressive,
    }
    rng = np.random.default_rng(1)
    return Paired(
        trial,
        (outcomes[0], outcomes[1]),
        (evaluate.hits(trial, outcomes[0]), evaluate.hits(trial, outcomes[1])),
        (evaluate.hits(trial, outcomes[0], lines[0]), evaluate.hits(trial, outcomes[1], lines[1])),
        (
            evaluate.log_errors(trial, outcomes[0].expected),
            evaluate.log_errors(trial, outcomes[1].expected),
        ),
        {name: evaluate.log_errors(trial, forecast(trial)) for name, forecast in peers.items()},
        rng.multinomial(trial.cells, np.full(trial.cells, 1 / trial.cells), RESAMPLES).astype(
            np.float64
        ),
    )


def detection(paired: Paired, rules: GateRules) -> list[RuleResult]:
    """Recall at the line and at equal false alarms, false alarms at the budget, delay."""
    trial, (ours, theirs) = paired.trial, (paired.at_line[1], paired.at_line[0])
    nans = evaluate.unscored(trial, paired.outcomes[1])
    found = [
        RuleResult(
            "finite",
            nans == 0,
            f"{nans:.2%} of its judgements are no finite numbers",
            0.0,
            nans,
            0.0,
        )
    ]
    if trial.anomalies:
        said = (
            f"it catches {ours.recall:.0%} of {len(trial.anomalies)} anomalies, "
            f"{rules.min_recall:.0%} are required"
        )
        found += [
            RuleResult(
                "recall",
                ours.recall >= rules.min_recall,
                said,
                theirs.recall,
                ours.recall,
                rules.min_recall,
            ),
            _recall_loss(paired, rules),
            _line_loss(paired, rules),
            _delay(paired, rules),
        ]
    return [*found, _false_alarms(paired, rules)]


def _recall_loss(paired: Paired, rules: GateRules) -> RuleResult:
    theirs, ours = paired.equal
    lost = _by_cell(paired, theirs.caught.astype(float) - ours.caught)
    count = _by_cell(paired, np.ones(len(ours.caught)))
    is_worse = worse(lost, count, paired.draws, rules.max_recall_loss, rules.confidence)
    said = (
        f"at equal false alarms it catches {ours.recall:.1%} of anomalies, the champion "
        f"{theirs.recall:.1%}"
    )
    return RuleResult(
        "recall_loss", not is_worse, said, theirs.recall, ours.recall, rules.max_recall_loss
    )


def _line_loss(paired: Paired, rules: GateRules) -> RuleResult:
    """The recall lost at the operator's own alarm line.

    Evidence on another scale may be as good, but the operator set this line.
    """
    theirs, ours = paired.at_line
    lost = _by_cell(paired, theirs.caught.astype(float) - ours.caught)
    count = _by_cell(paired, np.ones(len(ours.caught)))
    paid = theirs.false_alarms.sum() > ours.false_alarms.sum() + FREE_FALSE_ALARMS
    is_worse = worse(lost, count, paired.draws, rules.max_line_loss, rules.confidence) and not paid
    said = (
        f"at the alarm line it catches {ours.recall:.1%} of anomalies, the champion "
        f"{theirs.recall:.1%}"
    )
    return RuleResult(
        "line_loss", not is_worse, said, theirs.recall, ours.recall, rules.max_line_loss
    )


def _delay(paired: Paired, rules: GateRules) -> RuleResult:
    theirs, ours = paired.equal
    both = theirs.caught & ours.caught
    if not both.any():
        return RuleResult("delay", True, "no anomaly was caught by both")
    before, after = float(theirs.delay_rows[both].mean()), float(ours.delay_rows[both].mean())
    later = _by_cell(paired, np.where(both, ours.delay_rows - theirs.delay_rows, 0))
    margin = (rules.max_delay_ratio - 1) * before + FREE_DELAY_ROWS
    is_worse = worse(
        later, _by_cell(paired, both.astype(float)), paired.draws, margin, rules.confidence
    )
    said = f"it notices after {after:.1f} rows on average, the champion after {before:.1f}"
    return RuleResult("delay", not is_worse, said, before, after, before + margin)


def _false_alarms(paired: Paired, rules: GateRules) -> RuleResult:
    theirs, ours = paired.at_line[0].false_alarms, paired.at_line[1].false_alarms
    days = max(paired.trial.days, 1e-9)
    excess = ours - rules.max_false_alarm_ratio * theirs - FREE_FALSE_ALARMS / paired.trial.cells
    is_worse = worse(excess, np.ones(len(excess)), paired.draws, 0.0, rules.confidence)
    said = (
        f"{ours.sum():.0f} false alarms in {days:.2g} days of normal operation, the champion "
        f"{theirs.sum():.0f}"
    )
    return RuleResult(
        "false_alarms",
        not is_worse,
        said,
        theirs.sum() / days,
        ours.sum() / days,
        rules.max_false_alarm_ratio,
    )


def forecasting(paired: Paired, rules: GateRules) -> list[RuleResult]:
    """Skill over persistence, and forecast errors no larger than the champion's."""
    theirs, ours = paired.errors
    naive = paired.peers["persistence"]
    gain, count = _sums(naive - ours)
    own = skill(naive, ours)
    peer = max(skill(naive, theirs), *(skill(naive, paired.peers[n]) for n in ("seasonal", "ar3")))
    proven = np.quantile(_ratio(gain, count, paired.draws), 1 - rules.confidence) > -np.log(
        1 - rules.min_skill
    )
    beatable = peer > BEATABLE
    said = f"its forecasts are {own:+.1%} better than persistence, the best peer's {peer:+.1%}"
    found = RuleResult(
        "skill", bool(proven) or not beatable, said, skill(naive, theirs), own, rules.min_skill
    )
    loss, count = _sums(ours - theirs)
    is_worse = worse(
        loss, count, paired.draws, float(np.log(rules.max_error_ratio)), rules.confidence
    )
    ratio = float(np.exp(loss.sum() / max(count.sum(), 1)))
    said = f"its forecast errors are {ratio:.2f} times the champion's"
    return [found, RuleResult("error", not is_worse, said, 1.0, ratio, rules.max_error_ratio)]


def _by_cell(paired: Paired, of_anomalies: F64) -> F64:
    """Sums (K,) per cell of a value known for every anomaly (A,)."""
    cells = [anomaly.cell for anomaly in paired.trial.anomalies]
    return np.bincount(cells, weights=of_anomalies, minlength=paired.trial.cells).astype(np.float64)


def _ratio(loss: F64, count: F64, draws: F64) -> F64:
    """Mean loss of every resample (R,)."""
    return np.asarray((draws @ loss) / np.maximum(draws @ count, 1e-9), np.float64)


def worse(loss: F64, count: F64, draws: F64, margin: float, confidence: float) -> bool:
    """Whether the mean loss exceeds the margin as measured and in enough resamples.

    Losses and counts are (K,). Enough is the fraction `confidence`.
    """
    measured = float(loss.sum() / max(count.sum(), 1e-9))
    return measured > margin and float((_ratio(loss, count, draws) > margin).mean()) >= confidence


def _sums(logs: F64) -> tuple[F64, F64]:
    """Sum and number of the known values in each cell of (K, C)."""
    return np.nansum(logs, axis=1), (~np.isnan(logs)).sum(axis=1).astype(np.float64)


def skill(naive: F64, model: F64) -> float:
    """1 - error / persistence's error, the geometric mean over cells and channels."""
    total, count = _sums(model - naive)
    return float(1 - np.exp(total.sum() / max(count.sum(), 1)))


def curve(paired: Paired, of: int, points: int = 24) -> list[list[float]]:
    """[false alarms per thousand clean rows, recall] of a model at falling alarm lines."""
    clean, found = float(paired.trial.clean.sum()), []
    for allowed in np.unique(np.geomspace(1, max(0.02 * clean, 2), points).astype(int)).tolist():
        hit = evaluate.hits(
            paired.trial,
            paired.outcomes[of],
            evaluate.line_for(paired.trial, paired.outcomes[of], allowed),
        )
        found.append([1000 * hit.false_alarms.sum() / clean, hit.recall])
    return found


def summary(paired: Paired) -> dict[str, Any]:
    """Figures for the report, champion first in every pair."""
    trial = paired.trial
    kinds = np.array([anomaly.kind for anomaly in trial.anomalies])
    naive = paired.peers["persistence"]
    return {
        "trial": {
            "entities": trial.entities,
            "rows": len(trial.time_s),
            "clean_rows": int(trial.clean.sum()),
            "days": trial.days,
            "anomalies": len(kinds),
        },
        "recall_by_kind": {
            str(kind): [float(h.caught[kinds == kind].mean()) for h in paired.equal]
            + [int((kinds == kind).sum())]
            for kind in np.unique(kinds)
        },
        "curves": [curve(paired, 0), curve(paired, 1)] if len(kinds) else [],
        "lines": [hit.line for hit in paired.equal],
        "skill": {
            "champion": skill(naive, paired.errors[0]),
            "challenger": skill(naive, paired.errors[1]),
            **{
                name: skill(naive, logs)
                for name, logs in paired.peers.items()
                if name != "persistence"
            },
        },
        "band_outside": [float(o.outside[trial.clean].mean()) for o in paired.outcomes],
        "pipeline_events_per_s": [len(trial.time_s) / o.seconds for o in paired.outcomes],
    }
