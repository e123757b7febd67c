"""Laws of the hot swap and of the training behind it."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import replace

import numpy as np
import pytest

from streamer import artifact
from streamer.backends import open_scorer
from streamer.backends.reference import NumpyScorer
from streamer.detect.settings import DetectSettings
from streamer.event import EventBatch
from streamer.service.demo.swappable import Successor, SwappableDetector
from streamer.service.demo.tuning import LEAST_ROWS, State, Tuning

SETTINGS = DetectSettings(channels=("x",), max_entities=4)


@pytest.fixture(scope="module")
def bundle() -> artifact.Bundle:
    return artifact.load(artifact.PRETRAINED)


def stream(n: int) -> EventBatch:
    rng = np.random.default_rng(0)
    entity, offset = (np.arange(n, dtype=np.int32) % 2)[:, None], np.arange(n, dtype=np.int64)
    return EventBatch(
        "s",
        "s",
        0,
        ("a", "b"),
        entity,
        (1.7e9 + offset * 3.0).astype(np.float64),
        rng.normal(size=(n, 1)).astype(np.float32),
        offset,
    )


def test_an_offer_takes_over_at_the_next_batch_and_no_event_is_lost(bundle: artifact.Bundle) -> None:
    events = stream(200)
    detector = SwappableDetector(SETTINGS, NumpyScorer(bundle), bundle.spec, bundle.calibration)
    detector.process(events.rows(slice(0, 101)))
    successor = replace(bundle, version="next")
    detector.offer(Successor(NumpyScorer(successor), bundle.spec, bundle.calibration))
    assert (detector.ref.version, detector.swaps) == (bundle.version, 0)
    detector.process(events.rows(slice(101, 200)))
    assert (detector.ref.version, detector.swaps) == ("next", 1)
    assert int(detector.fates.sum()) == 200


def test_the_same_network_offered_again_changes_no_score(bundle: artifact.Bundle) -> None:
    events = stream(200)
    plain, swapped = (
        SwappableDetector(SETTINGS, NumpyScorer(bundle), bundle.spec, bundle.calibration) for _ in range(2)
    )
    plain.process(events.rows(slice(0, 100)))
    swapped.process(events.rows(slice(0, 100)))
    swapped.offer(Successor(open_scorer(bundle, "numpy"), bundle.spec, bundle.calibration))
    rest = events.rows(slice(100, 200))
    np.testing.assert_allclose(plain.process(rest).scores.score, swapped.process(rest).scores.score, atol=1e-5)


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
