"""Likelihoods of both models before and after the cut: calibration and leaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models import evaluate
from models.evaluate import Likelihood
from models.gate_rules import GateRules, RuleResult
from models.split import Split
from streamer.artifact import Bundle
from streamer.backends import open_scorer
from streamer.event import F64

RESAMPLES = 2000
BLOCKS, CONFIDENCE, LEAST_WINDOWS = 12, 0.99, 6
PIT_BINS = 20


@dataclass(frozen=True, slots=True)
class Chances:
    """Likelihoods of both models on learnt and held-out windows, champion first.

    None if there are no windows.
    """

    learnt: tuple[Likelihood, Likelihood] | None
    held: tuple[Likelihood, Likelihood] | None
    learnt_at_s: F64  # (W,) end time of each learnt window


def likelihoods(champion: Bundle, challenger: Bundle, split: Split, backend: str) -> Chances:
    """Replay windows of both sides of the cut; rows of the embargo belong to neither."""
    spec, found, ends = champion.spec, {}, np.zeros(0)
    scorers = [open_scorer(bundle, backend) for bundle in (champion, challenger)]
    for held in (False, True):
        parts = [
            evaluate.judged_windows(s, spec, held=held, before=spec.window) for s in split.series
        ]
        windows = evaluate.together(parts)
        if windows is not None:
            found[held] = tuple(evaluate.likelihood(scorer, spec, windows) for scorer in scorers)
            ends = ends if held else windows.time_s[:, -1]
    return Chances(found.get(False), found.get(True), ends)  # type: ignore[arg-type]


def densities(chances: Chances, rules: GateRules) -> list[RuleResult]:
    """Rules on calibration, and on the fit of rows that were not learnt."""
    if chances.held is None:
        return []
    theirs, ours = (_calibration(h) for h in chances.held)
    said = f"its quantiles are off by {ours:.3f}, the champion's by {theirs:.3f}"
    limit = theirs + rules.max_calibration_loss
    return [
        RuleResult("calibration", ours <= limit, said, theirs, ours, limit),
        _leak(chances, rules),
    ]


def _calibration(found: Likelihood) -> float:
    """Mean calibration error of values and gaps, as far as available.

    The mean and not the larger: almost periodic gaps are narrower than the gap density can be (2
    %), so they look miscalibrated.
    """
    some = [pit for pit in (found.value_pit, found.gap_pit) if len(pit)]
    return float(np.mean([evaluate.pit_error(pit) for pit in some])) if some else 0.0


def _leak(chances: Chances, rules: GateRules) -> RuleResult:
    held = _advantage(chances.held)
    if chances.learnt is None or len(held) < LEAST_WINDOWS:
        return RuleResult("leak", True, "too few windows to compare learnt with held-out rows")
    best = float(np.max(blocks_of(chances)))
    rng = np.random.default_rng(2)
    draws = np.nanmedian(rng.choice(held, (RESAMPLES, len(held))), axis=1)
    surely = float(np.quantile(draws, 1 - CONFIDENCE)) - best
    said = (
        f"held-out values are {float(np.nanmedian(held)):+.3f} nats likelier than to the champion, "
        f"learnt ones {best:+.3f} at best"
    )
    if surely > rules.max_leak:
        said = f"leaked: {said}; nothing fits better what it has not seen"
    return RuleResult("leak", surely <= rules.max_leak, said, None, surely, rules.max_leak)


def blocks_of(chances: Chances) -> F64:
    """Median advantage on blocks of the learnt span, oldest first.

    Blocks, because a regime may have started late in it. Medians, because windows across a change
    of regime are far off for every model.
    """
    learnt = _advantage(chances.learnt)[np.argsort(chances.learnt_at_s, kind="stable")]
    blocks = np.array_split(learnt, max(1, min(BLOCKS, len(learnt) // LEAST_WINDOWS)))
    return np.array([np.nanmedian(block) for block in blocks])


def _advantage(pair: tuple[Likelihood, Likelihood] | None) -> F64:
    """How much likelier each window is to the challenger, nats per value (W,)."""
    return pair[0].nll - pair[1].nll if pair else np.zeros(0)


def summary(chances: Chances) -> dict[str, Any]:
    """Figures for the report, champion first in every pair."""
    if chances.held is None:
        return {}
    bins = np.linspace(0, 1, PIT_BINS + 1)
    return {
        "pit": {
            name: [
                (np.histogram(getattr(h, name), bins)[0] / max(len(getattr(h, name)), 1)).tolist()
                for h in chances.held
            ]
            for name in ("value_pit", "gap_pit")
        },
        "nll": {
            "learnt": [float(np.nanmean(h.nll)) for h in chances.learnt]
            if chances.learnt
            else None,
            "held": [float(np.nanmean(h.nll)) for h in chances.held],
        },
        "advantage": {
            "learnt": [float(a) for a in blocks_of(chances)],
            "held": float(np.nanmedian(_advantage(chances.held))),
        },
    }
