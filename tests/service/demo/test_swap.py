"""Laws of the training behind the show's hot swap."""

from __future__ import annotations

import importlib.util
import time

import numpy as np
import pytest

from streamer.service.demo.tuning import LEAST_ROWS, State, Tuning


def history(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    time_s = np.tile(1.7e9 + np.arange(rows) * 6.0, (3, 1)) + rng.uniform(0, 0.5, (3, rows))
    return rng.normal(size=(3, rows, 2)).astype(np.float32), time_s


def test_too_short_a_history_is_no_reason_to_fail_but_is_told() -> None:
    tuning = Tuning(5.0, 0, clock=time.monotonic)
    tuning.start(*history(LEAST_ROWS - 1))
    assert tuning.state is State.SKIPPED
    assert tuning.told
    assert tuning.turn() is None
    tuning.close()


@pytest.mark.integration
@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="training needs tensorflow")
def test_a_child_that_takes_too_long_is_stopped_and_leaves_nothing_behind() -> None:
    now = [0.0]
    tuning = Tuning(1.0, 0, clock=lambda: now[0])
    tuning.start(*history(400))
    room = tuning._directory
    now[0] = 100.0
    assert tuning.turn() is None
    assert tuning.state is State.FAILED
    assert "stopped" in tuning.told
    tuning.close()
    assert not room.exists()


@pytest.mark.integration
@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="training needs tensorflow")
def test_a_child_that_cannot_train_says_why() -> None:
    values, time_s = history(400)
    values[0, 0, 0] = np.inf
    tuning = Tuning(5.0, 0, clock=time.monotonic)
    tuning.start(values, time_s)
    deadline = time.monotonic() + 60
    while tuning.state is State.RUNNING and time.monotonic() < deadline:
        tuning.turn()
        assert tuning._child is not None
        if tuning.state is State.RUNNING:
            tuning._child.wait(60)
    assert tuning.state is State.FAILED
    assert "infinite" in tuning.told
    tuning.close()
