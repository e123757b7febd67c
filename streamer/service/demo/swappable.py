"""A detector whose network another thread may replace: it changes between two batches, on the scorer's thread."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamer.artifact import ModelSpec
from streamer.detect.pipeline import Detector, Judged
from streamer.detect.settings import DetectSettings
from streamer.event import EventBatch
from streamer.protocols import Scorer


@dataclass(frozen=True, slots=True)
class Successor:
    """A verified network on its way in."""

    scorer: Scorer
    spec: ModelSpec
    prior: Mapping[str, Any]


class SwappableDetector(Detector):
    """`offer` may come from any thread; everything else belongs to the scorer's."""

    def __init__(
        self, settings: DetectSettings, scorer: Scorer, spec: ModelSpec, prior: Mapping[str, Any], key: int = 0
    ) -> None:
        super().__init__(settings, scorer, spec, prior, key)
        self.swaps = 0
        self._lock = threading.Lock()
        self._next: Successor | None = None

    def offer(self, successor: Successor) -> None:
        """Take over at the next batch; a later offer replaces one that waits."""
        with self._lock:
            self._next = successor

    def process(self, batch: EventBatch) -> Judged:
        with self._lock:
            successor, self._next = self._next, None
        if successor is not None:
            self.swap(successor.scorer, successor.spec, successor.prior)
            self.swaps += 1
        return super().process(batch)
