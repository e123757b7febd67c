"""The contract of every Scorer, over every backend and the shapes that waves take."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from streamer.artifact import Bundle, ModelSpec
from streamer.backends import NAMES, baseline_scorer, default_backend, open_scorer
from streamer.backends.keras_step import bucket
from streamer.errors import BackendError, CorruptBundle
from streamer.protocols import Network, StepOut

EXACT = ("numpy", "litert", "keras")
SHAPES = [(1, 1), (7, 1), (256, 1), (1, 38), (7, 38), (64, 4), (1000, 4)]
Inputs = tuple[Any, Any, Any, Any]


@pytest.fixture(params=NAMES)
def scorer(request: pytest.FixtureRequest, starter: Bundle) -> Network:
    return open_scorer(starter, request.param)


def inputs(scorer: Network, rows: int, channels: int, seed: int = 0) -> Inputs:
    """Arguments of a step somewhere inside a stream: bounded states, a positive attention mass."""
    rng = np.random.default_rng(seed)
    value = np.tanh(rng.normal(0, 1, (rows, channels, scorer.value_width))).astype(np.float32)
    rhythm = np.tanh(rng.normal(0, 1, (rows, scorer.rhythm_width))).astype(np.float32)
    if scorer.rhythm_width:
        rhythm[:, -1] = rng.uniform(1, 50, rows)
    x = rng.normal(0, 1, (rows, channels, 4)).astype(np.float32)
    r = rng.normal(0, 1, (rows, 6)).astype(np.float32)
    return value, rhythm, x, r


def same(a: StepOut, b: StepOut, tolerance: float) -> None:
    for field in fields(StepOut):
        got, want = getattr(a, field.name), getattr(b, field.name)
        assert got.shape == want.shape, field.name
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, err_msg=field.name)


@pytest.mark.parametrize("name", ["litert", "keras"])
@pytest.mark.parametrize(("rows", "channels"), SHAPES)
def test_every_exact_backend_agrees_with_numpy(
    starter: Bundle, name: str, rows: int, channels: int
) -> None:
    reference = open_scorer(starter, "numpy")
    arguments = inputs(reference, rows, channels)
    same(open_scorer(starter, name).step(*arguments), reference.step(*arguments), 1e-5)


@pytest.mark.parametrize("name", EXACT)
def test_a_long_run_does_not_drift_from_numpy(starter: Bundle, name: str) -> None:
    one, two = open_scorer(starter, name), open_scorer(starter, "numpy")
    mine = theirs = (
        np.zeros((3, 2, two.value_width), np.float32),
        np.zeros((3, two.rhythm_width), np.float32),
    )
    for seed in range(192):
        _, _, x, r = inputs(two, 3, 2, seed)
        a, b = one.step(*mine, x, r), two.step(*theirs, x, r)
        mine, theirs = (a.value_state, a.rhythm_state), (b.value_state, b.rhythm_state)
    same(a, b, 1e-5)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(("rows", "channels"), [(1, 1), (64, 4)])
def test_stacked_layers_say_the_same_on_every_exact_backend(
    deep: Bundle, name: str, rows: int, channels: int
) -> None:
    one, two = open_scorer(deep, name), open_scorer(deep, "numpy")
    arguments = inputs(two, rows, channels)
    assert (one.value_width, one.rhythm_width) == (4 * 8 + 4, 6 * 8 + 1)
    same(one.step(*arguments), two.step(*arguments), 1e-5)
    x, r = (np.stack([a] * 17) for a in arguments[2:])
    for got, want in zip(
        one.replay(*arguments[:2], x, r), two.replay(*arguments[:2], x, r), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_int8_forecasts_stay_near_numpy(starter: Bundle) -> None:
    arguments = inputs(open_scorer(starter, "numpy"), 256, 4)
    exact, rough = (
        open_scorer(starter, name).step(*arguments) for name in ("numpy", "litert-int8")
    )
    assert float(np.sqrt(np.mean((exact.delta - rough.delta) ** 2))) < 0.1 * float(
        np.std(exact.delta)
    )


def test_outputs_have_the_promised_shapes(scorer: Network) -> None:
    out = scorer.step(*inputs(scorer, 5, 3))
    widths = {
        "value_state": (5, 3, scorer.value_width),
        "rhythm_state": (5, scorer.rhythm_width),
        "delta": (5, 3),
    }
    widths |= {"value": (5, 3, 9), "gap": (5, 18), "hour": (5, 24), "attention": (5,)}
    assert {f.name: getattr(out, f.name).shape for f in fields(StepOut)} == widths
    assert all(getattr(out, f.name).dtype == np.float32 for f in fields(StepOut))


def test_a_row_is_judged_alike_in_any_batch(scorer: Network) -> None:
    # Dynamic int8 rounds each row by itself, yet kernels of small and large batches may round a
    # last bit apart.
    tolerance = 2e-3 if scorer.ref.backend == "litert-int8" else 1e-5
    arguments = inputs(scorer, 256, 4)
    whole = scorer.step(*arguments)
    for size in (1, 7, 100):
        part = scorer.step(*(a[:size].copy() for a in arguments))
        same(part, StepOut(*(getattr(whole, f.name)[:size] for f in fields(StepOut))), tolerance)


def test_a_step_carries_nothing_over_and_writes_to_no_argument(scorer: Network) -> None:
    arguments = inputs(scorer, 7, 4)
    kept = [a.copy() for a in arguments]
    first = scorer.step(*arguments)
    copies = StepOut(*(getattr(first, f.name).copy() for f in fields(StepOut)))
    scorer.step(*inputs(scorer, 7, 4, seed=1))
    scorer.step(*inputs(scorer, 3, 1, seed=2))
    same(scorer.step(*arguments), copies, 0)
    same(first, copies, 0)
    assert all(np.array_equal(a, k) for a, k in zip(arguments, kept, strict=True))


def test_results_belong_to_the_caller(scorer: Network) -> None:
    arguments = inputs(scorer, 4, 2)
    out = scorer.step(*arguments)
    want = [getattr(out, f.name).copy() for f in fields(StepOut)]
    for f in fields(StepOut):
        getattr(out, f.name)[...] = 1e9
    same(scorer.step(*arguments), StepOut(*want), 0)


@pytest.mark.parametrize("steps", [0, 1, 16, 37])
def test_a_replay_leaves_the_states_of_its_steps(scorer: Network, steps: int) -> None:
    value, rhythm, _, _ = inputs(scorer, 3, 2)
    events = [inputs(scorer, 3, 2, seed)[2:] for seed in range(steps)]
    x = np.array([e[0] for e in events], np.float32).reshape(steps, 3, 2, 4)
    r = np.array([e[1] for e in events], np.float32).reshape(steps, 3, 6)
    replayed = scorer.replay(value, rhythm, x, r)
    logits = []
    for x_t, r_t in zip(x, r, strict=True):
        out = scorer.step(value, rhythm, x_t, r_t)
        value, rhythm = out.value_state, out.rhythm_state
        logits.append(out.attention)
    np.testing.assert_allclose(replayed[0], value, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(replayed[1], rhythm, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(replayed[2], np.reshape(logits, (steps, 3)), rtol=1e-4, atol=1e-4)


def test_channels_are_judged_alike_wherever_they_stand(starter: Bundle) -> None:
    scorer = open_scorer(starter, "numpy")
    value, rhythm, x, r = inputs(scorer, 5, 6)
    order = np.array([3, 0, 5, 1, 4, 2])
    straight, shuffled = (
        scorer.step(value, rhythm, x, r),
        scorer.step(value[:, order], rhythm, x[:, order], r),
    )
    np.testing.assert_allclose(shuffled.delta, straight.delta[:, order], atol=1e-6)


def test_every_scorer_says_what_it_is(scorer: Network, starter: Bundle) -> None:
    baseline = scorer.ref.backend == "baseline"
    assert scorer.ref.version == ("baseline" if baseline else starter.version)
    assert scorer.has_rhythm is not baseline
    assert scorer.forecast_from == ("location" if baseline else "last")


def test_the_baseline_needs_no_bundle_and_expects_the_location() -> None:
    scorer = baseline_scorer(ModelSpec())
    out = scorer.step(*inputs(scorer, 7, 3))
    assert not out.delta.any()
    assert out.value_state.shape == (7, 3, 0)


def test_auto_is_litert_where_it_is_installed(starter: Bundle) -> None:
    assert open_scorer(starter).ref.backend == default_backend() == "litert"


def test_an_unknown_backend_is_refused_with_the_known_names(starter: Bundle) -> None:
    with pytest.raises(BackendError, match="'onnx' is unknown; choose auto, litert"):
        open_scorer(starter, "onnx")


@pytest.mark.parametrize(
    ("backend", "package", "extra"),
    [("litert", "ai_edge_litert", "edge"), ("keras", "tensorflow", "train")],
)
def test_a_missing_package_is_named_with_its_extra(
    starter: Bundle, monkeypatch: pytest.MonkeyPatch, backend: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    monkeypatch.setitem(__import__("sys").modules, f"{package}.interpreter", None)
    with pytest.raises(BackendError, match=rf"streamer\[{extra}\]"):
        open_scorer(starter, backend)


def test_a_bundle_without_the_step_model_is_refused(starter: Bundle) -> None:
    parts = {name: blob for name, blob in starter.parts.items() if name != "step_int8.tflite"}
    with pytest.raises(CorruptBundle, match=r"has no step_int8\.tflite"):
        open_scorer(replace(starter, parts=parts), "litert-int8")


@pytest.mark.parametrize(("rows", "padded"), [(1, 1), (2, 8), (64, 64), (65, 512), (4097, 8192)])
def test_batches_are_padded_to_buckets(rows: int, padded: int) -> None:
    assert bucket(rows) == padded
