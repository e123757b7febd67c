"""The step of detect.network.cell as an ONNX graph, for other runtimes. Needs [onnx].

    streamer model export NAME step.onnx
    python -m models.onnx_export [--bundle DIR] --out step.onnx (without a registry)

The step function is traced: its array functions and operators, called on symbols, add nodes instead
of computing numbers. Inputs and outputs are named as in the LiteRT graphs; rows N and channels C
are free. The result is checked by onnx's checker, and by its reference evaluator over the golden
run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from models import export
from streamer import artifact
from streamer.artifact import Bundle, ModelSpec
from streamer.backends.litert import INPUTS, OUTPUTS
from streamer.detect.network.cell import GAP_COMPONENTS, HOURS, MIXTURE, shapes, step, widths
from streamer.errors import BackendError, ModelError, StreamerError
from streamer.event import F32

# the first one whose ReduceMean takes its axes as an input; runtimes of recent years support it
OPSET = 18


class Symbol:
    """A symbolic tensor: operators and slices add nodes to its graph.

    `shape` is known for weights only.
    """

    def __init__(self, graph: Graph, name: str, shape: tuple[int, ...] = ()) -> None:
        self._graph, self.name, self.shape = graph, name, shape

    def __add__(self, other: Any) -> Symbol:
        return self._graph.add("Add", self, other)

    def __mul__(self, other: Any) -> Symbol:
        return self._graph.add("Mul", self, other)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> Symbol:
        return self._graph.add("Div", self, other)

    def __getitem__(self, key: tuple[Any, ...]) -> Symbol:
        """Slices, indices and None as in numpy; `...` only before a single slice."""
        found, axis = self, -1 if key[0] is Ellipsis else 0
        for one in key[1:] if key[0] is Ellipsis else key:
            found = found._cut(one, axis)
            axis += 0 if isinstance(one, int) else 1
        return found

    def _cut(self, one: Any, axis: int) -> Symbol:
        graph = self._graph
        if one is None:
            return graph.add("Unsqueeze", self, graph.integers([axis]))
        if isinstance(one, int):
            return graph.add("Gather", self, graph.integers(one), axis=axis)
        if one == slice(None):
            return self
        stop = np.iinfo(np.int64).max if one.stop is None else one.stop
        return graph.add(
            "Slice", self, *(graph.integers([n]) for n in (one.start or 0, stop, axis))
        )


class Graph:
    """Collected nodes and constants; a Namespace of detect.network.cell."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *operands: Any, **attributes: Any) -> Symbol:
        from onnx import helper

        out = f"{kind.lower()}_{len(self.nodes)}"
        names = [
            o.name if isinstance(o, Symbol) else self.constant(np.float32(o)).name for o in operands
        ]
        self.nodes.append(helper.make_node(kind, names, [out], **attributes))
        return Symbol(self, out)

    def constant(self, array: Any, name: str = "") -> Symbol:
        from onnx import numpy_helper

        named = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), named))
        return Symbol(self, named, np.shape(array))

    def integers(self, values: Any) -> Symbol:
        return self.constant(np.asarray(values, np.int64))

    def matmul(self, a: Any, b: Any) -> Symbol:
        return self.add("MatMul", a, b)

    def concat(self, parts: list[Any], axis: int) -> Symbol:
        return self.add("Concat", *parts, axis=axis)

    def tanh(self, a: Any) -> Symbol:
        return self.add("Tanh", a)

    def sigmoid(self, a: Any) -> Symbol:
        return self.add("Sigmoid", a)

    def relu(self, a: Any) -> Symbol:
        return self.add("Relu", a)

    def exp(self, a: Any) -> Symbol:
        return self.add("Exp", a)

    def mean(self, a: Any, axis: int) -> Symbol:
        return self.add("ReduceMean", a, self.integers([axis]), keepdims=0)


