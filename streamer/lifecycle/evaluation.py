"""An evaluation of the champion: its figures, what changed since the one before, and what members
remember of it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from streamer.connect.storage.training_lock import LockHold, TrainingLock
from streamer.errors import StoreError

EVALUATED = "evaluated"
FIGURES = (
    "recall",
    "false_alarms_per_day",
    "median_delay_rows",
    "skill_over_persistence",
    "unscored_share",
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of one, in one word and in a sentence; the report where there is one
    (`streamer.review/1`).
    """

    outcome: str
    words: str
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What all members know: when the last one began, whatever came of it, and the figures of the
    last that ended.
    """

    at_s: float | None = None
    # those of FIGURES, with `version` and `at_s`
    figures: Mapping[str, Any] = field(default_factory=dict)


def remembered(noted: Mapping[str, Any]) -> Remembered:
    """What a note says; nothing, where it is none of ours."""
    found = noted.get("evaluation")
    if not isinstance(found, dict):
        return Remembered()
    at_s, figures = found.get("at"), found.get("figures")
    return Remembered(
        float(at_s) if isinstance(at_s, int | float) else None,
        figures if isinstance(figures, dict) else {},
    )


def figures_of(report: Mapping[str, Any], at_s: float) -> dict[str, Any]:
    """What the next one is compared with."""
    return {"version": report["version"], "at_s": at_s} | {name: report[name] for name in FIGURES}


def compared(report: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The report with `previous`, the figures before it, and `change`, by how much each has grown
    since.
    """
    if not before:
        return {**report, "previous": None, "change": {}}
    pairs = {name: (before.get(name), report[name]) for name in FIGURES}
    change = {name: now - was for name, (was, now) in pairs.items() if None not in (was, now)}
    return {**report, "previous": dict(before), "change": change}


def words(report: Mapping[str, Any]) -> str:
    """A report in one line."""
    delay, skill = report["median_delay_rows"], report["skill_over_persistence"]
    return (
        f"{report['version']} on the newest {report['rows']:,} rows: {report['recall']:.0%} of "
        f"{report['anomalies']} "
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


log = structlog.get_logger()


def note(turns: TrainingLock, turn: LockHold, **fields: Any) -> None:
    """Let all members know, beside what is noted already. A store that is away costs the note; one
    that says we were overtaken is an error later.
    """
    try:
        turn.note(json.dumps(noted(turns) | fields).encode())
    except StoreError as exc:
        log.warning("retrain_not_noted", problem=str(exc))


def noted(turns: TrainingLock) -> dict[str, Any]:
    """What those who had the turn have told all members."""
    try:
        found = json.loads(turns.read() or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def last_attempt(turns: TrainingLock) -> float | None:
    """When the newest training began, by anybody."""
    found = noted(turns).get("at")
    return float(found) if isinstance(found, int | float) else None


def last_evaluation(turns: TrainingLock) -> Remembered:
    """What is known of the newest evaluation, by anybody."""
    return remembered(noted(turns))


KEPT = 20
OURS = re.compile(r"\d{8}-\d{6}-")  # names of reports; what else lies in their folder is left alone


def keep_refusal(refused: Path, folder: Path, version: str) -> str:
    """Keep the report of a refusal; what it says, and where it is."""
    reasons = refusal(refused)
    if not refused.is_dir():
        return f"refused: {reasons}"
    kept = shelf(folder) / version
    shutil.copytree(refused, kept, dirs_exist_ok=True)
    return f"refused: {reasons}; the report is {kept}"


def refusal(directory: Path) -> str:
    """Why the gate refused, from its report."""
    try:
        report = json.loads((directory / "gate.json").read_text())
    except (OSError, ValueError):
        return "the gate gave no report"
    return str(report.get("why") or "see the report")


def shelf(folder: Path) -> Path:
    """The folder of reports, with room for one more."""
    folder.mkdir(parents=True, exist_ok=True)
    ours = sorted(path for path in folder.iterdir() if OURS.match(path.name))
    for old in ours[: -KEPT + 1]:
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    return folder
