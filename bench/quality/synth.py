"""The labelled suite through the production pipeline, and beside it what costs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.quality.found import BUDGET_PER_DAY, Found, Scope, Table, row_of
from bench.quality.measures import Rated, Recall, at_peak, culprits, event_recall, mean_vus
from bench.quality.rivals import RIVALS, judged_by
from bench.quality.run import MODES, Subject, SubjectScores, judge, limited, say
from models import suite
from models.suite import FAULT_KINDS, LabelledStream, Recipe
from streamer.event import Bool

RHYTHM_KINDS = {name for name, kind in FAULT_KINDS.items() if kind.rhythm}
VALUE_KINDS = FAULT_KINDS.keys() - RHYTHM_KINDS
DAY_S = 86_400.0
# A quick look takes streams of at most about 10,000 rows, and of many channels the shortest.
QUICK_ROWS, QUICK_STREAMS = 10_100, 45
LOWER = ("false_per_10k", "alerts_a_day", "over_budget", "harmless_alarmed", "delay_share")
COLUMNS = (
    "recall",
    "score_recall",
    "recall_value",
    "recall_rhythm",
    "vus_pr",
    "vus_value",
    "vus_rhythm",
    "found_at_line",
    "false_per_10k",
    "alerts_a_day",
    "over_budget",
    "harmless_alarmed",
    "delay_share",
    "culprit_top3",
    "culprit_hit100",
)


def chosen(part: str, scope: Scope) -> list[Recipe]:
    """The streams of a part that are measured."""
    everything = suite.recipes(part, long=scope.long)
    return limited(quick_recipes(everything) if scope.quick else everything, scope.limit)


def quick_recipes(recipes: Sequence[Recipe]) -> list[Recipe]:
    short = [r for r in recipes if r.step_s != 1 and r.family != "daily_job"]
    few = [r for r in short if r.family != "shared_causes"]
    many = [r for r in short if r.family == "shared_causes" and r.step_s == 300]
    jobs = [r for r in recipes if r.family == "daily_job" and r.step_s == 300]
    return limited(few, QUICK_STREAMS) + jobs + many


def subjects_of(streams: Sequence[LabelledStream]) -> list[Subject]:
    return [Subject(one.name, one.values, one.time_s) for one in streams]


def measure(part: str, scope: Scope) -> Found:
    """Figures of one part of the suite, `choose` or `confirm`."""
    say(f"synth {part}: making the streams")
    streams = [suite.build(recipe) for recipe in chosen(part, scope)]
    found, table = Found(), Table(("detector", *COLUMNS))
    for name, rated in verdicts(streams, part, scope).items():
        values, recall = figures_of(rated)
        table.rows.append(row_of(name, values, COLUMNS))
        found.add_all(f"synth_{part}_{name}", values, LOWER)
        found.detail[f"{part}_{name}"] = by_kind(recall)
        say(f"synth {part} {name}: recall {recall.share:.3f}, VUS-PR {values['vus_pr']:.3f}")
    found.tables[f"synth_{part}"] = table
    found.tables[f"synth_{part}_kinds"] = _kinds_table(found, part)
    return found


def verdicts(streams: Sequence[LabelledStream], part: str, scope: Scope) -> dict[str, list[Rated]]:
    """By detector, each stream with what was said about it."""
    subjects = subjects_of(streams)
    found: dict[str, list[SubjectScores]] = {}
    for name in ("zero_shot", "int8", "baseline"):
        if name in scope.modes:
            found[name] = judge(subjects, MODES[name].backend, f"synth {part} {name}")
            if name == "zero_shot" and "fitted" in scope.modes:
                # Rows that only teach raise nothing, and are learnt from all the same.
                found["fitted"] = [
                    silenced(one, s.taught) for one, s in zip(found[name], streams, strict=True)
                ]
    for name in () if scope.quick else RIVALS:
        found[name] = judged_by(name, subjects)
    return {
        name: [Rated(s, one) for s, one in zip(streams, said, strict=True)]
        for name, said in found.items()
    }


def silenced(one: SubjectScores, taught: int) -> SubjectScores:
    """The same with the first rows only taught, as `--fit-rows` has it."""
    late = np.arange(len(one.score)) >= taught
    return SubjectScores(
        np.where(late, one.score, 0).astype(np.float32),
        np.where(late, one.alarm, 0).astype(np.float32),
        one.parts,
        one.judged & late,
        [said for said in one.said if said.row >= taught],
    )


def figures_of(rated: Sequence[Rated]) -> tuple[dict[str, float], Recall]:
    """All measures of one detector, and what it found at one false alarm in 10,000 events."""
    recall, by_score = (event_recall(rated, column) for column in ("alarm", "score"))
    shipped = event_recall(rated, "alarm", line=1.0)
    values = {
        "recall": recall.share,
        "score_recall": by_score.share,
        "recall_value": recall.of(set(VALUE_KINDS)),
        "recall_rhythm": recall.of(RHYTHM_KINDS),
        "vus_pr": mean_vus(rated),
        "vus_value": mean_vus(rated, set(VALUE_KINDS)),
        "vus_rhythm": mean_vus(rated, RHYTHM_KINDS),
    }
    if any(one.verdict.parts.any() for one in rated):  # a detector that decides by itself
        values |= {"found_at_line": shipped.share} | _at_the_line(rated)
        values["culprit_top3"], values["culprit_hit100"] = _blamed(rated)
    return values, recall


def _at_the_line(rated: Sequence[Rated]) -> dict[str, float]:
    false = sum(false_alarms(one) for one in rated)
    quiet = sum(int(np.count_nonzero(one.quiet)) for one in rated)
    alerts = [(len(one.verdict.opened), days_of(one)) for one in rated]
    harmless = [
        bool((one.verdict.alarm[change.start : change.stop] >= 1).any())
        for one in rated
        for change in one.stream.harmless
        if one.verdict.judged[change.start : change.stop].all()
    ]
    delays = [d for one in rated for d in _delays(one)]
    return {
        "false_per_10k": 1e4 * false / max(quiet, 1),
        "alerts_a_day": sum(n for n, _ in alerts) / sum(days for _, days in alerts),
        "over_budget": float(np.mean([n > BUDGET_PER_DAY * max(d, 1) for n, d in alerts])),
        "harmless_alarmed": float(np.mean(harmless)) if harmless else float("nan"),
        "delay_share": float(np.median(delays)) if delays else float("nan"),
    }


def false_alarms(one: Rated) -> int:
    """Incidents opened in quiet rows."""
    quiet: Bool = one.quiet
    return sum(bool(quiet[row]) for row in one.verdict.opened)


def days_of(one: Rated) -> float:
    clock = one.stream.time_s[one.verdict.judged]
    return float(np.ptp(clock)) / DAY_S if len(clock) else 0.0


def _delays(one: Rated) -> list[float]:
    """Of each fault found at the shipped line: how much of it had passed at its first alarm."""
    found = []
    for fault in one.stream.faults:
        fired = np.flatnonzero(one.verdict.alarm[fault.start : fault.stop] >= 1)
        if len(fired):
            found.append(float(fired[0]) / (fault.stop - fault.start))
    return found


def _blamed(rated: Sequence[Rated]) -> tuple[float, float]:
    return culprits(
        [
            (at_peak(one.verdict, fault.start, fault.stop), fault.channels)
            for one in rated
            for fault in one.stream.faults
            if one.stream.channels > 3 and 0 < len(fault.channels) < one.stream.channels
        ]
    )


def by_kind(recall: Recall) -> dict[str, float]:
    """Recall by kind of fault."""
    kinds = sorted({kind for kind, _ in recall.found})
    return {kind: round(recall.of({kind}), 3) for kind in kinds}


def _kinds_table(found: Found, part: str) -> Table:
    names = [key.removeprefix(f"{part}_") for key in found.detail]
    table = Table(("kind of fault", *names))
    columns: list[Mapping[str, float]] = [found.detail[f"{part}_{name}"] for name in names]
    for kind in sorted({kind for column in columns for kind in column}):
        table.rows.append((kind, *(column.get(kind, float("nan")) for column in columns)))
    return table
