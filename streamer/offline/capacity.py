"""Throughput of one core: JSON lines of many entities through decoder and detector.

The load is synthetic (slow waves, noise, rare spikes), the code is the production code. Axes: E
entities, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.artifact import ModelSpec
from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.json import JsonDecoder
from streamer.detect.pipeline import Detector
from streamer.event import EventBatch, Fate
from streamer.protocols import Clock, Network
from streamer.settings import DetectSettings

PERIOD_S = 10.0
START_S = 1.7e9
PARTS = 5  # pieces of the measured stretch, for the range
# Fraction of values: some 1,400 spikes an hour among 10,000 entities of 4 channels. Writing an
# alert takes a few milliseconds.
SPIKES = 1e-4


@dataclass(frozen=True, slots=True)
class Load:
    """The size of a load.

    `warm`, `measured`: events of each entity before and during the measurement. `rows`: events of a
    poll.
    """

    entities: int = 10_000
    channels: int = 4
    warm: int = 96
    measured: int = 16
    rows: int = 4096
    profile: str = "full"
    seed: int = 7

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"channel_{i + 1}" for i in range(self.channels))


@dataclass(frozen=True, slots=True)
class Carried:
    """The result of a measurement.

    Milliseconds are those of a full poll, decoding included.
    """

    events: int
    scored: int
    alerts: int
    events_per_s: float
    low: float  # slowest and fastest of PARTS pieces
    high: float
    decode_share: float
    # CPU time divided by wall time; below 1 the machine was shared
    cpu_share: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_p99_ms: float  # the same in CPU time
    bytes_per_entity: float


class LoadRounds:
    """Rounds of one event per entity, each in the order of its times."""

    def __init__(self, entities: int, channels: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._phase = self._rng.uniform(0, 2 * np.pi, (entities, channels))
        self._level = self._rng.lognormal(2, 1, (entities, channels))
        self._jitter = self._rng.uniform(0, PERIOD_S, entities)
        self._keys = tuple(f"machine-{i:06d}" for i in range(entities))
        self._round = 0

    def next(self) -> EventBatch:
        """Return the next event of every entity."""
        rng, shape = self._rng, self._phase.shape
        wave = (
            1
            + 0.2 * np.sin(self._phase + 2 * np.pi * self._round / 60)
            + 0.05 * rng.standard_normal(shape)
        )
        spike = (rng.random(shape) < SPIKES) * rng.standard_normal(shape) * 5
        values = (self._level * (wave + spike)).astype(np.float32)  # (E, C)
        when = START_S + self._round * PERIOD_S + self._jitter
        order = np.argsort(when)
        offset = np.arange(shape[0], dtype=np.int64) + self._round * shape[0]
        self._round += 1
        entity = order[:, None].astype(np.int32)
        return EventBatch(
            "bench", "bench", 0, self._keys, entity, when[order], values[order], offset
        )


def lines_of(batch: EventBatch, names: tuple[str, ...]) -> list[bytes]:
    """Return the batch as JSON lines, as a gateway would send them."""
    template = '{"entity":"%s","time":%.3f,' + ",".join(f'"{name}":%.4f' for name in names) + "}"
    keys = [batch.keys[i] for i in batch.entity[:, 0].tolist()]
    rows = zip(keys, batch.time_s.tolist(), batch.values.tolist(), strict=True)
    return [(template % (key, when, *values)).encode() for key, when, values in rows]


def measure(
    load: Load, scorer: Network, spec: ModelSpec, prior: Mapping[str, Any], clock: Clock, cpu: Clock
) -> Carried:
    """Warm up every entity, then measure decoding and detection of `measured` events each."""
    settings = DetectSettings(
        stream="bench", channels=load.names, max_entities=load.entities, profile=load.profile
    )
    detector, world = (
        Detector(settings, scorer, spec, prior),
        LoadRounds(load.entities, load.channels, load.seed),
    )
    for _ in range(load.warm):
        _process(detector, world.next(), load.rows)
    lines = [line for _ in range(load.measured) for line in lines_of(world.next(), load.names)]
    before = int(detector.fates[Fate.SCORED])
    polls, alerts = _timed(detector, lines, load, clock, cpu)
    return Carried(
        events=len(lines),
        scored=int(detector.fates[Fate.SCORED]) - before,
        alerts=alerts,
        **_rates(polls, load.rows),
        bytes_per_entity=detector.memory_bytes / load.entities,
    )


def _process(detector: Detector, batch: EventBatch, rows: int) -> None:
    for start in range(0, len(batch), rows):
        detector.process(batch.rows(slice(start, start + rows)))


def _timed(
    detector: Detector, lines: list[bytes], load: Load, clock: Clock, cpu: Clock
) -> tuple[NDArray[np.float64], int]:
    """Rows, decoding, wall and CPU seconds of every poll (N, 4), and the number of alerts."""
    decoder = JsonDecoder(RecordFields(load.names, ("entity",), "time", "s"), stream="bench")
    polls, alerts = [], 0
    for start in range(0, len(lines), load.rows):
        piece = lines[start : start + load.rows]
        began, computed = clock(), cpu()
        batch, _ = decoder.decode(piece, np.arange(start, start + len(piece)))
        decoded = clock()
        alerts += len(detector.process(batch).alerts)
        polls.append((len(piece), decoded - began, clock() - began, cpu() - computed))
    return np.array(polls), alerts


def _rates(polls: NDArray[np.float64], rows: int) -> dict[str, float]:
    parts = [
        float(part[:, 0].sum() / part[:, 2].sum())
        for part in np.array_split(polls, min(PARTS, len(polls)))
    ]
    count, decode, whole, computed = polls.sum(axis=0)
    full = polls[polls[:, 0] == rows] if rows in polls[:, 0] else polls
    (p50, p99), cpu_p99 = (
        np.percentile(full[:, 2] * 1e3, [50, 99]),
        np.percentile(full[:, 3] * 1e3, 99),
    )
    return {
        "events_per_s": float(count / whole),
        "low": min(parts),
        "high": max(parts),
        "decode_share": float(decode / whole),
        "cpu_share": float(computed / whole),
        "cpu_p99_ms": float(cpu_p99),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "max_ms": float(full[:, 2].max() * 1e3),
    }
