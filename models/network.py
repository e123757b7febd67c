"""The dual-stream LSTM of detect.network.cell as a Keras model over sequences, for training.

Axes: B batch, T time, C channels, F1 value features, F2 rhythm features, H units, A attention, D
head. The value encoder runs once per channel with shared weights, the rhythm encoder once per
event. At step t all heads know values up to t - 1. The value head knows rhythm up to t, the gap and
hour heads up to t - 1. This equals detect.network.cell.step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from streamer.artifact import ModelSpec
from streamer.detect.network.cell import (
    ATTENTION_BOUND,
    GAP_COMPONENTS,
    HOURS,
    LAYER,
    MIXTURE,
    shapes,
    suffixes,
)
from streamer.errors import ModelError
from streamer.event import F32

# value (B, T, C, 3M), delta (B, T, C), gap (B, T, 3G), hour (B, T, 24), attention (B, T)
Outputs = dict[str, Any]


class DualStream(keras.Model):
    """Call with (x (B, T, C, F1), r (B, T, F2)); returns Outputs.

    With `supervised` they include `alarm` (B, T) logits.
    """

    def __init__(
        self, spec: ModelSpec, *, dropout: float = 0.0, l2: float = 0.0, supervised: bool = False
    ) -> None:
        super().__init__(name="dual_stream")
        self.spec = spec
        dense = _dense(l2)
        self.encoders = {stream: _stack(spec, stream, l2) for stream in ("value", "rhythm")}
        self.attention = dense(spec.attention, name="attention")
        self.attention_vector = dense(1, use_bias=False, name="attention_vector")
        self.head_value = dense(spec.head, use_bias=False, name="head_value")
        self.head_event = dense(spec.head, name="head_event")
        self.forecast_out = dense(1, name="forecast_out")
        self.value_out = dense(3 * MIXTURE, name="value_out")
        self.clock = dense(spec.head, name="clock")
        self.gap_out = dense(3 * GAP_COMPONENTS, name="gap_out")
        self.hour_out = dense(HOURS, name="hour_out")
        self.alarm_hidden: Any = (
            dense(spec.head, activation="relu", name="alarm_hidden") if supervised else None
        )
        self.alarm_out: Any = dense(1, name="alarm_out") if supervised else None
        self.drop = keras.layers.Dropout(dropout)

    def call(self, inputs: tuple[Any, Any], training: bool = False) -> Outputs:
        x, r = inputs
        h_value = self._encode_channels(x, training)  # (B, T, C, H) after each event
        h_rhythm = self._encode("rhythm", r, training)  # (B, T, H)
        past_value, past_rhythm, past_x = _shift(h_value), _shift(h_rhythm), _shift(x)
        context, logit = self._attend(
            ops.concatenate([ops.mean(past_value, axis=2), past_rhythm], axis=-1)
        )

        clock = self.drop(
            ops.relu(self.clock(ops.concatenate([past_rhythm, context], axis=-1))),
            training=training,
        )
        now = ops.concatenate([h_rhythm, context], axis=-1)  # (B, T, 3H)
        own = self.head_value(ops.concatenate([past_value, past_x], axis=-1))  # (B, T, C, D)
        hidden = self.drop(ops.relu(own + self.head_event(now)[:, :, None, :]), training=training)
        outputs = {
            "value": _float(self.value_out(hidden)),
            "delta": _float(self.forecast_out(hidden)[..., 0]),
            "attention": _float(logit[..., 0]),
            "gap": _float(self.gap_out(clock)),
            "hour": _float(self.hour_out(clock)),
        }
        if self.alarm_out is not None:
            outputs["alarm"] = self._alarm(h_value, now, training)
        return outputs

    def _encode(self, stream: str, x: Any, training: bool) -> Any:
        """(B, T, F) -> (B, T, H): the h of the top layer, with dropout between the layers."""
        lowest, *higher = self.encoders[stream]
        h = lowest(x)
        for layer in higher:
            h = layer(self.drop(h, training=training))
        return h

    def _encode_channels(self, x: Any, training: bool) -> Any:
        """(B, T, C, F1) -> (B, T, C, H): the value encoder over B * C rows."""
        b, t, c, f = ops.shape(x)
        rows = ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, t, f))  # (B * C, T, F1)
        h = ops.reshape(self._encode("value", rows, training), (b, c, t, self.spec.units))
        return ops.transpose(h, (0, 2, 1, 3))

    def _attend(self, joint: Any) -> tuple[Any, Any]:
        """Running softmax over all joint states (B, T, 2H) before each event.

        The empty first state is included.
        """
        energy = self.attention_vector(ops.tanh(self.attention(joint)))
        logit = ATTENTION_BOUND * ops.tanh(energy / ATTENTION_BOUND)  # (B, T, 1)
        weight = ops.exp(logit)
        return ops.cumsum(weight * joint, axis=1) / ops.cumsum(weight, axis=1), logit

    def _alarm(self, h_value: Any, now: Any, training: bool) -> Any:
        """Logits (B, T) of the supervised head, which may read the event itself.

        It judges the event and does not predict it.
        """
        joint = ops.concatenate([ops.max(h_value, axis=2), now], axis=-1)
        return _float(
            self.alarm_out(self.drop(self.alarm_hidden(joint), training=training))[..., 0]
        )


def build(spec: ModelSpec, **options: Any) -> DualStream:
    """Create a DualStream with its variables. Options: dropout, l2, supervised."""
    model = DualStream(spec, **options)
    model(
        (
            np.zeros((1, 2, 1, spec.value_features), np.float32),
            np.zeros((1, 2, spec.rhythm_features), np.float32),
        )
    )
    return model


def weights_of(model: DualStream) -> dict[str, F32]:
    """The weights by the names, and in the order, of cell.shapes."""
    variables = _variables(model)
    return {
        name: np.asarray(ops.convert_to_numpy(variables[name]), np.float32)
        for name in shapes(model.spec.layers)
    }


def load_weights(model: DualStream, weights: Mapping[str, F32]) -> None:
    """Set the weights from a bundle's; ModelError if a name or shape does not fit."""
    for name, variable in _variables(model).items():
        if name not in weights or weights[name].shape != tuple(variable.shape):
            got = weights[name].shape if name in weights else "nothing"
            raise ModelError(
                f"weight {name}: the network has {tuple(variable.shape)}, the bundle brings {got}"
            )
        variable.assign(weights[name])


