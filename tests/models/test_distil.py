"""A student is small, learns what its teacher says, and is refused where it kept too little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import distil, network
from models.dataset import HistorySet, windows
from models.distil import DistilReport, ModelSize
from models.export import expected_shapes
from models.gate_rules import GateRules
from models.synth import streams
from streamer.artifact import ModelSpec
from streamer.detect.network import density
from streamer.detect.network.cell import MIXTURE
from tests.models.worlds import past, starter, waves


def test_a_student_has_a_tenth_of_the_parameters_and_the_same_memory() -> None:
    teacher = starter()
    spec = distil.student_spec(teacher.spec)
    assert distil.parameters(teacher.spec) == sum(array.size for array in teacher.weights.values())
    assert 0.08 < distil.parameters(spec) / distil.parameters(teacher.spec) <= distil.SHARE
    assert replace(spec, units=32, head=32, attention=16) == teacher.spec


def test_the_nodes_of_a_mixture_stand_for_it() -> None:
    rng = np.random.default_rng(0)
    params = rng.normal(size=(50, 3 * MIXTURE)).astype(np.float32)
    points, mass = map(np.asarray, distil.nodes(params, MIXTURE, density.LOG_SCALE_LOW, MIXTURE))
    np.testing.assert_allclose(mass.sum(axis=-1), 1, rtol=1e-5)
    mean = (density.weights(params[:, :MIXTURE]) * params[:, MIXTURE : 2 * MIXTURE]).sum(axis=-1)
    np.testing.assert_allclose((points * mass).sum(axis=-1), mean, rtol=1e-3, atol=1e-4)


def test_nobody_agrees_with_the_teacher_better_than_the_teacher() -> None:
    teacher = starter()
    batch = windows(streams(np.random.default_rng(0), 4, 256, 2), teacher.spec).batch(slice(None))
    model = network.build(teacher.spec)
    network.load_weights(model, teacher.weights)
    said = model((batch["x"], batch["r"]))
    other = dict(said) | {name: said[name] * 1.3 for name in ("value", "gap", "hour", "delta")}
    own, worse = distil.soft_losses(said, said, batch), distil.soft_losses(said, other, batch)
    assert all(float(own[name]) < float(worse[name]) for name in own)


RULES = GateRules(anomalies=9, warm_rows=128)


@pytest.mark.slow
def test_a_student_begins_as_the_starters_twin_and_keeps_enough(tmp_path: Path) -> None:
    known, teacher = past(**waves(entities=3, rows=560)), starter()
    student = distil.train_student(
        teacher,
        known,
        tmp_path / "edge",
        version="v-edge",
        start=None,
        seconds=0.5,
        seed=0,
        training={"cause": "test"},
        data=HistorySet(distil.student_spec(teacher.spec), known.train, pieces=8),
    )
    said = student.manifest["training"]
    assert (said["teacher"], said["parent"], said["cause"]) == (
        "starter-1",
        "starter-1-edge",
        "test",
    )
    kept = distil.compare(teacher, student, known, detect={}, rules=RULES)
    assert kept.passed, kept.why
    assert (
        kept.student.step_bytes["step_int8.tflite"]
        < 0.6 * kept.teacher.step_bytes["step_int8.tflite"]
    )


def test_a_student_that_learnt_nothing_is_refused() -> None:
    known, teacher, rng = past(**waves(entities=3, rows=560)), starter(), np.random.default_rng(0)
    spec = distil.student_spec(teacher.spec)
    weights = {
        name: rng.normal(0, 0.5, shape).astype(np.float32)
        for name, shape in expected_shapes(spec).items()
    }
    student = replace(teacher, spec=spec, weights=weights, parts={})
    kept = distil.compare(teacher, student, known, detect={}, rules=RULES, backend="numpy")
    assert not kept.passed
    assert "95% are required" in kept.why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"detection": 0.94}, "keeps 94.0% of the detection"),
        ({"forecast": float("nan")}, "nan% of the forecast"),
        ({"student": ModelSize(2000, {}, 0.1)}, "20.0% of the teacher's parameters"),
    ],
)
def test_what_was_kept_decides(changes: dict[str, Any], why: str) -> None:
    kept = DistilReport(
        ModelSize(10_000, {}, 1.0), ModelSize(990, {}, 0.3), 0.97, 0.96, (0.8, 0.78), (3, 3)
    )
    found = replace(kept, **changes)
    assert why in found.why
    assert found.passed is not bool(why)
    assert found.as_json()["quality"] == pytest.approx(
        np.min([found.detection, found.forecast]), nan_ok=True
    )


def test_a_student_of_a_deep_teacher_has_one_layer() -> None:
    deep = replace(starter().spec, layers=4)
    student = distil.student_spec(deep)
    assert (student.layers, student.window) == (1, deep.window)
    assert 0.08 < distil.parameters(student) / distil.parameters(deep) <= distil.SHARE


def test_the_smallest_teacher_still_has_a_student() -> None:
    assert distil.student_spec(ModelSpec(units=3, attention=1, head=3)).units == 2
