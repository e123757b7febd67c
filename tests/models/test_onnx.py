"""The ONNX step says what the weights say, and is refused where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.artifact import ModelSpec
from streamer.backends.litert import OUTPUTS
from streamer.errors import ModelError
from streamer.event import F32
from tests.models.worlds import starter

onnx = pytest.importorskip("onnx")
from models import export, onnx_export  # noqa: E402


def random(spec: ModelSpec) -> dict[str, F32]:
    rng = np.random.default_rng(0)
    return {n: rng.normal(size=shape).astype(np.float32) for n, shape in export.expected_shapes(spec).items()}


def test_the_step_is_traced_for_any_shape_of_network_and_proven_by_the_evaluator() -> None:
    bundle = starter()
    blob = onnx_export.to_onnx(bundle.spec, bundle.weights, "starter")
    model = onnx.load_from_string(blob)
    assert model.doc_string == "starter"
    assert {o.name for o in model.graph.output} == {f"next_{name}" for name in OUTPUTS}
    small, deep = (ModelSpec(units=3, attention=2, head=4, layers=layers) for layers in (1, 4))
    sizes = [len(onnx_export.to_onnx(spec, random(spec))) for spec in (small, deep)]
    assert sizes[0] < sizes[1] < len(blob)


def test_a_graph_of_other_weights_is_refused() -> None:
    bundle = starter()
    blob = onnx_export.to_onnx(bundle.spec, bundle.weights)
    other = dict(bundle.weights) | {"forecast_out": bundle.weights["forecast_out"] * 1.01}
    with pytest.raises(ModelError, match="strays from the numpy step"):
        onnx_export.prove(blob, bundle.spec, other)
