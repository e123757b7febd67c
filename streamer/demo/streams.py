"""The streams of the show: a plant with scheduled faults, card payments, or this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from streamer.config.load import stream_from
from streamer.connect.base.pace import Wait
from streamer.connect.host import HostSource
from streamer.connect.simulate.cards import Cards
from streamer.connect.simulate.plant import Plant
from streamer.connect.simulate.source import SyntheticSource
from streamer.connect.simulate.world import DAY_S, START_S, Fault, World
from streamer.demo import fault_free_world
from streamer.demo.fault_schedule import Machines, grace_s, programme
from streamer.demo.history_source import HistorySource
from streamer.protocols import Clock, Source
from streamer.settings import DetectSettings

# seconds of the plant's time per second of the viewer's: a heartbeat of 6 s comes 20 times a second
SPEED = 120.0
MACHINES, HEARTBEAT_S = 12, (5.0, 7.0)
HISTORY_S = 9000.0  # about 1,500 heartbeats of every machine, without faults
LIVE_AT_S = START_S + 2 * DAY_S + 14 * 3600.0  # a Wednesday, 14:00
# Payments are rare: their clock runs 720 times faster still, one day per second.
CARDS_SPEEDUP = DAY_S / SPEED
CUSTOMERS, PAYMENTS_A_DAY, HISTORY_DAYS, FRAUDS_A_DAY = 40, (2.0, 6.0), 40, 0.2
CARDS_GRACE_S = DAY_S
HOST_EVERY_S = 0.25
# rows per chunk of history: the rarer stream must not delay the plant
PLANT_ROWS, CARDS_ROWS = (2048, 256)


@dataclass(frozen=True, slots=True)
class Act:
    """One stream of the show.

    Its source belongs to one reader, so it cannot be opened twice.
    """

    name: str
    source: Source
    settings: DetectSettings
    keys: int
    shown: tuple[str, ...]  # entities that a view draws, in its order; () if it is not drawn
    pace: float  # event seconds per second of the viewer's clock
    live_start_s: float
    planned: tuple[Fault, ...]  # known before the show
    faults: Callable[[], Sequence[Fault]]  # begun so far
    grace: Callable[[Fault], float]
    history: str  # the history that it learns from, in words; "" if there is none
    is_live: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class PlantPace:
    """The speed of the plant's time, and its clock; `wait` None sleeps."""

    speed: float = SPEED
    clock: Clock = time.monotonic
    wait: Wait | None = None


def plant_act(seed: int, pace: PlantPace, live_seconds: float) -> Act:
    """Twelve machines with four sensors, and the programme's faults.

    The seed draws machines and channels of the faults.
    """
    sketch = _plant(seed, ())
    interval_s = dict(zip(sketch.names, sketch.interval_s.tolist(), strict=True))
    planned = programme(
        Machines(sketch.names, list(interval_s.values()), pace.speed), LIVE_AT_S, live_seconds, seed
    )
    silences = [fault for fault in planned if fault.kind == fault_free_world.KIND]
    world = fault_free_world.SilencedWorld(
        _plant(seed, [fault for fault in planned if fault.kind != fault_free_world.KIND]), silences
    )
    source = _with_history(world, PLANT_ROWS, LIVE_AT_S, pace.speed, pace)
    alerts = {"budget": "5/day", "expected_entities": MACHINES}
    settings = _settings("plant", world, alerts, {"max_entities": 16, "silence": True})
    return Act(
        "plant",
        source,
        settings,
        1,
        sketch.names,
        pace.speed,
        LIVE_AT_S,
        planned,
        lambda: world.faults,
        lambda fault: grace_s(interval_s[fault.entity]),
        f"{HISTORY_S / 3600:g} hours",
        lambda: source.live,
    )


def _plant(seed: int, faults: Sequence[Fault]) -> Plant:
    return Plant(
        MACHINES,
        seed=seed,
        interval_s=HEARTBEAT_S,
        faults=faults,
        quiet_s=HISTORY_S,
        start_s=LIVE_AT_S - HISTORY_S,
    )


def cards_act(seed: int, pace: PlantPace, ready: Callable[[], bool]) -> Act:
    """Forty customers at ten terminals, judged by both keys, with the world's frauds."""
    speed, live_at_s = pace.speed * CARDS_SPEEDUP, START_S + HISTORY_DAYS * DAY_S
    world = Cards(
        CUSTOMERS,
        seed=seed,
        payments_a_day=PAYMENTS_A_DAY,
        per_day=FRAUDS_A_DAY,
        quiet_s=HISTORY_DAYS * DAY_S,
    )
    source = _with_history(world, CARDS_ROWS, live_at_s, speed, pace, ready)
    alerts = {"budget": "0.5/day", "expected_entities": CUSTOMERS}
    # A minimum that an operator would set: payments below three times the expected one are ignored.
    settings = _settings(
        "cards", world, alerts, {"max_entities": 64, "direction": "above", "min_relative": 2.0}
    )
    return Act(
        "cards",
        source,
        settings,
        len(world.keys),
        (),
        speed,
        live_at_s,
        (),
        lambda: world.faults,
        lambda fault: CARDS_GRACE_S,
        f"{HISTORY_DAYS} days",
        lambda: source.live,
    )


def _with_history(
    world: World,
    rows: int,
    live_at_s: float,
    speed: float,
    pace: PlantPace,
    ready: Callable[[], bool] = lambda: True,
) -> HistorySource:
    source = SyntheticSource(world=world, rows=rows)
    return HistorySource(source, live_at_s, speed, ready=ready, clock=pace.clock, wait=pace.wait)


def host_act() -> Act:
    """Metrics of this machine, four times a second.

    Faults are unknown, so there is no referee.
    """
    source = HostSource(HOST_EVERY_S)
    settings = _settings("host", source, {"budget": "24/day"}, {"max_entities": 1})
    return Act(
        "host",
        source,
        settings,
        1,
        (),
        1.0,
        float("-inf"),
        (),
        tuple,
        lambda fault: 0.0,
        "",
        lambda: True,
    )


class Measured(Protocol):
    """Anything with channels and units."""

    channels: tuple[str, ...]
    units: tuple[str, ...]


def _settings(
    name: str, of: Measured, alerts: dict[str, Any], detect: dict[str, Any]
) -> DetectSettings:
    """Default settings of a configured stream, with the show's changes."""
    fields = {
        "units": {
            channel: unit for channel, unit in zip(of.channels, of.units, strict=True) if unit
        }
    }
    body = {
        "name": name,
        "source": {"kind": "synthetic"},
        "alerts": alerts,
        "detect": detect,
        "fields": fields,
    }
    return stream_from(body).detect_settings(of.channels)