def to_onnx(spec: ModelSpec, weights: Mapping[str, F32], version: str = "") -> bytes:
    """The serialised step, checked; BackendError without onnx.

    ModelError if it deviates from the weights.
    """
    onnx = _import_onnx()
    from onnx import TensorProto, helper

    export.check_weights(spec, weights)
    graph = Graph()
    constants = {
        name: graph.constant(np.asarray(weights[name], np.float32), name)
        for name in shapes(spec.layers)
    }
    results = step(graph, constants, *(Symbol(graph, name) for name in INPUTS))
    for name, result in zip(OUTPUTS, results, strict=True):
        graph.nodes.append(helper.make_node("Identity", [result.name], [f"next_{name}"]))
    inputs, outputs = (
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in named.items()
        ]
        for named in _shapes(spec)
    )
    body = helper.make_graph(graph.nodes, "step", inputs, outputs, initializer=graph.constants)
    model = helper.make_model(
        body, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="streamer"
    )
    model.model_version, model.doc_string, model.ir_version = 1, version, 9
    onnx.checker.check_model(model, full_check=True)
    blob: bytes = model.SerializeToString()
    prove(blob, spec, weights)
    return blob


def _shapes(spec: ModelSpec) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Names and shapes of inputs and outputs."""
    widest = widths(spec)
    value: list[Any] = ["N", "C", widest[0]]
    rhythm: list[Any] = ["N", widest[1]]
    inputs: tuple[list[Any], ...] = (
        value,
        rhythm,
        ["N", "C", spec.value_features],
        ["N", spec.rhythm_features],
    )
    outputs: tuple[list[Any], ...] = (
        value,
        rhythm,
        ["N", "C"],
        ["N", "C", 3 * MIXTURE],
        ["N", 3 * GAP_COMPONENTS],
        ["N", HOURS],
        ["N"],
    )
    return dict(zip(INPUTS, inputs, strict=True)), {
        f"next_{n}": s for n, s in zip(OUTPUTS, outputs, strict=True)
    }


def prove(blob: bytes, spec: ModelSpec, weights: Mapping[str, F32]) -> None:
    """Run the golden inputs and compare every output of every step."""
    onnx = _import_onnx()
    from onnx.reference import ReferenceEvaluator

    runner, vectors = ReferenceEvaluator(onnx.load_from_string(blob)), export.golden(spec, weights)
    state = np.zeros_like(vectors["value_state"][0]), np.zeros_like(vectors["rhythm_state"][0])
    for t in range(len(vectors["x"])):
        given = dict(zip(INPUTS, (*state, vectors["x"][t], vectors["r"][t]), strict=True))
        got: Any = runner.run([f"next_{name}" for name in OUTPUTS], given)
        worst = max(
            export.distance(g, vectors[name][t]) for g, name in zip(got, OUTPUTS, strict=True)
        )
        if not worst <= export.PARITY_F32:
            raise ModelError(
                f"the ONNX step strays from the numpy step by {worst:.2g}, allowed is "
                f"{export.PARITY_F32}"
            )
        state = got[0], got[1]


def written(bundle: Bundle, out: Path) -> int:
    """Write the step of a bundle to a file and return its size in bytes.

    Errors as in `to_onnx`, before anything is written.
    """
    return out.write_bytes(
        to_onnx(bundle.spec, bundle.weights, f"{bundle.version} {bundle.sha256}")
    )


def _import_onnx() -> Any:
    try:
        import onnx
    except ImportError as exc:
        raise BackendError("the ONNX export needs onnx: pip install 'streamer[onnx]'") from exc
    return onnx


@click.command()
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    default=artifact.PRETRAINED,
    show_default="the starter",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
def main(bundle: Path, out: Path) -> None:
    """Write the step of a bundle as ONNX."""
    try:
        size = written(artifact.load(bundle), out)
    except StreamerError as exc:
        click.echo(str(exc), err=True)
        raise SystemExit(exc.exit_code) from exc
    click.echo(f"{out}: {size:,} bytes", err=True)


if __name__ == "__main__":
    main()
