"""One stream under real detectors, with everything that may happen to its model, on one thread and
without waiting.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from streamer import artifact
from streamer.artifact import Bundle
from streamer.backends.golden import OUTPUTS
from streamer.backends.reference import NumpyScorer
from streamer.connect.memory import MemoryScores, MemorySink, MemorySource
from streamer.detect.network.cell import NumpyNamespace, step
from streamer.detect.pipeline import Detector
from streamer.event import EventBatch, Lease
from streamer.lifecycle.hot_swap import Successor, Swapper
from streamer.lifecycle.shadow import ShadowSlot
from streamer.runtime.mailbox import Mailbox
from streamer.runtime.model import CurrentModel, LoadedModel
from streamer.runtime.outbox import Outbox, Outlet
from streamer.runtime.partitions import LiveDetector, Partitions
from streamer.runtime.score_writer import ScoreWriter
from streamer.runtime.scoring_loop import ScoringLoop
from streamer.runtime.stream_builder import StreamOutput, build_stream
from streamer.settings import DetectSettings
from tests.detect.conftest import BUNDLE, stream

SETTINGS = DetectSettings(stream="s", channels=("a", "b"), max_entities=32)


def variant(version: str, factor: float = 1.0) -> Bundle:
    """The starter network with all weights times a factor, and golden vectors of its own; numpy
    only.
    """
    weights = {name: (value * factor).astype(np.float32) for name, value in BUNDLE.weights.items()}
    parts = {"golden.npz": artifact.pack_arrays(golden(replace(BUNDLE, weights=weights)))}
    return replace(
        BUNDLE, version=version, sha256=f"{version}-{factor}", weights=weights, parts=parts
    )


def golden(bundle: Bundle) -> dict[str, np.ndarray]:
    """A short run of the reference."""
    rng, spec = np.random.default_rng(3), bundle.spec
    x = rng.normal(0, 1, (20, 2, 2, spec.value_features)).astype(np.float32)
    r = rng.normal(0, 1, (20, 2, spec.rhythm_features)).astype(np.float32)
    scorer = NumpyScorer(bundle)
    state = (
        np.zeros((2, 2, scorer.value_width), np.float32),
        np.zeros((2, scorer.rhythm_width), np.float32),
    )
    outputs = []
    for x_t, r_t in zip(x, r, strict=True):
        outputs.append(step(NumpyNamespace, bundle.weights, *state, x_t, r_t))
        state = outputs[-1][:2]
    return {"x": x, "r": r} | {
        n: np.stack(o) for n, o in zip(OUTPUTS, zip(*outputs, strict=True), strict=True)
    }


def written(
    directory: Path, version: str, factor: float = 1.0, *, gate: Mapping[str, object] | None = None
) -> Path:
    """The variant as a bundle on disk, with what a gate told of it."""
    made = variant(version, factor)
    report = {} if gate is None else {"gate.json": json.dumps(gate).encode()}
    artifact.save(
        directory,
        version=version,
        spec=made.spec,
        weights=made.weights,
        calibration=made.calibration,
        parts={**made.parts, **report},
        training={"created_at": "2026-01-02T03:04:05+00:00"},
    )
    return directory


def loaded(version: str, factor: float = 1.0) -> LoadedModel:
    bundle = variant(version, factor)
    return LoadedModel(NumpyScorer(bundle), bundle.spec, bundle.calibration)


@dataclass
class Room:
    """Reader, line, scorer, swapper and the challenger's seat around a memory source."""

    source: MemorySource = field(
        default_factory=lambda: MemorySource([], endless=True, channels=("a", "b"))
    )
    settings: DetectSettings = SETTINGS
    first: LoadedModel = field(default_factory=lambda: loaded("v0"))
    partitioned: bool = False
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        bell = threading.Event()
        self.current, self.sink, self.scores = (
            CurrentModel(self.first),
            MemorySink(),
            MemoryScores(),
        )
        self.outbox = Outbox([Outlet("memory", self.sink, clock=self.clock)])
        partitions = (
            Partitions(self._detectors, 0.0)
            if self.partitioned
            else Partitions.whole(self._detectors(1), 0.0)
        )
        self.reader, self.processor = build_stream(
            "s",
            self.source,
            partitions,
            StreamOutput(self.outbox, scores=ScoreWriter(self.scores)),
            Mailbox(4, bell),
            model_ref=lambda: self.current.state.ref,
            clock=self.clock,
        )
        self.swapper = Swapper(self.current, [self.processor], self.outbox, clock=self.clock)
        self.shadow_slot = ShadowSlot(self.current.state, [self.processor])
        idle_tasks = (self.swapper, self.shadow_slot)
        self.scoring_loop = ScoringLoop(
            [self.processor], self.outbox, bell=bell, idle_tasks=idle_tasks, clock=self.clock
        )

    def _detectors(self, partitions: int) -> list[LiveDetector]:
        now = self.current.loaded
        return [Detector(self.settings, now.network, now.spec, now.prior)]

    def feed(self, batch: EventBatch, steps: int = 1) -> None:
        self.source.add(batch)
        self.reader.step(0.0)
        for _ in range(steps):
            self.scoring_loop.step()

    def offer(
        self, network: LoadedModel, event: str = "promoted", *, why: str = "", move: str = ""
    ) -> None:
        self.swapper.offer(Successor(network, event, why, move))

    def settle(self) -> None:
        while self.swapper.busy:
            self.scoring_loop.step()

    @property
    def judged(self) -> list[tuple[str, int]]:
        """Version and number of events of every batch that was judged, in order."""
        return [
            (scores.model.version if scores.model else "", len(batch))
            for batch, scores, _ in self.scores.written
        ]


def pieces(batch: EventBatch, size: int) -> list[EventBatch]:
    return [batch.rows(slice(start, start + size)) for start in range(0, len(batch), size)]


def traffic(events: int, *, seed: int = 3, entities: int = 8) -> EventBatch:
    return stream(seed, events, entities)


LEASE = Lease("t", 0)
