"""Who fits what he has not seen better than all he has learnt has seen it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from models import leak
from models.dataset import History, cut, windows
from models.evaluate import Likelihood
from models.gate_rules import GateRules, RuleResult
from models.leak import Chances
from models.split import Split
from models.train import TrainSettings, train
from streamer.artifact import Bundle, ModelSpec
from streamer.event import F64
from tests.models.worlds import claiming, past, starter, waves

ROWS = 1600


def likely(nll: F64) -> Likelihood:
    return Likelihood(np.asarray(nll, float), np.linspace(0, 1, 50), np.linspace(0, 1, 50))


def found(learnt: F64, held: F64) -> RuleResult:
    """The finding about a challenger that is so much likelier than the champion in each window."""
    seen, unseen = ((likely(np.zeros(len(gain))), likely(-gain)) for gain in (learnt, held))
    chances = Chances(seen, unseen, np.arange(float(len(learnt))))
    (finding,) = (f for f in leak.densities(chances, GateRules()) if f.name == "leak")
    return finding


def test_a_gain_on_both_sides_of_the_cut_is_no_leak_and_one_on_the_unseen_side_is() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, (2, 120))
    assert found(noise[0] + 0.3, noise[1, :40] + 0.3).ok
    assert not found(noise[0] + 0.05, noise[1, :40] + 0.3).ok


def test_a_regime_that_came_late_in_what_was_learnt_is_no_leak() -> None:
    late = np.where(np.arange(120) > 105, 0.4, 0.0)
    assert found(late, np.full(40, 0.4)).ok


@dataclass(frozen=True)
class Span:
    """Windows from anywhere in a history, to learn it by heart."""

    history: History
    spec: ModelSpec

    def epoch(self, rng: np.random.Generator, rows: int) -> Iterator[dict[str, Any]]:
        yield from windows(cut(self.history, 256, 1, 128, rng), self.spec).batches(rows, rng)

    def validation(self) -> Iterator[dict[str, Any]]:
        yield windows(cut(self.history, 256, 1, 8, np.random.default_rng(0)), self.spec).batch(
            slice(None)
        )


def changed_at_the_cut() -> Split:
    """Waves that begin to alternate where the held-out span begins."""
    arrays = waves(entities=4, rows=ROWS)
    first = ROWS - ROWS // 4
    arrays["values"][:, first:, 0] += np.where(np.arange(ROWS - first) % 2, 1.5, -1.5)
    return past(**arrays)


@pytest.mark.slow
def test_a_lying_manifest_does_not_hide_that_a_new_regime_was_learnt() -> None:
    known, champion = changed_at_the_cut(), starter()
    values, time_s, excluded = (
        np.stack([getattr(s, name)[-ROWS // 4 :] for s in known.series])
        for name in ("values", "time_s", "excluded")
    )
    held = History(values, time_s, excluded, np.ones(len(known.series), bool))
    result = train(
        TrainSettings(epochs=8, learning_rate=4e-3, batch_rows=32),
        Span(held, champion.spec),
        start=champion.weights,
    )
    leaked = replace(claiming(champion, known), weights=result.weights)
    assert "leaked" in judged(leaked, known).said
    assert judged(claiming(champion, known), known).ok


def judged(challenger: Bundle, known: Split) -> RuleResult:
    chances = leak.likelihoods(starter(), challenger, known, "numpy")
    return next(f for f in leak.densities(chances, GateRules()) if f.name == "leak")
