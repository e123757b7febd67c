"""A plant that begins to behave in a new way: many false alarms at first, then as few as promised.

The network stays the same: the calibration of the detector does it. `make soak` sees the same plant
judged by daemons that also learn.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streamer.backends import open_scorer
from streamer.config.load import stream_from
from streamer.detect.pipeline import Detector
from streamer.event import EventBatch
from tests.detect.conftest import BUNDLE
from tests.integration.load import EPOCH_S
from tests.integration.plant import DAY_S, Plant

PLANT = Plant(entities=40, shift_step=640)
PROMISED = 10.0  # incidents a day
YOUNG = 300  # steps in which the alarm line of a new entity comes down
# A machine may raise about a dozen incidents above the promise before its line is too high for what
# it always does.
STRAINED = 2000  # steps of the new regime
WINDOW = 500  # steps over which a rate is measured
AT_ONCE = 16  # steps of a batch


def detector() -> Detector:
    body = {
        "name": "plant",
        "source": {"kind": "synthetic"},
        "detect": {"close": {"events": 5}},
        "alerts": {
            "budget": f"{PROMISED:.0f}/day",
            "expected_entities": PLANT.entities,
            "storm": {"alerts": 100_000},
        },
    }
    settings = stream_from(body).detect_settings(("rms", "temp"))
    return Detector(settings, open_scorer(BUNDLE, "numpy"), BUNDLE.spec, BUNDLE.calibration)


def batches(steps: int) -> Iterator[EventBatch]:
    """AT_ONCE steps of all machines each; the offset of an event tells its step."""
    keys = tuple(f"pump-{i:03d}" for i in range(PLANT.entities))
    for first in range(0, steps, AT_ONCE):
        values = np.concatenate([PLANT._step(first + i) for i in range(AT_ONCE)])
        time_s = EPOCH_S + PLANT.step_s * np.repeat(
            np.arange(first, first + AT_ONCE, dtype=np.float64), PLANT.entities
        )
        entity = np.tile(np.arange(PLANT.entities, dtype=np.int32), AT_ONCE)[:, None]
        offset = first * PLANT.entities + np.arange(len(time_s))
        yield EventBatch("plant", "t", 0, keys, entity, time_s, values.astype(np.float32), offset)


def opened(steps: int) -> np.ndarray:
    """The step of every incident that was opened. Nothing is broken: all of them are false."""
    judge = detector()
    found = [
        alert.window.last_offset // PLANT.entities
        for batch in batches(steps)
        for alert in judge.process(batch).alerts
        if alert.event == "opened" and alert.window
    ]
    return np.array(found)


def likely(promised: float) -> float:
    """The most that chance makes of so many that are expected."""
    return promised + 3 * np.sqrt(promised)


def test_false_alarms_of_a_new_regime_are_many_and_then_as_few_as_promised() -> None:
    last = PLANT.shift_step + STRAINED
    at = opened(last + WINDOW)
    spans = (
        (YOUNG, PLANT.shift_step),
        (PLANT.shift_step, PLANT.shift_step + WINDOW),
        (last, last + WINDOW),
    )
    calm, rung, kept = (int(((at >= first) & (at < end)).sum()) for first, end in spans)
    promised = [PROMISED * (end - first) * PLANT.step_s / DAY_S for first, end in spans]
    print(f"{calm} before the shift, {rung} after it, {kept} at last; promised {promised}")
    assert calm <= likely(promised[0]) and kept <= likely(promised[2])
    assert rung > 2 * likely(promised[1])
