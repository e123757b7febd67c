"""Bad models are refused, each for its own reason; an equal one passes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import gate, gate_report, leak
from models.gate import GateVerdict
from models.gate_rules import GateRules, rules_of
from models.split import Split
from streamer import artifact
from streamer.artifact import PRETRAINED, WEIGHTS, Bundle
from streamer.backends import default_backend
from streamer.config import RetrainGate
from streamer.errors import ConfigError, GateRefused
from streamer.event import F32
from tests.detect.conftest import deeper
from tests.models.worlds import START_S, claiming, past, starter, waves

RULES = GateRules(anomalies=24, warm_rows=128)
BAD_SPANS: list[object] = [
    None,
    "2024",
    5,
    {},
    [],
    [1],
    [1, 2, 3],
    ["2023", "2024"],
    [0, "1"],
    [None, None],
    [0, None],
    [0, [1]],
    [0, True],
    [0, float("nan")],
    [float("nan"), 1],
    [float("-inf"), float("-inf")],
    [0, 10**400],
    [0, -(10**400)],
    [2, 1],
]


@pytest.fixture(scope="module")
def known() -> Split:
    return past(**waves(entities=3, rows=560))


def scaled(weights: Mapping[str, F32], factor: float, *names: str) -> dict[str, F32]:
    return dict(weights) | {name: np.asarray(factor * weights[name], np.float32) for name in names}


def untrained(weights: Mapping[str, F32]) -> dict[str, F32]:
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(0, 0.1, array.shape).astype(np.float32) for name, array in weights.items()
    }


def judged(challenger: Bundle, known: Split) -> GateVerdict:
    return gate.judge(starter(), challenger, known, RULES, backend="numpy")


def broken(verdict: GateVerdict) -> set[str]:
    return {finding.name for finding in verdict.findings if not finding.ok}


def test_an_untrained_model_is_refused(known: Split) -> None:
    bundle = starter()
    assert {"skill", "calibration"} & broken(
        judged(claiming(bundle, known, weights=untrained(bundle.weights)), known)
    )


def test_a_copycat_is_refused_although_it_detects_and_is_likely_as_the_champion_is(
    known: Split,
) -> None:
    bundle = starter()
    copycat = scaled(bundle.weights, 0, "forecast_out", "forecast_out_bias")
    verdict = judged(claiming(bundle, known, weights=copycat), known)
    assert "skill" in broken(verdict)
    by_name = {finding.name: finding for finding in verdict.findings}
    assert by_name["leak"].ok and by_name["calibration"].ok
    assert by_name["skill"].challenger == pytest.approx(0, abs=1e-3)


def test_a_shifted_scale_is_refused(known: Split) -> None:
    bundle = starter()
    verdict = judged(
        claiming(bundle, known, weights=scaled(bundle.weights, 4, "forecast_out")), known
    )
    assert {"error", "skill"} <= broken(verdict)


def test_weights_that_are_no_numbers_are_refused_before_anything_runs(known: Split) -> None:
    bundle = starter()
    verdict = judged(
        claiming(bundle, known, weights=scaled(bundle.weights, np.nan, "gap_out")), known
    )
    assert broken(verdict) == {"weights"}
    assert "gap_out is not finite" in verdict.why
    assert "trial" not in verdict.figures


def test_another_schema_is_refused_before_anything_runs(known: Split) -> None:
    bundle = starter()
    verdict = judged(claiming(bundle, known, spec=replace(bundle.spec, window=32)), known)
    assert broken(verdict) == {"schema"}
    assert "window 32 (champion 64)" in verdict.why


def test_another_depth_alone_is_nothing_to_refuse(known: Split) -> None:
    assert all(finding.ok for finding in gate.sound(starter(), deeper(starter(), 2), "numpy"))
    verdict = judged(claiming(deeper(starter(), 2), known), known)
    assert "skill" in broken(verdict), "what it says is judged: its new layer never learnt anything"
    assert not {"schema", "weights"} & broken(verdict)


@pytest.mark.parametrize(
    ("layers", "of", "why"), [(2, 1, "kernel_2 is missing"), (1, 2, "belongs to no network")]
)
def test_weights_of_another_depth_than_the_spec_says_are_refused(
    layers: int, of: int, why: str
) -> None:
    claimed = replace(deeper(starter(), layers), weights=deeper(starter(), of).weights)
    found = gate.sound(starter(), claimed, "numpy")
    assert [finding.name for finding in found] == ["weights"]
    assert not found[0].ok and why in found[0].said


def test_a_bundle_of_another_format_is_refused_as_it_came(known: Split, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "streamer.bundle/9"}))
    assert broken(gate.judge(starter(), tmp_path, known, RULES)) == {"bundle"}


@pytest.mark.parametrize(
    ("training", "why"),
    [
        ({"span": [0, 4e9]}, "leaked: trained on"),
        ({"span": [0, 1], "data_sha256": "HELD"}, "leaked: its data hash"),
        *[({"span": span}, "does not say when its data end") for span in BAD_SPANS],
        ({}, "does not say when its data end"),
    ],
)
def test_who_has_learnt_the_held_out_span_is_refused(
    known: Split, training: dict[str, object], why: str
) -> None:
    told = {
        name: known.held_sha256 if value == "HELD" else value for name, value in training.items()
    }
    verdict = judged(replace(starter(), sha256="other", manifest={"training": told}), known)
    assert broken(verdict) == {"provenance"}
    assert why in verdict.why


def shipping(directory: Path, weights: Mapping[str, F32], graphs: Mapping[str, bytes]) -> Path:
    """A bundle that is whole: every hash of its manifest is that of its part."""
    bundle = starter()
    parts = {name: blob for name, blob in bundle.parts.items() if name != WEIGHTS} | dict(graphs)
    artifact.save(
        directory,
        version="v2",
        spec=bundle.spec,
        weights=weights,
        calibration=bundle.calibration,
        parts=parts,
        training={"span": [0, 1]},
    )
    return directory


def int8_for_f32(*graphs: str) -> dict[str, bytes]:
    return {f"{graph}_f32.tflite": starter().parts[f"{graph}_int8.tflite"] for graph in graphs}


@pytest.mark.skipif(default_backend() == "numpy", reason="needs LiteRT")
@pytest.mark.parametrize("name", ["forecast_out", "gap_out", "value_recurrent"])
def test_a_graph_that_was_exported_from_other_weights_is_refused(
    name: str, known: Split, tmp_path: Path
) -> None:
    shipped = shipping(tmp_path / "b", scaled(starter().weights, 1.01, name), {})
    verdict = gate.judge(starter(), shipped, known, RULES)
    assert broken(verdict) == {"parity"}
    assert "the exported step strays from the weights by" in verdict.why
    assert "trial" not in verdict.figures


@pytest.mark.skipif(default_backend() == "numpy", reason="needs LiteRT")
@pytest.mark.parametrize(
    ("graphs", "why"),
    [
        (int8_for_f32("step"), "strays from the weights"),
        (int8_for_f32("replay"), "strays from the weights"),
        ({"step_f32.tflite": b"no graph at all"}, "cannot be run: LiteRT cannot read"),
        (
            {"step_f32.tflite": starter().parts["replay_f32.tflite"]},
            "cannot be run: the model lacks the tensor",
        ),
        (
            {
                "step_f32.tflite": artifact.load(PRETRAINED.with_name("pretrained_edge")).parts[
                    "step_f32.tflite"
                ]
            },
            "cannot be run",
        ),
    ],
)
def test_a_graph_of_something_else_is_refused(
    graphs: dict[str, bytes], why: str, known: Split, tmp_path: Path
) -> None:
    verdict = gate.judge(
        starter(), shipping(tmp_path / "b", starter().weights, graphs), known, RULES
    )
    assert broken(verdict) == {"parity"}
    assert why in verdict.why


def test_an_equal_and_a_nearly_equal_challenger_pass(known: Split) -> None:
    bundle, rng = starter(), np.random.default_rng(0)
    near = {
        n: (a * (1 + 1e-3 * rng.normal(size=a.shape))).astype(np.float32)
        for n, a in bundle.weights.items()
    }
    for challenger in (bundle, claiming(bundle, known, weights=near)):
        verdict = judged(challenger, known)
        assert verdict.passed, verdict.why
        verdict.require()


def test_a_clock_that_ticks_as_a_clock_is_no_matter_of_calibration() -> None:
    rows = waves()["time_s"].shape
    regular = past(time_s=START_S + np.tile(np.arange(rows[1]) * 60.0, (rows[0], 1)))
    chances = leak.likelihoods(starter(), claiming(starter(), regular), regular, "auto")
    assert chances.held is not None and not len(chances.held[1].gap_pit)
    irregular = leak.likelihoods(starter(), claiming(starter(), past()), past(), "auto")
    assert irregular.held is not None and len(irregular.held[1].gap_pit)


def test_a_refusal_has_its_exit_code_and_a_page_that_needs_nothing_else(
    known: Split, tmp_path: Path
) -> None:
    bundle = starter()
    verdict = judged(
        claiming(bundle, known, weights=scaled(bundle.weights, 4, "forecast_out")), known
    )
    with pytest.raises(GateRefused, match="forecast errors are") as refused:
        verdict.require()
    assert refused.value.exit_code == 4
    gate_report.write_report(verdict, tmp_path)
    told = json.loads((tmp_path / "gate.json").read_text())
    assert (told["schema"], told["passed"], told["why"]) == ("streamer.gate/1", False, verdict.why)
    page = (tmp_path / "gate.html").read_text()
    assert page.count("<svg") == 5
    assert not re.search(r'(src|href)="(?!#)', page)


def test_rules_have_names_and_let_an_equal_model_pass() -> None:
    assert rules_of({"min_recall": 0.5, "max_slowdown": 2}).min_recall == 0.5
    with pytest.raises(ConfigError, match="unknown: min_recal"):
        rules_of({"min_recal": 1})
    with pytest.raises(ConfigError, match=r"gate\.max_slowdown: must be at least 1"):
        rules_of({"max_slowdown": 0.9})


def test_what_the_configuration_offers_of_the_gate_are_its_own_rules_and_defaults() -> None:
    offered = RetrainGate().model_dump()
    assert offered == {name: getattr(GateRules(), name) for name in offered}
    assert rules_of(offered) == GateRules()
