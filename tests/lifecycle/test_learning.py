"""The learning half of the service: what flows is seen, a shifted regime starts a training, people
can read of it.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from streamer.config import Config, config_from
from streamer.connect.memory import MemorySource
from streamer.event import Alert, Scores
from streamer.http.health import readings
from streamer.http.metrics import Metrics
from streamer.lifecycle.evaluation import Remembered
from streamer.lifecycle.learning import Learning, Trainings, open_learning
from tests.lifecycle.test_drift import STEPS, judged, wandering
from tests.runtime.world import World

needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow"
)
TELLS = "import json, pathlib, sys\npathlib.Path(sys.argv[1]).write_text(json.dumps(sys.argv[2:]))"


@dataclass(frozen=True)
class Verdict:
    scores: Scores
    alerts: list[Alert]


def configured(folder: Path) -> Config:
    return config_from(
        {
            "version": 1,
            "streams": [{"name": "s", "source": {"kind": "host"}}],
            "model": {"registry": str(folder / "registry")},
            "retrain": {"min_rows": 1},
        }
    )


def learning(folder: Path) -> tuple[Learning, Path]:
    told = folder / "told.json"
    command = (sys.executable, "-c", TELLS, str(told))
    return open_learning(
        configured(folder), {"s": ("rms",)}, lambda: "starter-1", None, command=command
    ), told


def day(one: Learning, values: np.ndarray, number: int) -> None:
    for first in range(0, STEPS, 240):
        batch, scores = judged(values[first : first + 240], (number * STEPS + first) * 20.0)
        one.observers["s"].see(batch, [Verdict(scores, [])])


@needs_tensorflow
def test_a_regime_that_shifts_starts_a_training_that_names_it_and_hands_over_the_rows(
    tmp_path: Path,
) -> None:
    one, told = learning(tmp_path)
    assert one.retrainer is not None
    values = wandering(np.random.default_rng(2), 0.5, 4, 1)
    one.drifting.step()
    for number, shift in enumerate((0, 0, 6)):
        day(one, values[:STEPS] + np.float32(shift), number)
        one.drifting.step()
        one.drifting.step()
        one.retrainer.step()
        assert told.exists() == (shift > 0)
    words = json.loads(told.read_text())
    assert words[:3] == ["--cause", "drift", "--why"]
    assert words[3].startswith("drift: s input:rms")
    assert words[4] == "--recorded"


def test_without_the_command_of_a_training_drift_is_watched_all_the_same(tmp_path: Path) -> None:
    one = open_learning(configured(tmp_path), {"s": ("rms",)}, lambda: "starter-1", None)
    assert one.retrainer is None and one.background_tasks == (one.drifting,)
    assert one.observers["s"].recorder is None


@needs_tensorflow
def test_drift_and_trainings_stand_in_metrics_and_readiness(tmp_path: Path) -> None:
    one, _ = learning(tmp_path)
    assert one.retrainer is not None
    one.drifting.monitors[0].signals = {"input:rms": 0.5, "score": 0.0}
    one.drifting.monitors[0].drifted = {"input:rms": 0.5}
    one.retrainer.outcomes["refused"] = 2
    one.retrainer.evaluations["evaluated"] = 1
    figures = {"version": "v7", "at_s": 1.8e9, "recall": 0.75, "false_alarms_per_day": None}
    one.retrainer.evaluated = Remembered(1.8e9, figures)
    service = replace(World(MemorySource([], endless=True)).service, learning=one)
    text = Metrics(service).text().decode()
    assert 'streamer_drift{signal="input:rms",stream="s"} 0.5' in text
    assert 'streamer_retrain_runs_total{outcome="refused"} 2.0' in text
    assert 'streamer_evaluation_runs_total{outcome="evaluated"} 1.0' in text
    assert 'streamer_evaluation_recall_ratio{model_version="v7"} 0.75' in text
    assert "streamer_evaluation_false_alarms_per_day{" not in text
    checks = {check.name: check for check in readings(service)}
    assert checks["drift:s"].ok and checks["drift:s"].detail == "input:rms 0.50"
    assert checks["retrain"].ok


def test_the_manifest_of_the_version_that_judges_is_read_once_and_only_if_it_is_its_own(
    tmp_path: Path,
) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"version": "v1", "training": {"rows": 5}}))
    version = ["v1"]
    trainings = Trainings(lambda: version[0], None, str(tmp_path))
    assert trainings() == ("v1", {"rows": 5})
    (tmp_path / "manifest.json").unlink()
    assert trainings() == ("v1", {"rows": 5})
    version[0] = "v2"
    assert trainings() == ("v2", {})


def test_what_an_observer_sees_costs_little(tmp_path: Path) -> None:
    """Under 2 µs a row on any machine: 512 rows of a batch are looked at, whatever its size."""
    one, _ = learning(tmp_path)
    batch, scores = judged(np.zeros((512, 8, 1), np.float32), 0.0)
    verdicts = [Verdict(scores, [])]
    took = []
    for _ in range(30):
        began = time.perf_counter()
        one.observers["s"].see(batch, verdicts)
        took.append(time.perf_counter() - began)
    assert min(took) / len(batch) < 2e-6
