"""Labelled streams put together: ingredients, faults in their places, and what arrives of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.suite.families import FAMILIES, Family
from models.suite.faults import FAULT_KINDS, Draft, Span, spread
from models.suite.ingredients import Rng, Timeline
from models.suite.stream import PARTS, HarmlessChange, LabelledStream, Parameters, PlantedFault
from models.synth.rhythms import EPOCH_2024_S
from streamer.detect.network.features import DAY_S
from streamer.event import F64, I64

SEEDS = {"choose": 7001, "confirm": 9002}
TAUGHT_SHARE, JOB_TAUGHT_SHARE = 0.35, 0.5
ROWS = {1.0: 18_000, 10.0: 8_640, 60.0: 10_080, 300.0: 4_032}  # hours, a day, a week, two weeks
JOB_ROWS = {1.0: 345_600, 10.0: 43_200, 60.0: 17_280, 300.0: 6_048}  # several days at each step
LONG_STEPS_S = (10.0, 1.0)  # of daily jobs
EVENT_ROWS = 4_000
LOST_SHARE, AGEING_SHARE = 0.5, 0.15


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes one stream; the same recipe gives the same stream."""

    part: str
    family: str
    step_s: float
    index: int  # of all streams of the part
    turn: int = 0  # of the streams of its family
    quiet: bool = False

    @property
    def name(self) -> str:
        kind = "quiet" if self.quiet else "fault"
        return f"{self.part}-{self.index:03d}-{self.family}-{self.step_s:g}s-{kind}"


def recipes(part: str, *, long: bool = False) -> list[Recipe]:
    """All streams of a part; `long` adds those that take minutes: daily jobs with a row
    every second or ten.
    """
    plan = [turn for name in FAMILIES for turn in _turns(name)]
    quiet = [(name, f.steps_s[i % len(f.steps_s)]) for i, (name, f) in enumerate(FAMILIES.items())]
    found = [Recipe(part, name, step, i, turn) for i, (name, step, turn) in enumerate(plan)]
    found += [
        Recipe(part, name, float(step), len(plan) + i, quiet=True)
        for i, (name, step) in enumerate(quiet)
    ]
    if long:
        found += [Recipe(part, "daily_job", s, len(found) + i) for i, s in enumerate(LONG_STEPS_S)]
    return found


def _turns(family: str) -> list[tuple[str, float, int]]:
    """The streams of a family that have faults: its name, the step and a number."""
    steps = [float(step) for step in FAMILIES[family].steps_s] * FAMILIES[family].copies
    return [(family, step, turn) for turn, step in enumerate(steps)]


def build(recipe: Recipe, *, faults: bool = True) -> LabelledStream:
    """The stream of a recipe; without its faults it is the same up to the first of them."""
    seed = SEEDS[recipe.part]
    rng, planting = (np.random.default_rng([seed, recipe.index, part]) for part in (0, 1))
    draw = Parameters(rng, recipe.part)
    family = FAMILIES[recipe.family]
    time_s = _clock(rng, draw, recipe, family)
    draft = _draft(Timeline(rng, draw, time_s, recipe.step_s), family)
    found, lost = [], _lost_rows(rng, draft, recipe)
    job = recipe.family == "daily_job"
    taught = int((JOB_TAUGHT_SHARE if job else TAUGHT_SHARE) * len(time_s))
    if faults and not recipe.quiet:
        later = Parameters(planting, recipe.part)
        found = _planted(draft, later, planting, family, recipe, taught)
        draw.drawn.update({f"fault_{name}": value for name, value in later.drawn.items()})
    return _finished(recipe, draft, found, lost, taught)


def suite(part: str, *, long: bool = False) -> list[LabelledStream]:
    """All labelled streams of a part."""
    return [build(recipe) for recipe in recipes(part, long=long)]


# --- clocks ---


def _clock(rng: Rng, draw: Parameters, recipe: Recipe, family: Family) -> F64:
    start = EPOCH_2024_S + 86_400 * PARTS.index(recipe.part) + draw.between("start_s", 0, DAY_S)
    if family.clock == "events":
        return _activity(rng, draw, start, recipe.step_s)
    rows = JOB_ROWS if recipe.family == "daily_job" else ROWS
    beats = recipe.step_s * np.arange(rows[recipe.step_s], dtype=np.float64)
    share = 0.05 if family.clock == "beat" else 0.01
    jitter = draw.between("jitter", 0, share) * recipe.step_s
    return np.asarray(start + beats + jitter * rng.standard_normal(len(beats)).clip(-3, 3))


def _activity(rng: Rng, draw: Parameters, start: float, mean_s: float) -> F64:
    """Independent events, by night fewer than by day."""
    swing = draw.between("day_swing", 0.1, 0.8)
    times, now = np.empty(EVENT_ROWS), start
    for row, gap in enumerate(rng.exponential(mean_s, EVENT_ROWS)):
        now += gap / (1 - swing * np.cos(2 * np.pi * now / DAY_S))
        times[row] = now
    return times


# --- drafts ---


