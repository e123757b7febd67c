"""One step of the dual-stream LSTM as a pure function over plain weights.

It is written once over a small array namespace. So numpy (the reference), tf.function (the keras
backend) and the LiteRT export run the same lines. A test compares it with the training network in
models/network.py.

Both streams stack L LSTMs. A layer reads the h of the layer below after the same event, the first
one reads the features. Heads and attention read the h of the top layer.

Axes: N rows, C channels, H units, L layers, F features. State before the first event is all zeros.

  value state  (N, C, V): h (H), c (H) of every layer, last features (F1)
                          V = 2LH + F1
  rhythm state (N, Q):    h (H), c (H) of every layer, attention sum (2H), its mass (1)
                          Q = 2LH + 2H + 1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from streamer.artifact import MAX_LAYERS, ModelSpec

MIXTURE = 3  # logistic components of the value density
GAP_COMPONENTS = 6  # 3 logistic + 3 Weibull components of the gap density
HOURS = 24
ATTENTION_BOUND = 6.0
LAYER = ("kernel", "recurrent", "bias")  # the weights of an LSTM
LOGIT_BOUND = 10.0  # mixture logits are bounded, so that a softmax needs no maximum

# weights above the top layers: name -> shape in H units, A attention, D head, F1 features
_HEADS = {
    "attention_kernel": ("2H", "A"),
    "attention_bias": ("A",),
    "attention_vector": ("A", "1"),
    "head_value": ("H+F1", "D"),
    "head_event": ("3H", "D"),
    "head_bias": ("D",),
    "forecast_out": ("D", "1"),
    "forecast_out_bias": ("1",),
    "value_out": ("D", "3M"),
    "value_out_bias": ("3M",),
    "clock_kernel": ("3H", "D"),
    "clock_bias": ("D",),
    "gap_out": ("D", "3G"),
    "gap_out_bias": ("3G",),
    "hour_out": ("D", "24"),
    "hour_out_bias": ("24",),
}


def suffixes(layers: int) -> list[str]:
    """Return the suffixes of the weights of every layer, the lowest first: "", _2, _3 ..."""
    return ["", *(f"_{layer}" for layer in range(2, layers + 1))]


def shapes(layers: int = 1) -> dict[str, tuple[str, ...]]:
    """Return the shape of every weight by name, in H units, A attention, D head, F1 and F2.

    F1 and F2 are the features of the two streams.
    """
    return _encoder("value", "F1", layers) | _encoder("rhythm", "F2", layers) | _HEADS


def _encoder(stream: str, features: str, layers: int) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for suffix in suffixes(layers):
        layer = ("H" if suffix else features, "4H"), ("H", "4H"), ("4H",)
        found |= {
            f"{stream}_{part}{suffix}": shape for part, shape in zip(LAYER, layer, strict=True)
        }
    return found


def widths(spec: ModelSpec) -> tuple[int, int]:
    """Return V and Q: the numbers of floats in the state of a channel and of an entity."""
    deep = 2 * spec.layers * spec.units
    return deep + spec.value_features, deep + 2 * spec.units + 1


class Layout:
    """The positions of the parts of the states along their last axis, read from the weights."""

    def __init__(self, w: Mapping[str, Any]) -> None:
        self.units = units = w["value_recurrent"].shape[0]
        self.layers = 1 + sum(f"value_recurrent_{layer}" in w for layer in range(2, MAX_LAYERS + 1))
        end = 2 * self.layers * units
        self.top = slice(end - 2 * units, end - units)  # h of the top layer
        self.features = slice(end, None)  # of the value state
        # of the rhythm state
        self.total, self.mass = slice(end, end + 2 * units), slice(end + 2 * units, None)


class Namespace(Protocol):
    """The array functions of a step, for numpy and TensorFlow."""

    def matmul(self, a: Any, b: Any) -> Any:
        """(..., F) by (F, D) -> (..., D)."""

    def concat(self, parts: list[Any], axis: int) -> Any: ...
    def tanh(self, a: Any) -> Any: ...
    def sigmoid(self, a: Any) -> Any: ...
    def relu(self, a: Any) -> Any: ...
    def exp(self, a: Any) -> Any: ...
    def mean(self, a: Any, axis: int) -> Any: ...
    def stack(self, parts: list[Any]) -> Any:
        """T parts (...) -> (T, ...)."""


class NumpyNamespace:
    """The reference namespace; float32 in, float32 out."""

    stack = staticmethod(np.stack)
    tanh = staticmethod(np.tanh)
    exp = staticmethod(np.exp)

    @staticmethod
    def matmul(a: Any, b: Any) -> Any:
        # one product over all rows, because np.matmul would loop over the leading axes
        return (a.reshape(-1, a.shape[-1]) @ b).reshape(*a.shape[:-1], b.shape[-1])

    @staticmethod
    def concat(parts: list[Any], axis: int) -> Any:
        return np.concatenate(parts, axis=axis)

    @staticmethod
    def sigmoid(a: Any) -> Any:
        return (np.tanh(a * np.float32(0.5)) + np.float32(1)) * np.float32(0.5)

    @staticmethod
    def relu(a: Any) -> Any:
        return np.maximum(a, np.float32(0))

    @staticmethod
    def mean(a: Any, axis: int) -> Any:
        return a.mean(axis=axis)


def lstm(
    np_: Any, x: Any, h: Any, c: Any, kernel: Any, recurrent: Any, bias: Any
) -> tuple[Any, Any]:
    """One LSTM step (Hochreiter & Schmidhuber 1997; gate order i, f, g, o as in Keras).

    X (..., F), h and c (..., H).
    """
    units = recurrent.shape[0]
    z = np_.matmul(x, kernel) + np_.matmul(h, recurrent) + bias  # (..., 4H)
    i, f = np_.sigmoid(z[..., :units]), np_.sigmoid(z[..., units : 2 * units])
    g, o = np_.tanh(z[..., 2 * units : 3 * units]), np_.sigmoid(z[..., 3 * units :])
    c = f * c + i * g
    return o * np_.tanh(c), c


def stack(np_: Any, w: Mapping[str, Any], stream: str, x: Any, state: Any) -> list[Any]:
    """Run one event, x (..., F), through the LSTMs of a stream.

    Returns [h, c] of every layer, the lowest first, each (..., H).
    """
    at = Layout(w)
    found: list[Any] = []
    for suffix in suffixes(at.layers):
        start = len(found) * at.units
        h, c = (
            state[..., start : start + at.units],
            state[..., start + at.units : start + 2 * at.units],
        )
        kernel, recurrent, bias = (w[f"{stream}_{part}{suffix}"] for part in LAYER)
        # the layer above reads the h of this one
        x, c = lstm(np_, x, h, c, kernel, recurrent, bias)
        found += [x, c]
    return found


def step(
    np_: Any, w: Mapping[str, Any], value_state: Any, rhythm_state: Any, x: Any, r: Any
) -> tuple[Any, ...]:
    """Judge an event from the state before it, then fold it in. x (N, C, F1), r (N, F2).

    Returns (value_state', rhythm_state', delta (N, C), value (N, C, 3M), gap (N, 3G), hour (N, 24),
    attention (N,)). The value density depends on the event's own gap and calendar; gap and hour
    densities depend on the past alone. `attention` is the logit of the *previous* event, which
    enters the context at this step.
    """
    at = Layout(w)
    h_v, h_r = value_state[..., at.top], rhythm_state[..., at.top]
    after_value, after_rhythm, logit = fold(np_, w, value_state, rhythm_state, x, r)
    context = after_rhythm[..., at.total] / after_rhythm[..., at.mass]  # (N, 2H)

    clock = np_.relu(np_.matmul(np_.concat([h_r, context], 1), w["clock_kernel"]) + w["clock_bias"])
    gap = np_.matmul(clock, w["gap_out"]) + w["gap_out_bias"]
    hour = np_.matmul(clock, w["hour_out"]) + w["hour_out_bias"]

    event = (
        np_.matmul(np_.concat([after_rhythm[..., at.top], context], 1), w["head_event"])
        + w["head_bias"]
    )  # (N, D)
    past = np_.concat([h_v, value_state[..., at.features]], 2)  # (N, C, H + F1)
    hidden = np_.relu(np_.matmul(past, w["head_value"]) + event[:, None, :])  # (N, C, D)
    # The forecast has its own output: it is the median, and the mean of a density is shifted by
    # every rare jump.
    delta = (np_.matmul(hidden, w["forecast_out"]) + w["forecast_out_bias"])[:, :, 0]  # (N, C)
    value = np_.matmul(hidden, w["value_out"]) + w["value_out_bias"]  # (N, C, 3M)
    return after_value, after_rhythm, delta, value, gap, hour, logit


def fold(
    np_: Any, w: Mapping[str, Any], value_state: Any, rhythm_state: Any, x: Any, r: Any
) -> tuple[Any, Any, Any]:
    """Return the states after an event without judging it, and its attention.

    The result is (value_state', rhythm_state', attention (N,)), as in `step`.
    """
    at = Layout(w)
    # Attention over time (additive, Bahdanau et al. 2015) with bounded logits and no query, as a
    # running softmax. joint is (N, 2H).
    joint = np_.concat([np_.mean(value_state[..., at.top], 1), rhythm_state[..., at.top]], 1)
    energy = np_.matmul(
        np_.tanh(np_.matmul(joint, w["attention_kernel"]) + w["attention_bias"]),
        w["attention_vector"],
    )
    logit = ATTENTION_BOUND * np_.tanh(energy / ATTENTION_BOUND)  # (N, 1)
    weight = np_.exp(logit)
    total = rhythm_state[..., at.total] + weight * joint
    mass = rhythm_state[..., at.mass] + weight

    after_rhythm = np_.concat([*stack(np_, w, "rhythm", r, rhythm_state), total, mass], 1)
    return np_.concat([*stack(np_, w, "value", x, value_state), x], 2), after_rhythm, logit[:, 0]


def replay(
    np_: Any, w: Mapping[str, Any], value_state: Any, rhythm_state: Any, x: Any, r: Any
) -> tuple[Any, Any, Any]:
    """Return the states after a run of events, x (T, N, C, F1) and r (T, N, F2).

    T is known and not 0. Returns (value_state', rhythm_state', attention (T, N)), with the logits
    of `step`.
    """
    logits = []
    for t in range(x.shape[0]):
        value_state, rhythm_state, logit = fold(np_, w, value_state, rhythm_state, x[t], r[t])
        logits.append(logit)
    return value_state, rhythm_state, np_.stack(logits)
