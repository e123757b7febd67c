"""Scores and labels from files, for evaluation.

Labels are JSON windows, `[[start, end], ...]` or `{"file.csv": [[start, end], ...]}`, or a CSV with
a column of 0 and 1, one line per scored row.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import InputError
from streamer.event import F64, I64, Bool
from streamer.offline.quality import Window, windows_of
from streamer.timefmt import seconds

LABEL_NAMES = ("label", "anomaly", "is_anomaly", "attack", "class", "target", "y")


@dataclass(frozen=True, slots=True)
class Scored:
    """Columns of a score file without rejected rows.

    Without `by_time` the axis is the row number.
    """

    row: I64  # (N,)
    axis: F64  # (N,) seconds since 1970, or row numbers
    score: F64
    alarm: F64
    by_time: bool


def read_scores(path: Path) -> Scored:
    """Read a CSV of `streamer score --scores`; InputError if it is not one."""
    rows = _csv(path)
    needed = {"row", "time", "score", "alarm", "status"}
    if not rows:
        raise InputError(f"{path}: holds no scored rows")
    if not needed <= rows[0].keys():
        missing = ", ".join(sorted(needed - rows[0].keys()))
        raise InputError(
            f"{path}: has no column {missing}; is it a file that `streamer score --scores` wrote?"
        )
    kept = [row for row in rows if row["status"] != "rejected"]
    number = np.array([_number(path, row, "row") for row in kept], np.int64)
    times = [_time(path, row["time"]) for row in kept]
    by_time = bool(times) and all(time is not None for time in times)
    axis = np.array(times if by_time else number, np.float64)
    score, alarm = (
        np.array([_number(path, row, name) for row in kept]) for name in ("score", "alarm")
    )
    return Scored(number, axis, score, alarm, by_time)


def read_windows(
    path: Path, scored: Scored, *, name: str | None = None, column: str | None = None
) -> list[Window]:
    """Read labelled windows on the axis of the scores; InputError if they do not fit."""
    if path.suffix.lower() == ".json":
        return json_windows(path, by_time=scored.by_time, name=name)
    return windows_of(scored.axis, _labelled(path, scored, column))


def json_windows(path: Path, *, by_time: bool, name: str | None = None) -> list[Window]:
    """Windows of a JSON file, in seconds since 1970 or, without `by_time`, in rows."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise InputError(f"{path}: cannot be read as JSON: {exc}") from exc
    if isinstance(found, dict):
        found = _named(path, found, name)
    try:
        return [(_bound(start, by_time), _bound(end, by_time)) for start, end in found]
    except (TypeError, ValueError) as exc:
        raise InputError(
            f"{path}: windows must be pairs [start, end] of times or rows: {exc}"
        ) from exc


def _named(path: Path, table: dict[str, Any], name: str | None) -> Any:
    if name is None:
        raise InputError(f"{path}: holds windows of {len(table)} files; say which with --name")
    matches = [key for key in table if key == name or Path(key).stem == Path(name).stem]
    if len(matches) != 1:
        problem = "no file" if not matches else f"{len(matches)} files"
        raise InputError(
            f"{path}: {problem} named {name!r}; there are: {', '.join(sorted(table)[:5])}, ..."
        )
    return table[matches[0]]


def _bound(value: Any, by_time: bool) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not by_time:
        raise ValueError(
            f"the rows have no times, so {value!r} has no place among them; give row numbers"
        )
    return seconds(str(value))


def _labelled(path: Path, scored: Scored, column: str | None) -> Bool:
    rows = _csv(path)
    names = list(rows[0]) if rows else []
    chosen = column or next((name for name in names if name.lower() in LABEL_NAMES), None)
    if chosen is None or chosen not in names:
        asked = f"column {column!r}" if column else "label column"
        raise InputError(
            f"{path}: has no {asked}; it has: {', '.join(names)}. Say which with --column"
        )
    if len(scored.row) and len(rows) <= int(scored.row.max()):
        raise InputError(
            f"{path}: {len(rows)} rows of labels for {int(scored.row.max()) + 1} scored rows"
        )
    label = np.array(
        [row[chosen].strip().lower() not in {"", "0", "0.0", "false", "no"} for row in rows]
    )
    return np.asarray(label[scored.row], dtype=bool)


def _csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            head = file.readline()
            file.seek(0)
            separator = max(",;\t|", key=head.count)
            return list(csv.DictReader(file, delimiter=separator, restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise InputError(f"{path}: cannot be read: {exc}") from exc


def _number(path: Path, row: dict[str, str], name: str) -> float:
    try:
        return float(row[name])
    except ValueError as exc:
        raise InputError(
            f"{path}: row {row.get('row')}: {name} is {row[name]!r}, not a number"
        ) from exc


def _time(path: Path, text: str) -> float | None:
    """Seconds of a time cell; None for a row number or an empty cell."""
    if not text or text.replace(".", "", 1).isdigit():
        return None
    try:
        return seconds(text)
    except ValueError as exc:
        raise InputError(f"{path}: {text!r} is no time") from exc
