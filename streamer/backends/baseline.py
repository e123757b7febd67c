"""The fallback without a model: a robust z-score.

Every channel is expected at its location; the rhythm is not judged.
"""

from __future__ import annotations

import numpy as np

from streamer.artifact import ModelSpec
from streamer.detect.network.cell import GAP_COMPONENTS, HOURS, MIXTURE
from streamer.event import F32, ModelRef
from streamer.protocols import StepOut


class BaselineScorer:
    """A Network without weights or state.

    Forecast 0 from the location, densities of unit scale, uniform hours.
    """

    forecast_from = "location"
    has_rhythm = False
    value_width = 0
    rhythm_width = 0

    def __init__(self, spec: ModelSpec) -> None:
        self.ref = ModelRef("baseline", "baseline", "")
        self.spec = spec

    def step(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> StepOut:
        n, channels = x.shape[:2]
        return StepOut(
            value_state=np.zeros((n, channels, 0), np.float32),
            rhythm_state=np.zeros((n, 0), np.float32),
            delta=np.zeros((n, channels), np.float32),
            value=np.zeros((n, channels, 3 * MIXTURE), np.float32),
            gap=np.zeros((n, 3 * GAP_COMPONENTS), np.float32),
            hour=np.zeros((n, HOURS), np.float32),
            attention=np.zeros(n, np.float32),
        )

    def replay(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> tuple[F32, F32, F32]:
        return value_state, rhythm_state, np.zeros(x.shape[:2], np.float32)
