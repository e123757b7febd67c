"""Logs written by hand for detectors: one channel, named entities, quiet stretches and faults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from streamer.detect.pipeline import Detector, Judged
from streamer.event import Alert, EventBatch, Fate
from tests.detect.conftest import in_pieces, make_detector

START_S = 1.7e9
FAULT = 60.0


class Row(NamedTuple):
    """One record: who, when (seconds after START_S), what."""

    entity: str
    at_s: float
    value: float


def log(rows: Sequence[Row], *, first_offset: int = 0, partition: int = 0) -> EventBatch:
    keys = tuple(dict.fromkeys(row.entity for row in rows))
    entity = np.array([[keys.index(row.entity)] for row in rows], np.int32).reshape(len(rows), 1)
    time_s = np.array([START_S + row.at_s for row in rows])
    values = np.array([[row.value] for row in rows], np.float32).reshape(len(rows), 1)
    return EventBatch(
        "s", "t", partition, keys, entity, time_s, values, first_offset + np.arange(len(rows))
    )


def quiet(
    entity: str, events: int, *, start_s: float = 0.0, gap_s: float = 10.0, seed: int = 0
) -> list[Row]:
    """Noise of mean 0 and deviation 1 at an even pace."""
    values = np.random.default_rng(seed).normal(0, 1, events)
    return [Row(entity, start_s + gap_s * (i + 1), float(value)) for i, value in enumerate(values)]


def fault(entity: str, at_s: float, value: float = FAULT) -> list[Row]:
    return [Row(entity, at_s, value)]


def in_order(*parts: Sequence[Row]) -> list[Row]:
    """Rows of several entities as one log, by time."""
    return sorted((row for part in parts for row in part), key=lambda row: row.at_s)


def simple(backend: str = "baseline", **chosen: Any) -> Detector:
    """A detector of one channel, without a network unless asked for, for which noise is quiet and
    FAULT a fault.
    """
    of_stream: dict[str, Any] = {
        "channels": ("a",),
        "max_entities": 8,
        "profile": "lean",
        "min_evidence": 3.9,
    }
    return make_detector(backend, **(of_stream | chosen))


def run(detector: Detector, rows: Sequence[Row], cut: int = 64, **place: int) -> Judged:
    return in_pieces(detector, log(rows, **place), [cut])


def told(alerts: Sequence[Alert]) -> list[tuple[str, str]]:
    """(entity, event) of every alert."""
    return [(alert.entity, alert.event) for alert in alerts]


def fates(judged: Judged) -> list[Fate]:
    return [Fate(fate) for fate in judged.scores.fate.tolist()]
