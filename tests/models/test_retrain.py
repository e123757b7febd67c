"""A retraining is all or nothing: a gated bundle, or a report, or an error that says
what is wrong.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from models import retrain
from models.retrain_request import read_request
from streamer import artifact
from streamer.artifact import PRETRAINED
from streamer.errors import GateRefused, InputError
from tests.models.worlds import waves

SMALL_GATE = {"anomalies": 16, "warm_rows": 192}


def written(folder: Path, arrays: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A request and its history."""
    (folder / "rows.npz").write_bytes(artifact.pack_arrays(arrays or waves(noise=0.05)))
    request = {
        "champion": str(PRETRAINED),
        "history": "rows.npz",
        "out": "new",
        "version": "v2",
        "seconds": 20.0,
        "distil": False,
        "gate": SMALL_GATE,
        "training": {"cause": "test", "span": [0, 9e9]},
    }
    path = folder / "request.json"
    path.write_text(json.dumps(request | changes))
    return path


def ran(path: Path) -> bool:
    return retrain.retrain(read_request(path), time.monotonic())


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"rows.npz", "request.json"}


class Steps:
    """A clock that goes on by a second whenever it is read, twice a batch: trainings take as many
    batches on every machine.
    """

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


@dataclass(frozen=True)
class Done:
    """A finished retraining, with whether it made a twin and what it said."""

    folder: Path
    twin: bool
    said: list[dict[str, Any]]

    def events(self) -> list[str]:
        return [line["event"] for line in self.said if line["event"] != "epoch"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The starter learnt waves, 40 batches of them, and a twin was asked for."""
    folder, told = tmp_path_factory.mktemp("retrained"), io.StringIO()
    request = read_request(written(folder, seconds=200.0, distil=True))
    with contextlib.redirect_stderr(told):
        twin = retrain.retrain(request, clock=Steps())
    lines = [json.loads(line) for line in told.getvalue().splitlines() if line.startswith("{")]
    return Done(folder, twin, lines)


@pytest.mark.slow
def test_a_good_fine_tuning_passes_and_says_what_it_learnt(done: Done) -> None:
    bundle = artifact.load(done.folder / "new")
    training = bundle.manifest["training"]
    assert (bundle.version, training["parent"], training["cause"]) == ("v2", "starter-1", "test")
    assert training["span"][1] < training["held_out"][0]
    told = json.loads(bundle.parts["gate.json"])
    assert told["passed"] and len(told["precisions"]) == 3
    assert b"<svg" in bundle.parts["gate.html"]
    assert done.events() == ["started", "trained", "exported", "gate", "distilled"]


@pytest.mark.slow
def test_a_twin_is_published_beside_its_teacher_or_the_report_says_what_it_lost(done: Done) -> None:
    teacher = artifact.load(done.folder / "new")
    told = json.loads(teacher.parts["distil.json"])
    assert left(done.folder) == ({"new", "new-edge"} if done.twin else {"new"})
    assert (told["passed"], bool(told["why"]), told["quality"] >= told["required"]) == (
        done.twin,
        not done.twin,
        done.twin,
    )
    assert told["student"]["parameters"] <= 0.1 * told["teacher"]["parameters"]
    assert sum(line.get("network") == "edge" for line in done.said) > 1, "the student was trained"
    if done.twin:
        twin = artifact.load(done.folder / "new-edge")
        assert (twin.version, twin.manifest["training"]["teacher"]) == ("v2-edge", "v2")
        assert twin.parts["distil.json"] == teacher.parts["distil.json"]
        assert twin.manifest["training"]["span"] == teacher.manifest["training"]["span"]


@pytest.mark.slow
def test_a_network_from_scratch_that_learnt_too_little_leaves_a_report_and_nothing_else(
    tmp_path: Path,
) -> None:
    with pytest.raises(GateRefused, match="v2 is refused"):
        ran(written(tmp_path, start="scratch", seconds=1.0))
    assert left(tmp_path) == {"new-refused"}
    told = json.loads((tmp_path / "new-refused" / "gate.json").read_text())
    assert not told["passed"]
    assert told["why"]
    assert (tmp_path / "new-refused" / "gate.html").is_file()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (waves(rows=120), "training needs 160 rows of an entity, the longest of 4 has 120"),
        (waves() | {"values": np.ones((4, 700, 1))}, "every channel is constant"),
        ({"time_s": np.zeros((1, 2))}, "lacks the array values"),
    ],
)
def test_history_that_teaches_nothing_is_an_error_and_nothing_is_written(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(retrain.main, ["--request", str(written(tmp_path, arrays))])
    assert result.exit_code == 1
    assert message in result.stderr
    assert json.loads(result.stderr.splitlines()[-1])["event"] == "failed"
    assert left(tmp_path) == set()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "nowhere"}, "start must be one of champion, scratch"),
        ({"versoin": 1}, "unknown key versoin"),
        ({"labels": [[1, 2]]}, "labels must be objects"),
        ({"version": ""}, "version is empty"),
        ({"history": "none.npz"}, r"none\.npz: cannot be read"),
        ({"out": "."}, "exists already"),
    ],
)
def test_a_request_that_is_wrong_is_refused_by_name(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        ran(written(tmp_path, **changes))
    assert left(tmp_path) == set()


def test_a_request_reads_labels_paths_and_nulls(tmp_path: Path) -> None:
    label = {"start_s": 1, "end_s": 2, "entity": "pump"}
    found = read_request(written(tmp_path, labels=[label, label | {"entity": None}], edge=None))
    assert [(one.start_s, one.end_s, one.entity) for one in found.labels] == [
        (1, 2, "pump"),
        (1, 2, None),
    ]
    assert found.history == tmp_path / "rows.npz"
    assert found.edge is None
