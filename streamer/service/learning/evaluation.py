"""An evaluation of the champion: its figures, what changed since the one before, and what members remember of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EVALUATED = "evaluated"
FIGURES = ("recall", "false_alarms_per_day", "median_delay_rows", "skill_over_persistence", "unscored_share")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of one, in one word and in a sentence; the report where there is one (`streamer.review/1`)."""

    outcome: str
    words: str
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What all members know: when the last one began, whatever came of it, and the figures of the last that ended."""

    at_s: float | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)  # those of FIGURES, with `version` and `at_s`


def remembered(noted: Mapping[str, Any]) -> Remembered:
    """What a note says; nothing, where it is none of ours."""
    found = noted.get("evaluation")
    if not isinstance(found, dict):
        return Remembered()
    at_s, figures = found.get("at"), found.get("figures")
    return Remembered(
        float(at_s) if isinstance(at_s, int | float) else None, figures if isinstance(figures, dict) else {}
    )


def figures_of(report: Mapping[str, Any], at_s: float) -> dict[str, Any]:
    """What the next one is compared with."""
    return {"version": report["version"], "at_s": at_s} | {name: report[name] for name in FIGURES}


def compared(report: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The report with `previous`, the figures before it, and `change`, by how much each has grown since."""
    if not before:
        return {**report, "previous": None, "change": {}}
    pairs = {name: (before.get(name), report[name]) for name in FIGURES}
    change = {name: now - was for name, (was, now) in pairs.items() if None not in (was, now)}
    return {**report, "previous": dict(before), "change": change}


def words(report: Mapping[str, Any]) -> str:
    """A report in one line."""
    delay, skill = report["median_delay_rows"], report["skill_over_persistence"]
    return (
        f"{report['version']} on the newest {report['rows']:,} rows: {report['recall']:.0%} of {report['anomalies']} "
        f"planted anomalies caught, {report['false_alarms_per_day']:.2f} false alarms a day, "
        f"median delay {'-' if delay is None else f'{delay:g}'} rows, "
        f"forecasts {'-' if skill is None else f'{skill:+.0%}'} against persistence"
        f"{_since(report)}; report: {report['report']}"
    )


def _since(report: Mapping[str, Any]) -> str:
    before = report.get("previous")
    if not before:
        return ""
    who = "before" if before["version"] == report["version"] else f"of {before['version']} before"
    return f" ({before['recall']:.0%} and {before['false_alarms_per_day']:.2f} {who})"
