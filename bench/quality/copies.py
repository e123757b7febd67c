"""The same streams in other units, at other rates, under other names: what the figures lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.quality.found import Found, Scope, Table
from bench.quality.measures import Rated, event_recall, mean_vus
from bench.quality.run import SubjectScores, judge, limited
from bench.quality.synth import quick_recipes, subjects_of
from models import suite
from models.suite import LabelledStream

COPIED_STREAMS = 24


def measure_copies(scope: Scope) -> Found:
    """What the figures lose on copies of the same streams, and what a name changes."""
    recipes = [r for r in quick_recipes(suite.recipes("choose")) if r.family != "shared_causes"]
    streams = [suite.build(r) for r in limited(recipes, scope.limit or COPIED_STREAMS)]
    found, table = Found(), Table(("copy", "recall", "vus_pr"))
    plain = [Rated(s, v) for s, v in zip(streams, _judged(streams, "as it is"), strict=True)]
    before = event_recall(plain, "alarm").share, mean_vus(plain)
    table.rows.append(("as it is", *before))
    for name, copy in COPIES.items():
        copies = [copy(one) for one in streams]
        rated = [Rated(s, v) for s, v in zip(copies, _judged(copies, name), strict=True)]
        after = event_recall(rated, "alarm").share, mean_vus(rated)
        table.rows.append((name, *after))
        key = name.replace(" ", "_")
        found.add(f"copies_{key}_recall_gain", after[0] - before[0])
        found.add(f"copies_{key}_vus_gain", after[1] - before[1])
    found.tables["copies"] = table
    largest, rows = name_matters(streams, plain)
    found.add("copies_renamed_score_difference", largest, "of the 99 % level", "lower")
    found.add("copies_renamed_alarm_rows", rows, "share that differ", "lower")
    return found


def _judged(streams: Sequence[LabelledStream], note: str) -> list[SubjectScores]:
    return judge(subjects_of(streams), "auto", f"copies, {note}")


def affine(one: LabelledStream) -> LabelledStream:
    """Another unit."""
    return replace(one, values=(7.3 * one.values - 40).astype(np.float32))


def noisy(one: LabelledStream) -> LabelledStream:
    """One percent of the deviation as noise."""
    rng = np.random.default_rng(5)
    size = 0.01 * one.values.std(axis=0)
    values = one.values + size * rng.standard_normal(one.values.shape)
    return replace(one, values=values.astype(np.float32))


def warped(one: LabelledStream) -> LabelledStream:
    """All gaps 2.7 times as long."""
    first = one.time_s[0]
    return replace(one, time_s=first + 2.7 * (one.time_s - first))


def every_second(one: LabelledStream) -> LabelledStream:
    """Every second row; a fault that lies in a row left out is none."""
    halved = [replace(f, start=-(-f.start // 2), stop=-(-f.stop // 2)) for f in one.faults]
    faults = tuple(f for f in halved if f.start < f.stop)
    halves = one.time_s[::2], one.values[::2]
    return replace(
        one, time_s=halves[0], values=halves[1], taught=one.taught // 2, faults=faults, harmless=()
    )


COPIES = {
    "affine": affine,
    "every second row": every_second,
    "1 percent noise": noisy,
    "gaps times 2.7": warped,
}


def name_matters(streams: Sequence[LabelledStream], plain: Sequence[Rated]) -> tuple[float, float]:
    """What another name changes: the largest difference of scores, in units of the stream's own
    99 % level, and the share of alarm rows that differ.
    """
    renamed = [replace(one, name=f"other name of {one.name}") for one in streams]
    largest, differ, fired = 0.0, 0, 0
    for one, other in zip(plain, _judged(renamed, "renamed"), strict=True):
        level = max(float(np.quantile(one.verdict.score, 0.99)), 1e-6)
        largest = max(largest, float(np.abs(one.verdict.score - other.score).max()) / level)
        here, there = one.verdict.alarm >= 1, other.alarm >= 1
        differ += int(np.count_nonzero(here != there))
        fired += int(np.count_nonzero(here | there))
    return largest, differ / max(fired, 1)
