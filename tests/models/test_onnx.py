"""The ONNX step says what the weights say, and is refused where it does not."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from streamer.artifact import PRETRAINED, ModelSpec
from streamer.backends.litert import OUTPUTS
from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.errors import ModelError
from streamer.event import F32
from tests.cli.calls import Done, call
from tests.models.worlds import starter

onnx = pytest.importorskip("onnx")
from models import export, onnx_export  # noqa: E402


def random(spec: ModelSpec) -> dict[str, F32]:
    rng = np.random.default_rng(0)
    return {
        n: rng.normal(size=shape).astype(np.float32)
        for n, shape in export.expected_shapes(spec).items()
    }


def test_the_step_is_traced_for_any_shape_of_network_and_proven_by_the_evaluator() -> None:
    bundle = starter()
    blob = onnx_export.to_onnx(bundle.spec, bundle.weights, "starter")
    model = onnx.load_from_string(blob)
    assert model.doc_string == "starter"
    assert {o.name for o in model.graph.output} == {f"next_{name}" for name in OUTPUTS}
    small, deep = (ModelSpec(units=3, attention=2, head=4, layers=layers) for layers in (1, 4))
    sizes = [len(onnx_export.to_onnx(spec, random(spec))) for spec in (small, deep)]
    assert sizes[0] < sizes[1] < len(blob)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A configuration and a registry whose champion is the starter."""
    with closing(DirectoryRegistry(tmp_path / "registry", create=True)) as registry:
        registry.move({"champion": registry.publish(PRETRAINED)})
    model = {"registry": str(tmp_path / "registry")}
    whole = {"version": 1, "streams": [{"name": "s", "source": {"kind": "memory"}}], "model": model}
    (tmp_path / "config.yaml").write_text(json.dumps(whole))
    return tmp_path


def exported(home: Path) -> Done:
    return call("model", "export", "-c", home / "config.yaml", "champion", home / "step.onnx")


def test_a_model_of_the_registry_is_exported_as_a_graph_that_names_it(home: Path) -> None:
    done = exported(home)
    assert (done.exit_code, "starter-1 written to" in done.stdout) == (0, True), done.stderr
    assert onnx.load(home / "step.onnx").doc_string == f"starter-1 {starter().sha256}"
    assert "is there already" in exported(home).stderr


def test_without_onnx_an_export_says_what_to_install_and_writes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = exported(home)
    assert (done.exit_code, "pip install 'streamer[onnx]'" in done.stderr) == (5, True)
    assert not (home / "step.onnx").exists()


def test_a_graph_of_other_weights_is_refused() -> None:
    bundle = starter()
    blob = onnx_export.to_onnx(bundle.spec, bundle.weights)
    other = dict(bundle.weights) | {"forecast_out": bundle.weights["forecast_out"] * 1.01}
    with pytest.raises(ModelError, match="strays from the numpy step"):
        onnx_export.prove(blob, bundle.spec, other)
