"""Streams and detectors for the laws: small, seeded, awkward on purpose.

Laws that hold for every network use SMALL, whose windows are a quarter of the starter's: a stream of
a quarter of the length has as many anchors. What depends on trained weights uses the starter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.export import expected_shapes
from streamer import artifact
from streamer.artifact import Bundle, ModelSpec
from streamer.backends import open_scorer
from streamer.detect.pipeline import Detector, Judged
from streamer.event import EventBatch, Scores
from streamer.protocols import Network
from streamer.settings import DetectSettings

BUNDLE = artifact.load(artifact.PRETRAINED)


def small() -> Bundle:
    """A network of 8 units and a window of 16 with random weights and the starter's calibration; it
    has no graphs.
    """
    spec = ModelSpec(units=8, attention=4, head=8, window=16, stride=32, scale_window=32, k_min=4)
    rng = np.random.default_rng(8)
    weights = {
        name: rng.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in expected_shapes(spec).items()
    }
    return Bundle("small", "8" * 64, spec, weights, BUNDLE.calibration, {})


def deeper(bundle: Bundle, layers: int) -> Bundle:
    """The bundle with so many layers, the new ones of random weights; it has no graphs."""
    rng, spec = np.random.default_rng(layers), replace(bundle.spec, layers=layers)
    more = {
        name: rng.normal(0, 0.15, shape).astype(np.float32)
        for name, shape in expected_shapes(spec).items()
        if name not in bundle.weights
    }
    return Bundle(
        f"deep-{layers}", f"{layers:064}", spec, bundle.weights | more, bundle.calibration, {}
    )


SMALL = small()
DEEP = deeper(SMALL, 2)
BY_LAYERS = {1: SMALL, 2: DEEP}
MakeDetector = Callable[..., Detector]


def make_detector(backend: str = "numpy", bundle: Bundle = BUNDLE, **settings: object) -> Detector:
    """A detector over the starter or another bundle; settings as of DetectSettings."""
    given: dict[str, Any] = {"channels": ("a", "b"), "max_entities": 16} | settings
    network = open_scorer(bundle, backend)
    return Detector(DetectSettings(**given), network, bundle.spec, bundle.calibration)


def stream(
    seed: int, events: int, entities: int = 3, channels: int = 2, *, awkward: bool = True
) -> EventBatch:
    """Waves, noise, jumps, missing values, irregular gaps, repeats and late events of a few
    entities, in log order.
    """
    rng = np.random.default_rng(seed)
    entity = rng.integers(0, entities, events)
    time_s = 1.7e9 + np.cumsum(rng.exponential(20.0, events))
    phase = np.arange(events)[:, None] / np.array([9.0, 23.0, 57.0, 111.0])[:channels]
    values = np.sin(phase) * 3 + rng.normal(size=(events, channels)) * 0.3 + 10 * entity[:, None]
    values[rng.random(events) < 0.003] += 4
    values[events * 3 // 4 : events * 3 // 4 + 30, 0] += 400
    if awkward:
        values[rng.random(values.shape) < 0.03] = np.nan
        time_s[rng.random(events) < 0.02] -= 5_000
        again = rng.random(events) < 0.02
        again[0] = False
        rows = np.flatnonzero(again)
        time_s[rows], values[rows], entity[rows] = (
            time_s[rows - 1],
            values[rows - 1],
            entity[rows - 1],
        )
    keys = tuple(f"e{i}" for i in range(entities))
    return EventBatch(
        "s",
        "t",
        0,
        keys,
        entity.astype(np.int32)[:, None],
        time_s,
        values.astype(np.float32),
        np.arange(events),
    )


def in_pieces(
    detector: Detector, batch: EventBatch, sizes: Sequence[int], *, ahead: bool = False
) -> Judged:
    """The batch cut into pieces of the given sizes, in turn, getting ahead between them or not; the
    results joined.
    """
    found, start, turn = [], 0, 0
    while start < len(batch):
        end = min(start + sizes[turn % len(sizes)], len(batch))
        found.append(detector.process(batch.rows(slice(start, end))))
        if ahead:
            detector.anchor_ahead()
        start, turn = end, turn + 1
    return join(found)


def join(found: Sequence[Judged]) -> Judged:
    fields = [name for name in Scores.__slots__ if name != "model"]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(j.scores, name) for j in found]) for name in fields
    }
    scores = Scores(**columns)
    return Judged(scores, [alert for j in found for alert in j.alerts])


def assert_same(a: Judged, b: Judged, tolerance: float = 1e-5) -> None:
    """Equal fates and alerts, equal numbers to float rounding."""
    assert a.scores.fate.tolist() == b.scores.fate.tolist()
    for name in ("score", "alarm", "parts", "expected", "low", "high"):
        x, y = getattr(a.scores, name), getattr(b.scores, name)
        np.testing.assert_allclose(
            x, y, rtol=tolerance, atol=tolerance, equal_nan=True, err_msg=name
        )
    assert [(x.alert_id, x.event) for x in a.alerts] == [(x.alert_id, x.event) for x in b.alerts]


@pytest.fixture
def detector() -> Detector:
    return make_detector()


def swap(
    detector: Detector, network: Network, spec: ModelSpec, prior: Mapping[str, Any] | None = None
) -> None:
    """Prepare another network and let it take over at once."""
    detector.prepare(network, spec, prior)
    detector.take_over()
