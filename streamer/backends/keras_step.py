"""The step of detect.network.cell under TensorFlow, with XLA and GPU if available.

The export converts this function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamer.artifact import Bundle
from streamer.detect.network.cell import step, widths
from streamer.errors import BackendError
from streamer.event import F32, ModelRef
from streamer.protocols import StepOut

# A new batch size needs a new trace. Rows are padded to the next of these, or to a multiple of the
# last.
BUCKETS = (1, 8, 64, 512, 4096)


class TensorNamespace:
    """The Namespace of detect.network.cell over TensorFlow."""

    def __init__(self, tf: Any) -> None:
        self.matmul, self.concat = tf.matmul, tf.concat
        self.tanh, self.sigmoid, self.relu, self.exp = tf.tanh, tf.sigmoid, tf.nn.relu, tf.exp
        self.mean, self.stack = tf.reduce_mean, tf.stack


class KerasScorer:
    """A Network over a tf.function, with one trace per batch bucket and channel count."""

    forecast_from = "last"
    has_rhythm = True

    def __init__(self, bundle: Bundle, jit_compile: bool = False) -> None:
        tf = import_tensorflow()
        self.ref = ModelRef(bundle.version, "keras", bundle.sha256)
        self.value_width, self.rhythm_width = widths(bundle.spec)
        namespace = TensorNamespace(tf)
        weights = {name: tf.constant(array) for name, array in bundle.weights.items()}
        self._step = tf.function(
            lambda *arrays: step(namespace, weights, *arrays), jit_compile=jit_compile
        )
        self._tensor = tf.constant

    def step(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> StepOut:
        n = len(x)
        padded = (
            self._tensor(_pad(array, bucket(n))) for array in (value_state, rhythm_state, x, r)
        )
        return StepOut(*(np.array(out[:n]) for out in self._step(*padded)))

    def replay(self, value_state: F32, rhythm_state: F32, x: F32, r: F32) -> tuple[F32, F32, F32]:
        logits = np.zeros(x.shape[:2], np.float32)
        for t in range(len(x)):
            out = self.step(value_state, rhythm_state, x[t], r[t])
            value_state, rhythm_state, logits[t] = out.value_state, out.rhythm_state, out.attention
        return value_state, rhythm_state, logits


def bucket(n: int) -> int:
    """The padded batch size for n rows."""
    return next((size for size in BUCKETS if size >= n), -(-n // BUCKETS[-1]) * BUCKETS[-1])


def _pad(array: F32, rows: int) -> F32:
    if len(array) == rows:
        return array
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), np.float32)])


def import_tensorflow() -> Any:
    """Import and return tensorflow; BackendError with a fix if it is not installed."""
    try:
        import tensorflow
    except ImportError as exc:
        raise BackendError(
            "backend keras needs tensorflow: pip install 'streamer[train]', or use litert"
        ) from exc
    return tensorflow
