"""The daemon's side of a training: when it starts one, what it hands over, what it makes of its
end.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.connect.storage.training_lock import FileTrainingLock
from streamer.event import EventBatch
from streamer.lifecycle import row_recorder
from streamer.lifecycle.retrain_scheduler import REST_S, Opened, Retrainer, command_of
from streamer.lifecycle.row_recorder import Recorder
from streamer.lifecycle.schedule import RetrainPlan
from streamer.lifecycle.subprocess_runner import Limits
from tests.runtime.world import Hands

PLAN = RetrainPlan(every_s=86_400, jitter_s=0, rest_s=3600, staleness_s=7 * 86_400, min_rows=1)
ENDED = (
    "import json, sys\nsys.stderr.write(json.dumps({'event': 'retrain_ended', 'outcome': %r, "
    "'words': 'so be it'}))"
)
TELLS = "import json, pathlib, sys\npathlib.Path(sys.argv[1]).write_text(json.dumps(sys.argv[2:]))"


@pytest.fixture
def clock() -> Hands:
    return Hands(1_800_000_000.0)


def retrainer(
    folder: Path,
    clock: Hands,
    source: str,
    *more: str,
    plan: RetrainPlan = PLAN,
    drift: Callable[[], str | None] = lambda: None,
    **given: Any,
) -> Retrainer:
    opened = Opened(
        lambda: DirectoryRegistry(folder / "registry", create=True),
        lambda: FileTrainingLock(folder / "registry" / ".retrain"),
    )
    command = (sys.executable, "-c", source, *more)
    given = {"recorders": {}, **given}
    return Retrainer(plan, Limits(30.0, 2**30), command, opened, drift=drift, clock=clock, **given)


def counted(one: Retrainer) -> dict[str, int]:
    return {outcome: n for outcome, n in one.outcomes.items() if n}


def test_no_training_starts_before_its_slot(tmp_path: Path, clock: Hands) -> None:
    one = retrainer(tmp_path, clock, ENDED % "published")
    one.step()
    assert counted(one) == {} and one.told.startswith("not due")
    clock.now += 86_400
    one.step()
    assert counted(one) == {"published": 1}
    assert one.told == "last: published: so be it"


def test_drift_starts_one_at_once_and_names_it(tmp_path: Path, clock: Hands) -> None:
    told = tmp_path / "told.json"
    one = retrainer(tmp_path, clock, TELLS, str(told), drift=lambda: "plant input:rms 0.50")
    one.step()
    assert json.loads(told.read_text()) == [
        "--cause",
        "drift",
        "--why",
        "drift: plant input:rms 0.50",
    ]


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        (ENDED % "refused" + "\nsys.exit(4)", "refused"),
        ("import sys; sys.exit(4)", "refused"),
        ("import sys; sys.exit(5)", "failed"),
        ("import os; os.abort()", "failed"),
        (ENDED % "busy", "busy"),
        (ENDED % "not_due", "not_due"),
    ],
)
def test_every_end_is_counted_as_what_it_was(
    tmp_path: Path, clock: Hands, source: str, outcome: str
) -> None:
    one = retrainer(tmp_path, clock, source, drift=lambda: "x")
    one.step()
    assert counted(one) == {outcome: 1}


def test_after_a_failure_it_rests(tmp_path: Path, clock: Hands) -> None:
    one = retrainer(tmp_path, clock, "import sys; sys.exit(1)", drift=lambda: "x")
    one.step()
    clock.now += REST_S - 1
    one.step()
    assert counted(one) == {"failed": 1}
    clock.now += 2
    one.step()
    assert counted(one) == {"failed": 2}


def test_a_registry_that_cannot_be_used_is_a_failure_that_is_told(
    tmp_path: Path, clock: Hands
) -> None:
    (tmp_path / "registry").write_text("no folder")
    one = retrainer(tmp_path, clock, ENDED % "published")
    one.step()
    assert counted(one) == {"failed": 1}
    assert "registry" in one.told


def test_a_stop_ends_the_training_within_the_time_that_a_drain_leaves(
    tmp_path: Path, clock: Hands
) -> None:
    started = tmp_path / "started"
    source = f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(60)"
    one, stop = retrainer(tmp_path, clock, source, drift=lambda: "x"), threading.Event()
    one._stop = stop
    thread = threading.Thread(target=one.step)
    thread.start()
    while not started.exists():
        time.sleep(0.05)
    began = time.monotonic()
    stop.set()
    thread.join(10)
    assert time.monotonic() - began < 2.5
    assert counted(one) == {"stopped": 1}


def batch(first: int, count: int) -> EventBatch:
    offset = np.arange(first, first + count)
    entity = (offset % 2).astype(np.int32)[:, None]
    return EventBatch(
        "s",
        "t",
        0,
        ("a", "b"),
        entity,
        offset.astype(np.float64),
        offset.astype(np.float32)[:, None],
        offset,
    )


def test_recorded_rows_are_handed_over_whole_and_in_order(tmp_path: Path, clock: Hands) -> None:
    kept = Recorder(1000)
    for first in range(0, 400, 100):
        kept.see(batch(first, 100))
    copied = tmp_path / "copy.npz"
    source = (
        f"import shutil, sys; shutil.copy(sys.argv[sys.argv.index('--recorded') + 1], "
        f"{str(copied)!r})"
    )
    retrainer(tmp_path, clock, source, drift=lambda: "x", recorders={"s": kept}).step()
    series = row_recorder.read(copied)["s"]
    assert [(one.stream, one.entity, len(one)) for one in series] == [
        ("s", "a", 200),
        ("s", "b", 200),
    ]
    assert series[1].values[:, 0].tolist() == list(range(1, 400, 2))


def test_a_recorder_keeps_the_newest_rows_and_not_many_more() -> None:
    kept = Recorder(250)
    for first in range(0, 1000, 100):
        kept.see(batch(first, 100))
    times = np.sort(np.concatenate([one.time_s for one in kept.series()]))
    assert times.tolist() == list(range(700, 1000))


def test_the_command_is_that_of_the_daemons_own_configuration(tmp_path: Path) -> None:
    words = command_of(Path("c.yaml"), ("retrain.every=1h",))
    assert words[1:7] == (
        "-P",
        "-m",
        "streamer.cli",
        "retrain",
        "-c",
        str(Path("c.yaml").resolve()),
    )
    assert words[7:9] == ("--set", "retrain.every=1h")
