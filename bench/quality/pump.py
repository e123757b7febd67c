"""The simulated pump, judged as its operator would: by what he was told, and when.

Axes: none; everything counts streams, that is seeds, at one sampling step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from bench.quality.found import Found, Scope, Table, row_of
from bench.quality.measures import Rated
from bench.quality.run import MODES, judge, say
from bench.quality.synth import false_alarms, subjects_of
from models.suite import LabelledStream, PlantedFault
from models.suite.pump import SHIFTS, daily_load, level_shift, two_days

HOUR_S, DAY_S = 3600.0, 86_400.0
SEEDS, SHIFT_SEEDS = 10, 20
LEARNT_DAYS = 3
FOUND_WITHIN_S = HOUR_S
TOLD = ("opened", "updated")
COLUMNS: dict[str, tuple[str, ...]] = {
    "pump": ("found_of_4", "wear_by_half", "false_ends", "false_alarms", "first_day_alerts"),
    "shift": ("told", "held_to_the_end", "false_ends", "false_alarms"),
    "job": ("alarms_after_day_3", "missed_run_found", "odd_hour_found"),
}
LOWER = ("false_ends", "false_alarms", "first_day_alerts", "alarms_after_day_3")


def streams_of(scope: Scope) -> list[LabelledStream]:
    """All streams, those of ten seeds (two, in a quick look). Jobs take two weeks, so that theirs
    have a row a minute or less; the long form has one with a row every ten seconds.
    """
    steps = tuple(step for step in scope.steps_s if step > 1 or not scope.quick)
    seeds, shifts = (2, 2) if scope.quick else (SEEDS, SHIFT_SEEDS)
    jobs = (60.0,) if scope.quick else (10.0, 60.0, 300.0) if scope.long else (60.0, 300.0)
    found: list[LabelledStream] = []
    for seed in range(min(seeds, scope.limit or seeds)):
        found += two_days(seed, steps, min(steps)) + daily_load(seed, jobs, min(jobs))
    for seed in range(min(shifts, scope.limit or shifts)):
        for sigma in SHIFTS:
            found += level_shift(seed, sigma, steps, min(steps))
    return found


def measure(scope: Scope) -> Found:
    """Figures and tables of the pump, by detector and sampling step."""
    say("pump: simulating")
    streams = streams_of(scope)
    found = Found()
    for name in ("zero_shot", "int8", "baseline"):
        if name in scope.modes:
            said = judge(subjects_of(streams), MODES[name].backend, f"pump {name}")
            rated = [Rated(s, one) for s, one in zip(streams, said, strict=True)]
            _tell(found, name, rated)
    return found


def _tell(found: Found, name: str, rated: Sequence[Rated]) -> None:
    for kind, rate in RATES.items():
        table = found.tables.setdefault(
            f"pump_{kind}", Table(("detector", "what", "step", *COLUMNS[kind]))
        )
        mine = [one for one in rated if one.stream.family.startswith(kind)]
        groups = sorted({(one.stream.family, one.stream.step_s) for one in mine})
        for family, step in sorted(groups, key=lambda group: (len(group[0]), *group)):
            values = rate([o for o in mine if (o.stream.family, o.stream.step_s) == (family, step)])
            table.rows.append(
                (name, *row_of(family, {"step": step} | values, ("step", *COLUMNS[kind])))
            )
            found.add_all(f"pump_{name}_{family}_{step:g}s", values, LOWER)


def told(one: Rated, fault: PlantedFault, late_rows: int = 0) -> int | None:
    """The row at which the operator first heard of a fault; None: never."""
    rows = [
        said.row
        for said in one.verdict.said
        if said.event in TOLD and fault.start <= said.row < fault.stop + late_rows
    ]
    return min(rows, default=None)


def false_ends(one: Rated, spans: Iterable[tuple[int, int]]) -> int:
    """How often a fault that had been told was said to be over while it was not."""
    count = 0
    for start, stop in spans:
        within = [said for said in one.verdict.said if start <= said.row < stop]
        first = min((said.row for said in within if said.event in TOLD), default=stop)
        count += sum(said.event == "resolved" and said.row > first for said in within)
    return count


def rate_two_days(rated: Sequence[Rated]) -> dict[str, float]:
    """Means over the seeds; wear and the trip that ends it are one span for "back to normal"."""
    hits, halves, ends, first_day = [], [], [], []
    for one in rated:
        stuck, cavitation, wear, trip = one.stream.faults
        hits.append(sum(told(one, fault, late_rows=5) is not None for fault in one.stream.faults))
        heard = told(one, wear)
        halves.append(heard is not None and heard <= (wear.start + wear.stop) / 2)
        spans = [(f.start, f.stop) for f in (stuck, cavitation)] + [(wear.start, trip.stop)]
        ends.append(false_ends(one, spans))
        day = one.stream.time_s[0] + DAY_S
        calm = [row for row in one.verdict.opened if one.stream.time_s[row] < day]
        first_day.append(sum(bool(one.quiet[row]) for row in calm))
    return {
        "found_of_4": float(np.mean(hits)),
        "wear_by_half": float(np.mean(halves)),
        "false_ends": float(np.mean(ends)),
        "false_alarms": float(np.mean([false_alarms(one) for one in rated])),
        "first_day_alerts": float(np.mean(first_day)),
    }


def rate_shifts(rated: Sequence[Rated]) -> dict[str, float]:
    """Shares of the seeds in which the shift was told, and never said to be over."""
    heard, held, ends = [], [], []
    for one in rated:
        (fault,) = one.stream.faults
        heard.append(told(one, fault) is not None)
        over = false_ends(one, [(fault.start, fault.stop)])
        ends.append(over)
        held.append(heard[-1] and over == 0)
    return {
        "told": float(np.mean(heard)),
        "held_to_the_end": float(np.mean(held)),
        "false_ends": float(np.mean(ends)),
        "false_alarms": float(np.mean([false_alarms(one) for one in rated])),
    }


def rate_jobs(rated: Sequence[Rated]) -> dict[str, float]:
    """Alarms a stream after the third day, and shares of the seeds in which each fault was told."""
    alarms, missed, odd = [], [], []
    for one in rated:
        clock = one.stream.time_s
        late = [row for row in one.verdict.opened if clock[row] > clock[0] + LEARNT_DAYS * DAY_S]
        alarms.append(sum(bool(one.quiet[row]) for row in late))
        run, other = one.stream.faults
        hour = int(FOUND_WITHIN_S / one.stream.step_s) - (run.stop - run.start)
        missed.append(told(one, run, late_rows=max(hour, 0)) is not None)
        odd.append(told(one, other) is not None)
    return {
        "alarms_after_day_3": float(np.mean(alarms)),
        "missed_run_found": float(np.mean(missed)),
        "odd_hour_found": float(np.mean(odd)),
    }


RATES: dict[str, Callable[[Sequence[Rated]], dict[str, float]]] = {
    "pump": rate_two_days,
    "shift": rate_shifts,
    "job": rate_jobs,
}
