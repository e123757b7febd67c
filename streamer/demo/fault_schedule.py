"""The fault schedule of the show: seconds of the viewer's clock mapped to event time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from streamer.connect.simulate.plant_faults import STRIKES
from streamer.connect.simulate.plant_signals import CHANNELS
from streamer.connect.simulate.world import Fault
from streamer.demo.fault_free_world import KIND as SILENT

# (seconds after the live part begins, kind, length in heartbeats). It has every kind, and two
# faults of the rhythm. The first fault comes well before second 15 of the show and the first of the
# rhythm well before second 40, even after a slow start.
PROGRAMME = (
    (1.0, "shift", 80),
    (4.0, "spike", 2),
    (8.0, SILENT, 50),
    (12.0, "noise", 70),
    (16.0, "rhythm", 80),
    (21.0, "stuck", 120),
    (25.0, "shift", 80),
    (28.0, "drift", 150),
    (31.0, SILENT, 50),
    (36.0, "spike", 2),
    (39.0, "noise", 70),
)
ROUND_S = 50.0  # longer shows repeat the programme on other machines
RHYTHM_KINDS = ("rhythm", SILENT, "odd_hour")  # all values are normal, only the times are not
GRACE_BEATS = 20.0  # heartbeats after the end of a fault within which an alert still belongs to it
SILENT_DETAIL = "no heartbeat at all"


@dataclass(frozen=True, slots=True)
class Machines:
    """The plant's machines: names, heartbeats in seconds of event time, speed of the clock."""

    names: Sequence[str]
    interval_s: Sequence[float]
    speed: float


@dataclass(frozen=True, slots=True)
class Item:
    """One fault of the programme: when, what, how long, and which machine."""

    at_s: float  # seconds of the viewer's clock after the live part begins
    kind: str
    beats: int
    machine: int


def programme(
    machines: Machines, live_start_s: float, live_seconds: float, seed: int
) -> tuple[Fault, ...]:
    """Faults ordered by start; all end, with their grace, within `live_seconds`.

    `live_seconds` is on the viewer's clock.
    """
    rng = np.random.default_rng([seed, 7])
    items = _cast(len(machines.names), live_seconds, rng)
    placed = [(item, _placed(item, machines, live_start_s, rng)) for item in items]
    ends_by_s = live_start_s + live_seconds * machines.speed
    return tuple(
        fault
        for item, fault in placed
        if fault.end_s + grace_s(machines.interval_s[item.machine]) <= ends_by_s
    )


def grace_s(interval_s: float) -> float:
    """Seconds of event time after a fault in which an alert still belongs to it."""
    return GRACE_BEATS * interval_s


def _cast(machines: int, live_seconds: float, rng: Generator) -> Iterator[Item]:
    """Assign faults to machines, for all rounds that begin in time.

    Every machine gets one fault before any gets two.
    """
    turn, order = 0, rng.permutation(machines)
    for start_s in np.arange(0.0, live_seconds, ROUND_S).tolist():
        for at_s, kind, beats in PROGRAMME:
            yield Item(start_s + at_s, kind, beats, int(order[turn % machines]))
            turn += 1


def _placed(item: Item, machines: Machines, live_start_s: float, rng: Generator) -> Fault:
    start_s = live_start_s + item.at_s * machines.speed
    end_s = start_s + item.beats * machines.interval_s[item.machine]
    channel = CHANNELS[int(rng.choice(STRIKES[item.kind]))] if item.kind in STRIKES else None
    detail = SILENT_DETAIL if item.kind == SILENT else ""
    return Fault(item.kind, machines.names[item.machine], start_s, end_s, channel, detail=detail)