def _draft(timeline: Timeline, family: Family) -> Draft:
    made = family.make(timeline)
    draft = Draft(timeline, made, timeline.time_s.copy(), spread(made, timeline.rows))
    if timeline.draw.between("ageing", 0, 1) < AGEING_SHARE:
        # Less than a unit from the first row to the last: no fault.
        made.level += 0.8 * draft.unit * np.linspace(0, 1, timeline.rows)[:, None]
    return draft


def _lost_rows(rng: Rng, draft: Draft, recipe: Recipe) -> list[int]:
    """Single rows that do not arrive, in half of the regular streams."""
    if FAMILIES[recipe.family].clock == "events" or rng.random() >= LOST_SHARE:
        return []
    share = np.array([0.1, 0.22, 0.31, 0.37, 0.55])  # the last two come when all is known
    lost = (share * draft.timeline.rows).astype(int) + rng.integers(0, 50, len(share))
    draft.keep[lost] = False
    return [int(row) for row in lost]


def _planted(
    draft: Draft, draw: Parameters, rng: Rng, family: Family, recipe: Recipe, taught: int
) -> list[PlantedFault]:
    """One fault in each slot; the kinds of a family take turns over its streams."""
    slots = 2 if recipe.step_s == 1 or recipe.family == "daily_job" else 3
    room = (draft.timeline.rows - taught) // slots
    found = []
    for slot in range(slots):
        name = family.kinds[(recipe.turn * slots + slot) % len(family.kinds)]
        first = taught + slot * room
        last = slot == slots - 1
        span = _span(draft, draw, rng, name, (first, first + room), may_last=last)
        found.append(_plant(draft, draw, rng, name, span))
    return found


def _span(
    draft: Draft, draw: Parameters, rng: Rng, name: str, slot: Span, *, may_last: bool
) -> Span:
    """Where a fault lies in its slot. Most are over in half of the room; a job's has its length."""
    first, end = slot
    if name in ("missed_run", "odd_hour"):
        return _run(draft, rng, name, slot)
    kind, room = FAULT_KINDS[name], end - first
    most = min(kind.most or room // 2, room // 2)
    least = min(kind.least, most)
    length = round(draw.log_between(f"{name}_rows", least, most + 0.99))
    start = first + int(rng.integers(room // 20, room // 3))
    if kind.may_last and may_last and draw.between("to_the_end", 0, 1) < 0.5:
        return start, draft.timeline.rows
    return start, min(start + max(length, 1), end)


def _run(draft: Draft, rng: Rng, name: str, slot: Span) -> Span:
    """A scheduled run in the slot; for the same load at another hour, the middle between two."""
    inside = [run for run in draft.made.runs if slot[0] <= run[0] and run[1] < slot[1]]
    away = round(draft.timeline.day_rows * float(rng.uniform(0.3, 0.6)))
    odd = [(start + by, stop + by) for start, stop in inside for by in (away, -away)]
    odd = [span for span in odd if slot[0] <= span[0] and span[1] < slot[1]]
    spans = inside if name == "missed_run" else odd
    return spans[int(rng.integers(len(spans)))]


def _plant(draft: Draft, draw: Parameters, rng: Rng, name: str, span: Span) -> PlantedFault:
    kind, channels = FAULT_KINDS[name], draft.made.level.shape[1]
    many = channels if kind.everywhere else max(1, min(int(rng.integers(1, 4)), channels // 2))
    blamed = sorted(int(c) for c in rng.permutation(channels)[:many])
    strength = kind.plant(draft, draw, span, blamed)
    return PlantedFault(name, *span, strength, () if kind.rhythm else tuple(blamed))


# --- what arrives ---


def _finished(
    recipe: Recipe, draft: Draft, found: list[PlantedFault], lost: list[int], taught: int
) -> LabelledStream:
    arrived: I64 = np.cumsum(draft.keep) - draft.keep  # number of each row among those that arrive
    total = int(draft.keep.sum())
    faults = [_moved(fault, arrived, total) for fault in found]
    marks = [
        (kind, *_arrived((start, stop), arrived, total))
        for kind, start, stop in draft.made.harmless
    ]
    marks += [("lost row", *_arrived((row, row + 2), arrived, total)) for row in lost[-2:]]
    stream = LabelledStream(
        recipe.name,
        recipe.part,
        recipe.family,
        recipe.step_s,
        draft.time_s[draft.keep],
        draft.values()[draft.keep].astype(np.float32),
        int(arrived[taught]),
        tuple(faults),
        parameters=dict(draft.timeline.draw.drawn),
    )
    quiet = stream.quiet
    calm = [HarmlessChange(*mark) for mark in marks if quiet[mark[1] : mark[2]].all()]
    return replace(stream, harmless=tuple(calm))


def _arrived(span: Span, arrived: I64, total: int) -> Span:
    start = min(int(arrived[span[0]]), total - 1)
    stop = int(arrived[span[1]]) if span[1] < len(arrived) else total
    return start, max(stop, start + 1)


def _moved(fault: PlantedFault, arrived: I64, total: int) -> PlantedFault:
    """The fault by the rows that arrive. What is missing is told by the row after it."""
    start, stop = _arrived((fault.start, fault.stop), arrived, total)
    late = fault.kind in ("silence", "slowed")
    return replace(fault, start=start, stop=min(stop + late, total))
