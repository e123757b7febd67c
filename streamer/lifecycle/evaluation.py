"""An evaluation of the champion: its figures, the change since the last one, and its note."""

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
    """The outcome, a sentence about it, and the report if there is one (`streamer.review/1`)."""

    outcome: str
    words: str
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What all members know of evaluations.

    `at_s` is the start of the newest one, whatever its outcome; `figures` are of the last finished
    one.
    """

    at_s: float | None = None
    # those of FIGURES, with `version` and `at_s`
    figures: Mapping[str, Any] = field(default_factory=dict)


def remembered(noted: Mapping[str, Any]) -> Remembered:
    """Return the evaluation in a note; empty if it is missing or invalid."""
    found = noted.get("evaluation")
    if not isinstance(found, dict):
        return Remembered()
    at_s, figures = found.get("at"), found.get("figures")
    return Remembered(
        float(at_s) if isinstance(at_s, int | float) else None,
        figures if isinstance(figures, dict) else {},
    )


def figures_of(report: Mapping[str, Any], at_s: float) -> dict[str, Any]:
    """Return the figures that the next evaluation is compared with."""
    return {"version": report["version"], "at_s": at_s} | {name: report[name] for name in FIGURES}


def compared(report: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report with `previous`, the figures before it, and `change`, the differences."""
    if not before:
        return {**report, "previous": None, "change": {}}
    pairs = {name: (before.get(name), report[name]) for name in FIGURES}
    change = {name: now - was for name, (was, now) in pairs.items() if None not in (was, now)}
    return {**report, "previous": dict(before), "change": change}


def words(report: Mapping[str, Any]) -> str:
    """Return a report in one line."""
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
    """Add fields to the note that all members read.

    If the store fails, only the note is lost and a warning is logged.
    """
    try:
        turn.note(json.dumps(noted(turns) | fields).encode())
    except StoreError as exc:
        log.warning("retrain_not_noted", problem=str(exc))


def noted(turns: TrainingLock) -> dict[str, Any]:
    """Return the note of the holders of the lock; empty if it is invalid."""
    try:
        found = json.loads(turns.read() or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def last_attempt(turns: TrainingLock) -> float | None:
    """Return the start of the newest retrain job of any member; None without one."""
    found = noted(turns).get("at")
    return float(found) if isinstance(found, int | float) else None


def last_evaluation(turns: TrainingLock) -> Remembered:
    """Return what is known of the newest evaluation of any member."""
    return remembered(noted(turns))


KEPT = 20
OURS = re.compile(r"\d{8}-\d{6}-")  # names of reports; other files of the folder are not touched


def keep_refusal(refused: Path, folder: Path, version: str) -> str:
    """Store the report of a refusal; return the reason and the report's place."""
    reasons = refusal(refused)
    if not refused.is_dir():
        return f"refused: {reasons}"
    kept = shelf(folder) / version
    shutil.copytree(refused, kept, dirs_exist_ok=True)
    return f"refused: {reasons}; the report is {kept}"


def refusal(directory: Path) -> str:
    """Return why the gate refused, from its report."""
    try:
        report = json.loads((directory / "gate.json").read_text())
    except (OSError, ValueError):
        return "the gate gave no report"
    return str(report.get("why") or "see the report")


def shelf(folder: Path) -> Path:
    """Return the folder of reports, after deleting the oldest beyond KEPT - 1."""
    folder.mkdir(parents=True, exist_ok=True)
    ours = sorted(path for path in folder.iterdir() if OURS.match(path.name))
    for old in ours[: -KEPT + 1]:
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    return folder