def _variables(model: DualStream) -> dict[str, Any]:
    return _recurrent(model) | {
        "attention_kernel": model.attention.kernel,
        "attention_bias": model.attention.bias,
        "attention_vector": model.attention_vector.kernel,
        "head_value": model.head_value.kernel,
        "head_event": model.head_event.kernel,
        "head_bias": model.head_event.bias,
        "forecast_out": model.forecast_out.kernel,
        "forecast_out_bias": model.forecast_out.bias,
        "value_out": model.value_out.kernel,
        "value_out_bias": model.value_out.bias,
        "clock_kernel": model.clock.kernel,
        "clock_bias": model.clock.bias,
        "gap_out": model.gap_out.kernel,
        "gap_out_bias": model.gap_out.bias,
        "hour_out": model.hour_out.kernel,
        "hour_out_bias": model.hour_out.bias,
    }


def _recurrent(model: DualStream) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stream, encoder in model.encoders.items():
        for suffix, layer in zip(suffixes(model.spec.layers), encoder, strict=True):
            variables = (layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias)
            found |= {
                f"{stream}_{part}{suffix}": one for part, one in zip(LAYER, variables, strict=True)
            }
    return found


def _shift(a: Any) -> Any:
    """Shift one step later in time (axis 1), zeros first: the state before each event."""
    return ops.concatenate([ops.zeros_like(a[:, :1]), a[:, :-1]], axis=1)


def _float(a: Any) -> Any:
    return ops.cast(a, "float32")


def _l2(strength: float) -> Any:
    return keras.regularizers.L2(strength) if strength else None


def _stack(spec: ModelSpec, stream: str, l2: float) -> list[Any]:
    options = {"return_sequences": True, "kernel_regularizer": _l2(l2)}
    return [
        keras.layers.LSTM(spec.units, name=f"{stream}{suffix}", **options)
        for suffix in suffixes(spec.layers)
    ]


def _dense(l2: float) -> Any:
    def dense(width: int, **options: Any) -> Any:
        return keras.layers.Dense(width, kernel_regularizer=_l2(l2), **options)

    return dense
