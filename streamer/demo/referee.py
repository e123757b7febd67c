"""The referee: which alert belongs to which fault.

An opened alert belongs to a fault if it is about the fault's entity and opens between the fault's
start and its end plus a grace. It also belongs if the event that opened it is one of the fault's
own (a skimmed terminal may be seen at a card). Every other alert of the live part is a false alarm.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from streamer.connect.simulate.world import Fault
from streamer.demo.fault_schedule import RHYTHM_KINDS
from streamer.demo.recording import Heard, Notebook
from streamer.event import Alert
from streamer.timefmt import seconds

# The auxiliary stream detected a fault of the rhythm if the rhythm carries more of the score than
# all values together.
BY_RHYTHM = 0.5
Grace = Callable[[Fault], float]


@dataclass(frozen=True, slots=True)
class Ruling:
    """One fault, its first alert, and the delay in events of its entity."""

    fault: Fault
    heard: Heard | None
    delay_events: int | None
    over: bool  # its grace has passed: a fault not caught by then is missed

    @property
    def caught(self) -> bool:
        return self.heard is not None

    @property
    def missed(self) -> bool:
        return self.heard is None and self.over

    @property
    def by_rhythm(self) -> bool:
        """Whether a fault of the rhythm was caught mainly by the rhythm's part of the score."""
        return (
            self.fault.kind in RHYTHM_KINDS
            and self.heard is not None
            and rhythm_share(self.heard.alert) > BY_RHYTHM
        )


@dataclass(frozen=True, slots=True)
class Rulings:
    """The rulings on one stream's faults, and the alerts that belong to none."""

    rulings: tuple[Ruling, ...]
    false_alarms: tuple[Heard, ...]

    @property
    def caught(self) -> int:
        return sum(ruling.caught for ruling in self.rulings)


def rule(
    faults: Sequence[Fault],
    heard: Sequence[Heard],
    notebook: Notebook,
    grace: Grace,
    live_start_s: float,
) -> Rulings:
    """Judge all faults that have begun in the events judged so far."""
    begun = [fault for fault in faults if fault.start_s <= notebook.newest_s]
    opened = [
        one for one in heard if one.alert.event == "opened" and time_of(one.alert) >= live_start_s
    ]
    claims = [
        [belongs(one.alert, fault, grace(fault), notebook) for one in opened] for fault in begun
    ]
    rulings = [
        _ruling(
            fault,
            [one for one, mine in zip(opened, row, strict=True) if mine],
            notebook,
            grace(fault),
        )
        for fault, row in zip(begun, claims, strict=True)
    ]
    claimed = [any(row[i] for row in claims) for i in range(len(opened))]
    return Rulings(
        tuple(rulings), tuple(one for one, mine in zip(opened, claimed, strict=True) if not mine)
    )


def belongs(alert: Alert, fault: Fault, grace_s: float, notebook: Notebook) -> bool:
    """Whether the alert belongs to the fault (rule in the module docstring)."""
    opened_s = time_of(alert)
    if not fault.start_s - 1e-3 <= opened_s <= fault.end_s + grace_s:
        return False
    if alert.entity == fault.entity:
        return True
    offset = opening_offset(alert)
    return (
        offset is not None
        and opened_s <= fault.end_s
        and fault.entity in notebook.entities_at(offset)
    )


def _ruling(fault: Fault, mine: Sequence[Heard], notebook: Notebook, grace_s: float) -> Ruling:
    over = notebook.newest_s > fault.end_s + grace_s
    if not mine:
        return Ruling(fault, None, None, over)
    first = min(mine, key=lambda one: time_of(one.alert))
    return Ruling(fault, first, _delay(fault, first.alert, notebook), over)


def _delay(fault: Fault, alert: Alert, notebook: Notebook) -> int | None:
    """Events of the entity from the fault's first to the alert's; None if silence opened it."""
    offset = opening_offset(alert)
    if offset is None:
        return None
    offsets = notebook.offsets_of(fault.entity, fault.key, fault.start_s, time_of(alert) + 1e-3)
    return max(int(np.searchsorted(offsets, offset, side="right")), 1)


def rhythm_share(alert: Alert) -> float:
    return alert.rhythm.share if alert.rhythm else 0.0


def opening_offset(alert: Alert) -> int | None:
    """Offset of the event that opened the alert; None if a silence opened it."""
    return alert.window.last_offset if alert.window else None


def time_of(alert: Alert) -> float:
    """Event time at which the alert was raised."""
    return seconds(alert.detected_at)


def median_delay(rulings: Sequence[Ruling]) -> float | None:
    """Median delay of all caught faults, in events of the entity."""
    delays = [ruling.delay_events for ruling in rulings if ruling.delay_events is not None]
    return float(statistics.median(delays)) if delays else None
