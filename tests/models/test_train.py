"""Training learns, stops, repeats itself and says what it did."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import export, finetune, network, synth, training_report
from models.dataset import Windows, windows
from models.train import (
    Epoch,
    TrainResult,
    TrainSettings,
    cosine_rate,
    plateau_rate,
    train,
    verdict,
)
from streamer import artifact
from streamer.artifact import ModelSpec
from streamer.errors import InputError, ModelError

SPEC = ModelSpec(units=8, attention=4, head=8, window=16, stride=16, scale_window=32)


@dataclass(frozen=True)
class Waves:
    """Noisy sines: anything learns them."""

    spec: ModelSpec = SPEC

    def draw(self, seed: int, n: int = 64) -> Windows:
        rng = np.random.default_rng(seed)
        history = synth.streams(rng, n, 48, 1)
        phase = rng.uniform(0, 6, (n, 1, 1)) + np.arange(48)[None, :, None] * 0.7
        history.values[:] = np.sin(phase) + 0.05 * rng.normal(size=phase.shape)
        return windows(history, self.spec)

    def epoch(self, rng: np.random.Generator, rows: int) -> Iterator[dict[str, Any]]:
        for _ in range(6):
            yield from self.draw(int(rng.integers(1 << 30))).batches(rows, rng)

    def validation(self) -> Iterator[dict[str, Any]]:
        yield self.draw(0).batch(slice(None))


def settings(**changes: Any) -> TrainSettings:
    return TrainSettings(**({"epochs": 2, "learning_rate": 1e-2, "batch_rows": 32} | changes))


@pytest.fixture(scope="module")
def trained() -> TrainResult:
    return train(settings(), Waves())


def test_training_forecasts_better_than_it_began_and_repeats_itself(trained: TrainResult) -> None:
    one, two = trained, train(settings(), Waves())
    assert one.improved
    assert one.best.parts["forecast"] < one.history[0].parts["forecast"] - 0.05
    assert one.history[-1].validation == two.history[-1].validation
    for name, array in one.weights.items():
        np.testing.assert_array_equal(array, two.weights[name])


@pytest.mark.parametrize(
    "changes",
    [
        {"accumulate": 2, "dropout": 0.2, "l2": 1e-5, "noise": 0.05},
        {"mixed_precision": True, "supervised": True},
    ],
)
def test_every_option_still_learns(changes: dict[str, Any]) -> None:
    result = train(settings(**changes), Waves())
    assert result.best.parts["forecast"] < result.history[0].parts["forecast"]
    assert bool(result.extra) == changes.get("supervised", False)


def test_training_goes_on_from_given_weights(trained: TrainResult) -> None:
    again = train(settings(epochs=1), Waves(), start=trained.weights)
    assert again.history[0].validation == pytest.approx(trained.best.validation, abs=1e-5)


def test_the_clock_ends_training_and_at_least_one_batch_is_learnt() -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    result = train(settings(seconds=3.0, epochs=100), Waves(), clock=clock)
    assert result.stopped == "seconds"
    assert result.history[-1].steps == 1


def epoch(number: int, validation: float) -> Epoch:
    return Epoch(number, 0.0, validation, {}, 0.0, 0.0, 1)


def test_training_stops_after_five_epochs_without_progress() -> None:
    best = epoch(3, 1.0)
    assert verdict(TrainSettings(), [epoch(7, 2.0)], best, False) == ""
    assert verdict(TrainSettings(), [epoch(8, 2.0)], best, False) == "patience"
    assert verdict(TrainSettings(), [epoch(4, 2.0)], best, True) == "seconds"


def test_the_cosine_rises_shortly_and_falls_to_a_hundredth() -> None:
    rates = [cosine_rate(1.0, p) for p in np.linspace(0, 1, 101)]
    assert rates[0] == pytest.approx(0.05)
    assert max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates[-1] == pytest.approx(0.01)
    assert all(a >= b for a, b in itertools.pairwise(rates[3:]))


def test_the_plateau_schedule_halves_after_two_epochs_without_progress() -> None:
    flat = [epoch(0, 9.0), epoch(1, 1.0), epoch(2, 1.0), epoch(3, 1.0)]
    chosen = TrainSettings(learning_rate=0.4)
    assert plateau_rate(chosen, flat[:3]) == pytest.approx(0.4)
    assert plateau_rate(chosen, flat) == pytest.approx(0.2)


def test_a_loss_that_is_no_number_ends_training_with_a_remedy() -> None:
    broken = network.weights_of(network.build(SPEC)) | {
        "value_out_bias": np.full(9, np.nan, np.float32)
    }
    with pytest.raises(ModelError, match="lower learning_rate or check the data"):
        train(settings(), Waves(), start=broken)


def test_an_exported_bundle_verifies_and_carries_its_training(tmp_path: Path) -> None:
    result = train(settings(epochs=1, log_dir=tmp_path / "logs"), Waves())
    training = training_report.summary(result, settings())
    bundle = export.write_bundle(
        tmp_path / "b", version="v1", spec=SPEC, weights=result.weights, training=training
    )
    assert artifact.load(tmp_path / "b").manifest["training"]["epochs"] == 1
    assert export.deviation(bundle, "litert")["max"] <= export.PARITY_F32
    assert list((tmp_path / "logs").iterdir())
    training_report.plot_losses(result.history, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "spoil", [lambda w: w.pop("hour_out"), lambda w: w.update(hour_out=np.full((32, 24), np.inf))]
)
def test_unusable_weights_are_never_exported(spoil: Any, tmp_path: Path) -> None:
    weights = dict(artifact.load(artifact.PRETRAINED).weights)
    spoil(weights)
    with pytest.raises(ModelError, match="hour_out"):
        export.write_bundle(tmp_path, version="v", spec=ModelSpec(), weights=weights, training={})


def rows(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    time_s = 1.7e9 + np.arange(700.0)[None] + np.zeros((2, 1))
    values = np.sin(np.arange(700) / 5)[None, :, None] + 0.05 * rng.normal(size=(2, 700, 1))
    return {"values": values.astype(np.float32), "time_s": time_s} | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": np.zeros((2, 5))}, r"values must be \(E, T, C\)"),
        ({"time_s": np.zeros((2, 9))}, r"time_s \(E, T\)"),
        ({"time_s": np.full((2, 700), np.nan)}, "times must be finite"),
        ({"mask": np.zeros((2, 3))}, "mask must be"),
    ],
)
def test_history_of_a_wrong_shape_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        finetune.history_of(rows(**changes), "rows.npz")


@pytest.mark.parametrize(("wall_s", "slower"), [(2.0, 1), (6.0, 3), (1.0, 1)])
def test_a_busy_machine_keeps_more_time_for_the_export(wall_s: float, slower: int) -> None:
    left = finetune.time_to_train(40.0, wall_s=wall_s, cpu_s=2.0)
    assert left == pytest.approx(40 - slower * finetune.EXPORT_CPU_S)
    assert finetune.time_to_train(1.0, wall_s=wall_s, cpu_s=2.0) == 1.0


def test_history_without_values_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "rows.npz").write_bytes(artifact.pack_arrays({"time_s": np.zeros((1, 2))}))
    with pytest.raises(InputError, match="lacks the array values"):
        finetune.read_history(tmp_path / "rows.npz")


def test_fine_tuning_writes_a_whole_bundle_that_is_no_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    champion = artifact.load(artifact.PRETRAINED)
    history = finetune.history_of(rows(), "rows")
    out = tmp_path / "tuned"
    better = finetune.finetune(champion, history, out, version="tuned", until_s=0.0, seed=0)
    lines = [
        json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")
    ]
    trained = next(line for line in lines if line["event"] == "trained")
    assert trained["improved"] is better
    bundle = artifact.load(out)
    assert bundle.version == "tuned"
    assert bundle.manifest["training"]["parent"] == champion.version
    same = all(
        np.array_equal(bundle.weights[name], champion.weights[name]) for name in champion.weights
    )
    assert same is not better
