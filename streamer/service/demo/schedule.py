"""What goes wrong when: a programme of faults in seconds of the viewer's clock, laid over the plant's event time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from streamer.connect.plant import CHANNELS as PLANT_CHANNELS
from streamer.connect.plant import STRIKES
from streamer.connect.world import Fault

# (seconds after the live part begins, kind, length in heartbeats). Every kind, the rhythm twice: the first fault well
# before second 15 of the show and the rhythm's first well before second 40, even after a slow start.
PROGRAMME = (
    (1.0, "shift", 80), (4.0, "spike", 2), (8.0, "rhythm", 80), (14.0, "noise", 70), (18.0, "shift", 80),
    (21.0, "stuck", 120), (25.0, "rhythm", 80), (29.0, "drift", 150), (34.0, "spike", 2), (38.0, "noise", 70),
)  # fmt: skip
ROUND_S = 44.0  # longer shows repeat the programme on other machines
GRACE_BEATS = 20.0  # an alert may open so many heartbeats after its fault has ended


@dataclass(frozen=True, slots=True)
class Machines:
    """The plant as the programme sees it: names, heartbeats in seconds of event time, and the clock's speed."""

    names: Sequence[str]
    interval_s: Sequence[float]
    speed: float


def programme(machines: Machines, live_start_s: float, live_seconds: float, seed: int) -> tuple[Fault, ...]:
    """Faults in order of their start, all over (with their grace) within `live_seconds` of the viewer's clock."""
    rng = np.random.default_rng([seed, 7])
    cast = _cast(machines, live_seconds, rng)
    placed = (_placed(item, machine, machines, live_start_s, rng) for item, machine in cast)
    ends_by_s = live_start_s + live_seconds * machines.speed
    grace = {name: grace_s(beat) for name, beat in zip(machines.names, machines.interval_s, strict=True)}
    return tuple(fault for fault in placed if fault.end_s + grace[fault.entity] <= ends_by_s)


def grace_s(interval_s: float) -> float:
    """Seconds of event time after the end of a fault in which an alert still counts as its own."""
    return GRACE_BEATS * interval_s


def _cast(machines: Machines, live_seconds: float, rng: Generator) -> Iterator[tuple[tuple[float, str, int], int]]:
    """Each item of as many rounds as fit, and a machine: no machine twice before all had their turn."""
    turn = 0
    order = rng.permutation(len(machines.names))
    for start in np.arange(0.0, live_seconds, ROUND_S).tolist():
        for at, kind, beats in PROGRAMME:
            yield (start + at, kind, beats), int(order[turn % len(order)])
            turn += 1


def _placed(
    item: tuple[float, str, int], machine: int, machines: Machines, live_start_s: float, rng: Generator
) -> Fault:
    at, kind, beats = item
    start_s = live_start_s + at * machines.speed
    channels = STRIKES.get(kind)
    channel = None if channels is None else int(rng.choice(channels))
    name = None if channel is None else PLANT_CHANNELS[channel]
    return Fault(kind, machines.names[machine], start_s, start_s + beats * machines.interval_s[machine], name)
