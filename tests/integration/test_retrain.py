"""`streamer retrain` as an operator runs it, with the real training in its process, on a small
file.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from streamer import artifact
from streamer.config import load_config
from streamer.connect import open_registry, open_turns
from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.lifecycle.drift import TrafficProfile
from streamer.lifecycle.retrain_scheduler import Retrainer, command_of, opened_by
from streamer.lifecycle.schedule import evaluation_of, plan_of
from streamer.lifecycle.subprocess_runner import Limits
from tests.runtime.world import Hands

needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow"
)
START_S = 1_700_000_000


def configured(folder: Path, *, rows: int = 1500, **retrain: Any) -> Path:
    """A plant of two machines that has run for hours, and a gate that asks little of a training of
    seconds.
    """
    rng = np.random.default_rng(1)
    lines = ["time,machine,rms"]
    for i in range(rows):
        for k, machine in enumerate("ab"):
            lines.append(
                f"{START_S + 10 * i},{machine},{5 + np.sin(i / 20 + k) + rng.normal(0, 0.1):.4f}"
            )
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    gate = {
        "max_recall_loss": 1.0,
        "max_line_loss": 1.0,
        "max_false_alarm_ratio": 100.0,
        "max_delay_ratio": 100.0,
        "max_calibration_loss": 1.0,
        "max_slowdown": 10.0,
    }
    config = {
        "version": 1,
        "log": {"format": "json"},
        "drift": {"window": "1h"},
        "streams": [
            {
                "name": "plant",
                "source": {"kind": "file", "path": "rows.csv"},
                "fields": {"entity": "machine", "time": "time", "channels": ["rms"]},
            }
        ],
        "model": {"registry": "registry"},
        "retrain": {
            "min_rows": 1000,
            "limits": {"time": "2m"},
            "distil": False,
            "gate": gate,
            **retrain,
        },
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "streamer.cli", "retrain", *words]
    return subprocess.run(
        whole, cwd=folder, capture_output=True, text=True, check=False, timeout=500
    )


def test_a_dry_run_says_whether_and_why(tmp_path: Path) -> None:
    configured(tmp_path)
    done = command(tmp_path, "--dry-run", "--format", "json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["due"], told["why"]) == (0, True, "never trained here")


@pytest.mark.parametrize("other", ["--dry-run", "--force"])
def test_an_evaluation_is_never_due_and_never_forced(tmp_path: Path, other: str) -> None:
    configured(tmp_path)
    done = command(tmp_path, "--evaluate", other)
    assert (done.returncode, "leave --dry-run and --force away" in done.stderr) == (2, True)
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"min_rows": 5000}, 0, "history holds 3000 of 5000 rows"),
        (
            {"rows": 200, "min_rows": 100},
            1,
            "training needs 512 rows of an entity, the longest of 2 has 200",
        ),
        ({"every": "24"}, 3, "a duration needs a unit"),
        ({"cron": "61 3 * * *"}, 3, "retrain.cron"),
        ({"cron": "30 3 * * *", "timezone": "Mars/Olympus"}, 3, "no time zone"),
    ],
)
@needs_tensorflow
def test_what_cannot_or_need_not_be_done_is_said_and_nothing_changes(
    tmp_path: Path, changed: dict[str, Any], code: int, words: str
) -> None:
    configured(tmp_path, **changed)
    done = command(tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr
    assert not (tmp_path / "registry" / "versions").exists() or not list(
        (tmp_path / "registry" / "versions").iterdir()
    )


def test_without_its_section_it_says_what_to_write(tmp_path: Path) -> None:
    path = configured(tmp_path)
    config = yaml.safe_load(path.read_text())
    del config["retrain"]
    path.write_text(yaml.safe_dump(config))
    done = command(tmp_path)
    assert (done.returncode, "write retrain:" in done.stderr) == (3, True)


@pytest.mark.long
@needs_tensorflow
def test_a_training_that_is_better_than_its_champion_is_published_and_not_due_again(
    tmp_path: Path,
) -> None:
    configured(tmp_path, rows=3000)
    registry = DirectoryRegistry(tmp_path / "registry", create=True)
    registry.move({"champion": registry.publish(renamed(tmp_path / "v0", "v0"))})
    done = command(tmp_path)
    assert done.returncode == 0, done.stderr
    assert_challenger(registry)
    again = command(tmp_path)
    assert again.returncode == 0 and again.stdout.startswith("not due: next by schedule")


def renamed(directory: Path, version: str) -> Path:
    """The starter under another version: what a gate asks of a champion, it has."""
    bundle = artifact.load(artifact.PRETRAINED)
    parts = {name: blob for name, blob in bundle.parts.items() if name != "weights.npz"}
    artifact.save(
        directory,
        version=version,
        spec=bundle.spec,
        weights=bundle.weights,
        calibration=bundle.calibration,
        parts=parts,
        training={},
    )
    return directory


def assert_challenger(registry: DirectoryRegistry) -> None:
    """A whole bundle that passed its gate and knows its origin."""
    bundle = artifact.load(registry.path("challenger"))
    training = bundle.manifest["training"]
    assert registry.aliases() == {"champion": "v0", "challenger": bundle.version}
    assert (training["parent"], training["cause"]) == ("v0", "schedule")
    assert json.loads(bundle.parts["gate.json"])["passed"]
    assert TrafficProfile.of_json(training["profiles"]["plant"], channels=1) is not None


@pytest.mark.long
@needs_tensorflow
def test_a_gate_that_asks_for_the_impossible_refuses_with_4_and_a_report(tmp_path: Path) -> None:
    configured(tmp_path, gate={"min_recall": 1.0}, limits={"time": "1m"})
    done = command(tmp_path)
    assert done.returncode == 4, done.stderr
    assert "refused" in done.stderr
    assert list((tmp_path / "state" / "retrain").glob("*/gate.html"))
    assert DirectoryRegistry(tmp_path / "registry").aliases() == {}


@pytest.mark.slow
def test_a_review_of_the_champion_changes_nothing_and_leaves_its_report(tmp_path: Path) -> None:
    configured(tmp_path)
    done = command(tmp_path, "--evaluate", "--format", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["version"] == "starter-1" and 0 <= told["recall"] <= 1
    assert json.loads((tmp_path / told["report"]).read_text())["rows"] == told["rows"]
    assert DirectoryRegistry(tmp_path / "registry").versions() == []


@pytest.mark.slow
def test_the_daemon_evaluates_in_a_process_of_its_own_and_never_twice_in_a_slot(
    tmp_path: Path,
) -> None:
    path = configured(tmp_path, every="36500d", reports=str(tmp_path / "reports"))
    absolute = (
        f"streams.0.source.path={tmp_path / 'rows.csv'}",
        f"model.registry={tmp_path / 'registry'}",
    )
    config = load_config(path, absolute)
    clock = Hands(time.time() - 7 * 86_400 - 600)

    def daemon() -> Retrainer:
        assert config.retrain is not None
        opened = opened_by(partial(open_registry, config, create=True), partial(open_turns, config))
        return Retrainer(
            plan_of(config.retrain, "p"),
            Limits(300, 2**32),
            command_of(path, absolute),
            opened,
            evaluation=evaluation_of(config.retrain, "p"),
            recorders={},
            drift=lambda: None,
            clock=clock,
        )

    one, other = daemon(), daemon()
    clock.now = time.time()
    one.step()
    assert one.told.startswith("last: evaluated: starter-1 on the newest"), one.told
    clock.now = time.time()
    other.step()
    one.step()
    assert (one.evaluations["evaluated"], +other.evaluations) == (1, {})
    (report,) = (tmp_path / "reports").glob("*-review.json")
    assert other.evaluated.figures["recall"] == json.loads(report.read_text())["recall"]
    assert DirectoryRegistry(tmp_path / "registry").versions() == []
