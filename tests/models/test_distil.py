"""A student is small, learns what its teacher says, and is refused where it kept too little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import distil, network
from models.dataset import HistorySet, windows
from models.distil import Kept, Size
from models.gate_rules import GateRules
from models.synth import streams
from streamer.artifact import ModelSpec
from streamer.detect import density
from streamer.detect.cell import MIXTURE
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


def test_a_student_that_learnt_next_to_nothing_is_whole_but_refused(tmp_path: Path) -> None:
    known, teacher = past(**waves(entities=3, rows=560)), starter()
    spec = distil.student_spec(teacher.spec)
    student = distil.train_student(
        teacher, known, tmp_path / "edge", version="v-edge", start=None, seconds=0.5, seed=0,
        training={"cause": "test"}, data=HistorySet(spec, known.train, pieces=8),
    )  # fmt: skip
    assert student.manifest["training"]["teacher"] == teacher.version
    assert student.manifest["training"]["cause"] == "test"
    kept = distil.compare(teacher, student, known, detect={}, rules=GateRules(anomalies=9, warm_rows=128))
    assert kept.student.step_bytes["step_int8.tflite"] < 0.6 * kept.teacher.step_bytes["step_int8.tflite"]
    assert not kept.passed
    assert "95% are required" in kept.why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"detection": 0.94}, "keeps 94.0% of the detection"),
        ({"forecast": float("nan")}, "nan% of the forecast"),
        ({"student": Size(2000, {}, 0.1)}, "20.0% of the teacher's parameters"),
    ],
)
def test_what_was_kept_decides(changes: dict[str, Any], why: str) -> None:
    kept = Kept(Size(10_000, {}, 1.0), Size(990, {}, 0.3), 0.97, 0.96, (0.8, 0.78), (3, 3))
    found = replace(kept, **changes)
    assert why in found.why
    assert found.passed is not bool(why)
    assert found.as_json()["quality"] == pytest.approx(np.min([found.detection, found.forecast]), nan_ok=True)


def test_the_smallest_teacher_still_has_a_student() -> None:
    assert distil.student_spec(ModelSpec(units=3, attention=1, head=3)).units == 2
