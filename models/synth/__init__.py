"""Synthetic streams to learn from: varied normal behaviour, vectorised and seeded.

Axes: E entities, T rows, C channels; N rows of values (N = E * C) while they are generated.
"""

from __future__ import annotations

import numpy as np

from models.dataset import History
from models.synth.draws import Rng
from models.synth.rhythms import EPOCH_2024_S, RHYTHM_FAMILIES, rhythms
from models.synth.values import VALUE_KINDS, channel_values
from streamer.event import F64

RHYTHM_OFF_SHARE = 0.2
MISSING_SHARE = 0.15
COUPLED_SHARE = 0.4

__all__ = ["EPOCH_2024_S", "RHYTHM_FAMILIES", "VALUE_KINDS", "channel_values", "rhythms", "streams"]


def streams(rng: Rng, entities: int, rows: int, channels: int) -> History:
    """E normal streams of T rows: every entity has a rhythm, every channel a kind; nothing in it is
    an anomaly.
    """
    time_s = rhythms(rng, entities, rows)
    v = channel_values(rng, np.repeat(time_s, channels, axis=0))  # (E * C, T)
    v = v.reshape(entities, channels, rows).transpose(0, 2, 1)  # (E, T, C)
    if channels > 1:
        v = _couple(rng, v)
    v = _missing(rng, _units(rng, v))
    normal = np.zeros((entities, rows), bool)
    return History(v.astype(np.float32), time_s, normal, rng.random(entities) >= RHYTHM_OFF_SHARE)


def _couple(rng: Rng, v: F64) -> F64:
    """Let the channels (E, T, C) of some entities be mixtures of each other, some a few
    rows later.
    """
    e, _, c = v.shape
    v = v / (v.std(axis=1, keepdims=True) + 1e-9)
    mixing = np.eye(c) + rng.standard_normal((e, c, c)) * (rng.random((e, c, c)) < 0.5)
    mixed = np.einsum("etc,ecd->etd", np.roll(v, 1, axis=1), mixing)
    return np.where(rng.random((e, 1, 1)) < COUPLED_SHARE, mixed, v)


def _units(rng: Rng, v: F64) -> F64:
    """Into somebody's unit: exp of some, noise on some, an offset and a size, floors
    and rounding.
    """
    e, _, c = v.shape
    shape = (e, 1, c)
    v = np.where(rng.random(shape) < 0.1, np.exp(v.clip(-4, 4)), v)
    v = v + (rng.random(shape) < 0.15) * np.exp(rng.uniform(-5, 0, shape)) * rng.standard_normal(
        v.shape
    )
    v = np.where(rng.random(shape) < 0.05, np.maximum(v, 0), v)
    v = (v + rng.choice([0.0, 1.0, 10.0], shape) * rng.standard_normal(shape)) * 10 ** rng.uniform(
        -3, 4, shape
    )
    unit = np.ptp(v, axis=1, keepdims=True) * 10 ** rng.uniform(-3, -1, shape) + 1e-12
    return np.where(rng.random(shape) < 0.2, np.round(v / unit) * unit, v)


def _missing(rng: Rng, v: F64) -> F64:
    """Take away single values or whole rows of some entities."""
    e, t, c = v.shape
    share = np.exp(rng.uniform(np.log(0.01), np.log(0.3), (e, 1, 1))) * (
        rng.random((e, 1, 1)) < MISSING_SHARE
    )
    single = rng.random((e, t, c)) < share
    whole = rng.random((e, t, 1)) < share
    return np.where(np.where(rng.random((e, 1, 1)) < 0.5, single, whole), np.nan, v)
