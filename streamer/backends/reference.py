"""The step of detect.network.cell in numpy, the reference for all other backends.

Needs no extra package.
"""

from __future__ import annotations

import numpy as np

from streamer.artifact import Bundle
from streamer.detect.network.cell import NumpyNamespace, replay, step, widths
from streamer.event import F32, ModelRef
from streamer.protocols import StepOut


class NumpyScorer:
    """A Network over plain weights.

    It keeps no state and does not write to its arguments.
    """

    forecast_from = "last"
    has_rhythm = True

    def __init__(self, bundle: Bundle) -> None:
        self.ref = ModelRef(bundle.version, "numpy", bundle.sha256)
        self.value_width, self.rhythm_width = widths(bundle.spec)
        self._weights = bundle.weights

    def step(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> StepOut:
        return StepOut(*step(NumpyNamespace, self._weights, value_state, rhythm_state, x, r))

    def replay(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> tuple[F32, F32, F32]:
        if not len(x):
            return value_state, rhythm_state, np.zeros(x.shape[:2], np.float32)
        return replay(NumpyNamespace, self._weights, value_state, rhythm_state, x, r)
