"""The gate: a challenger passes if it is sound and no worse than the champion.

Both are judged on the same held-out span. Likelihood alone is not used: more training on
contaminated data improves the likelihood and halves the detection. The gate compares what an
operator would have seen: anomalies caught at equal false alarms, false alarms at the same budget,
and delay. It also compares forecasts with persistence, calibration and speed.

**Noise.** Both models judge the same rows, so every comparison is paired. A loss counts only if it
exceeds its margin both as measured and in `confidence` of the bootstrap's resamples of entities
(Efron 1979; stretches of entities if there are few). A challenger equal to the champion has no loss
in any resample and passes. Forecasting better than persistence must be proven by the challenger, so
there the burden is reversed.

**Leaks.** A model that was trained on the held-out span is refused if its manifest's span or data
hash says so. A manifest without them is refused as well. Against a false manifest there is one
test. Relative to the champion, the challenger must not fit the held-out span better than every part
of the span it claims to have learnt. That finds a model that memorised the held-out span. A mild
leak cannot be distinguished from a good model on this span. It is left to the shadow on live
traffic, which no training can have used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from models import compare, evaluate, export, leak
from models.gate_rules import GateRules, RuleResult
from models.planted_trial import Trial, build
from models.split import Split
from streamer import artifact
from streamer.artifact import Bundle
from streamer.backends import open_scorer
from streamer.errors import BackendError, GateRefused, ModelError

SCHEMA = "streamer.gate/1"
MOST_S = 1e15  # seconds: the largest plausible time


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """All findings, and JSON-ready `figures` for the report."""

    champion: str
    challenger: str
    findings: tuple[RuleResult, ...]
    figures: Mapping[str, Any]
    rules: GateRules

    @property
    def passed(self) -> bool:
        return all(finding.ok for finding in self.findings)

    @property
    def why(self) -> str:
        """The broken rules in one line."""
        return "; ".join(finding.said for finding in self.findings if not finding.ok)

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "champion": self.champion,
            "challenger": self.challenger,
            "why": self.why,
            "findings": [asdict(f) for f in self.findings],
            "rules": asdict(self.rules),
            **self.figures,
        }

    def with_more(self, findings: Sequence[RuleResult], figures: Mapping[str, Any]) -> GateVerdict:
        """The verdict with further rules applied."""
        return replace(
            self, findings=(*self.findings, *findings), figures={**self.figures, **figures}
        )

    def require(self) -> None:
        """GateRefused unless passed."""
        if not self.passed:
            raise GateRefused(f"{self.challenger} is refused: {self.why}")


def judge(
    champion: Bundle,
    challenger: Bundle | Path,
    split: Split,
    rules: GateRules = GateRules(),  # noqa: B008 frozen
    *,
    detect: Mapping[str, Any] | None = None,
    seed: int = 0,
    backend: str = "auto",
) -> GateVerdict:
    """Judge a challenger (a bundle or its directory) against the champion.

    Uses the held-out span of a split. Refusals are findings, never exceptions. An unsound
    challenger is not run.
    """
    try:
        bundle = challenger if isinstance(challenger, Bundle) else artifact.load(challenger)
        early = [*sound(champion, bundle, backend), *provenance(bundle, champion, split)]
    except ModelError as exc:
        early, bundle = [RuleResult("bundle", False, f"the bundle cannot be used: {exc}")], None
    figures: dict[str, Any] = {"spans": spans(split)}
    if bundle is None or not all(finding.ok for finding in early):
        name = bundle.version if bundle else Path(str(challenger)).name
        return GateVerdict(champion.version, name, tuple(early), figures, rules)
    trial = build(split.series, seed, aimed=rules.anomalies, warm=rules.warm_rows)
    paired = compare.compare(champion, bundle, trial, detect or {}, backend)
    chances = leak.likelihoods(champion, bundle, split, backend)
    found = [
        *early,
        *compare.detection(paired, rules),
        *compare.forecasting(paired, rules),
        *leak.densities(chances, rules),
        speed(champion, bundle, trial, rules, backend),
    ]
    figures |= compare.summary(paired) | leak.summary(chances)
    return GateVerdict(champion.version, bundle.version, tuple(found), figures, rules)


def sound(champion: Bundle, challenger: Bundle, backend: str) -> list[RuleResult]:
    """Check shape, finite weights, and that the exported step matches the weights."""
    ours, theirs = challenger.spec, champion.spec
    memory = ("value_features", "rhythm_features", "window", "stride", "scale_window", "k_min")
    wrong = [
        f"{n} {getattr(ours, n)} (champion {getattr(theirs, n)})"
        for n in memory
        if getattr(ours, n) != getattr(theirs, n)
    ]
    if wrong:
        return [
            RuleResult(
                "schema", False, f"made for another shape of memory or features: {', '.join(wrong)}"
            )
        ]
    try:
        export.check_weights(ours, challenger.weights)
    except ModelError as exc:
        return [RuleResult("weights", False, str(exc))]
    found = [
        RuleResult("schema", True, "shape and features fit the champion's"),
        RuleResult("weights", True, "finite"),
    ]
    # what cannot run here is not the challenger's fault
    name = open_scorer(champion, backend).ref.backend
    return found if name == "numpy" else [*found, _parity(challenger, name)]


def _parity(challenger: Bundle, backend: str) -> RuleResult:
    """Compare the exported step with golden vectors made here from the weights.

    The bundle's own vectors may be of another export.
    """
    try:
        strays = export.deviation(
            challenger, backend, export.golden(challenger.spec, challenger.weights)
        )
    except (ModelError, BackendError, ValueError, RuntimeError) as exc:
        # LiteRT raises ValueError and RuntimeError for odd graphs
        return RuleResult("parity", False, f"the exported step cannot be run: {exc}")
    measure, limit = export.limit_of(backend)
    said = f"the exported step strays from the weights by {strays[measure]:.2g}"
    return RuleResult("parity", strays[measure] <= limit, said, None, strays[measure], limit)


def provenance(challenger: Bundle, champion: Bundle, split: Split) -> list[RuleResult]:
    """Whether the manifest says that nothing of the held-out span was learnt."""
    training = challenger.manifest.get("training", {})
    if challenger.sha256 == champion.sha256:
        return [RuleResult("provenance", True, "the champion itself")]
    if training.get("data_sha256") in (split.held_sha256, "") and training.get("data_sha256"):
        return [
            RuleResult("provenance", False, "leaked: its data hash is that of the held-out rows")
        ]
    end_s, cut_s = _end_s(training.get("span")), split.held_span_s[0]
    if end_s is None:
        return [
            RuleResult(
                "provenance", False, "the manifest's training.span does not say when its data end"
            )
        ]
    ok = end_s < cut_s
    said = (
        "trained before the held-out span"
        if ok
        else f"leaked: trained on {end_s - cut_s:.0f} s of the held-out span"
    )
    return [RuleResult("provenance", ok, said)]


def _end_s(span: object) -> float | None:
    """The end of a manifest's data span; None if it is not an ordered pair of times."""
    if (
        not isinstance(span, list | tuple)
        or len(span) != 2
        or {type(at) for at in span} - {int, float}
    ):
        return None
    begin, end = span
    # NaN fails the comparison
    return float(end) if -MOST_S < begin <= end < MOST_S else None


def speed(
    champion: Bundle, challenger: Bundle, trial: Trial, rules: GateRules, backend: str
) -> RuleResult:
    """Compare one step of many rows, measured in turn."""
    scorers = [open_scorer(bundle, backend) for bundle in (champion, challenger, champion)]
    first, after, again = evaluate.step_us(
        scorers, champion.spec, trial.values.shape[1], enough=rules.max_slowdown
    )
    before = max(first, again)  # their difference is noise of the machine
    said = f"a step takes {after:.2f} us an event, the champion's {before:.2f}"
    return RuleResult(
        "speed", after <= rules.max_slowdown * before, said, before, after, rules.max_slowdown
    )


def spans(split: Split) -> dict[str, Any]:
    """The learnt and the held-out span, for the report."""
    return {
        "train_s": list(split.train_span_s),
        "held_s": list(split.held_span_s),
        "train_rows": split.rows,
        "held_rows": split.held_rows,
    }
