"""Laws of the training behind the show's hot swap."""

from __future__ import annotations

import importlib.util
import time

import numpy as np
import pytest

from streamer.config import Model
from streamer.demo import streams
from streamer.demo.finetune import LEAST_ROWS, State, Tuning
from streamer.demo.stage import Stage
from streamer.lifecycle.hot_swap import Successor
from streamer.runtime.model import load_model
from tests.servers.child import wait_until


def history(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    time_s = np.tile(1.7e9 + np.arange(rows) * 6.0, (3, 1)) + rng.uniform(0, 0.5, (3, rows))
    return rng.normal(size=(3, rows, 2)).astype(np.float32), time_s


def test_too_short_a_history_is_no_reason_to_fail_but_is_told() -> None:
    tuning = Tuning(5.0, 0, clock=time.monotonic)
    tuning.start(*history(LEAST_ROWS - 1))
    assert tuning.state is State.SKIPPED
    assert tuning.told
    assert tuning.step() is None
    tuning.close()


@pytest.mark.integration
@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="training needs tensorflow"
)
def test_a_child_that_takes_too_long_is_stopped_and_leaves_nothing_behind() -> None:
    now = [0.0]
    tuning = Tuning(1.0, 0, clock=lambda: now[0])
    tuning.start(*history(400))
    room = tuning._directory
    now[0] = 100.0
    assert tuning.step() is None
    assert tuning.state is State.FAILED
    assert "stopped" in tuning.told
    tuning.close()
    assert not room.exists()


@pytest.mark.integration
@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="training needs tensorflow"
)
def test_a_child_that_cannot_train_says_why() -> None:
    values, time_s = history(400)
    values[0, 0, 0] = np.inf
    tuning = Tuning(5.0, 0, clock=time.monotonic)
    tuning.start(values, time_s)
    deadline = time.monotonic() + 60
    while tuning.state is State.RUNNING and time.monotonic() < deadline:
        tuning.step()
        assert tuning._child is not None
        if tuning.state is State.RUNNING:
            tuning._child.wait(60)
    assert tuning.state is State.FAILED
    assert "infinite" in tuning.told
    tuning.close()


def test_what_is_offered_takes_over_in_the_running_show_and_nothing_is_lost() -> None:
    """The swap is the service's own: the show only offers."""
    first = load_model(Model(backend="numpy"))
    stage = Stage((streams.plant_act(0, streams.PlantPace(), 20.0),), first, time.monotonic)
    stage.open()
    wait_until(lambda: stage.events > 500, timeout_s=60, what="events")
    stage.swapper.offer(Successor(load_model(Model(backend="litert"))))
    wait_until(lambda: stage.swapper.switches == 1, timeout_s=60, what="the switch")
    judged = stage.events
    wait_until(lambda: stage.events > judged, timeout_s=60, what="more events")
    assert stage.end() == 0
    assert stage.strands[0].detectors[0].ref.backend == "litert"
    assert stage.conservation["in_flight"] == 0
