"""Inference of column roles from the first rows of an unknown file, with notes for people."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from streamer.connect.files.lines import head_of
from streamer.connect.files.source import form_of, header_of, numbered
from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.csv import (
    NOTHING,
    cells_of,
    is_header,
    is_value,
    number_of,
    place_of,
    sniff_separator,
)
from streamer.connect.formats.decoder import shown
from streamer.connect.formats.times import seconds_of_text, unit_of
from streamer.errors import InputError
from streamer.event import F64
from streamer.timefmt import spacing

SPOKEN = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
ROWS_LOOKED_AT = 2000
MOSTLY = 0.95
EPOCH_FROM_S = 3e8  # an unnamed number counts as a time only from 1979 on
LABEL = re.compile(
    r"(^|_)(label|labels|anomaly|anomalous|outlier|fraud|fraudulent|changepoint|groundtruth|attack)(_|$)"
)
LABEL_EXACT = {
    "class",
    "target",
    "y",
    "is_attack",
    "ground_truth",
    "isanomaly",
    "isfraud",
    "change_point",
}
TIME = re.compile(r"(^|_)(time|timestamp|datetime|date|ts)(_|$)|timestamp$|datetime$|time$")
ENTITY = re.compile(
    r"(^|_)(entity|device|sensor|machine|host|hostname|server|node|customer|terminal|card|account|user|asset|unit|instance"
    r"|pump|engine|station|meter|vehicle|client|series|pod|container|tag|name|key|id)$"
)
LABEL_VALUES = 20


@dataclass(frozen=True, slots=True)
class Guess:
    """How to read a file, and notes that explain it.

    `columns` is set if the file has no header.
    """

    fields: RecordFields
    form: str  # "csv" | "jsonl"
    separator: str
    columns: tuple[str, ...] | None
    notes: tuple[str, ...]
    time_unit: str = "auto"  # inferred from its cells

    @property
    def has_time(self) -> bool:
        """False if times are row numbers; rhythm should then be off."""
        return self.fields.time is not None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the first rows, with statistics of its own."""

    name: str
    cells: Sequence[str]  # stripped; "" if there is no value
    numbers: F64  # (N,), NaN if there is none
    share: float  # fraction of the non-empty cells that are numbers

    @property
    def plain_name(self) -> str:
        """The name in snake_case, so that `DeviceId`, `device-id` and `device.id` are equal."""
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name)
        return re.sub(r"[^a-z0-9]+", "_", snake.lower()).strip("_")

    @property
    def values(self) -> list[str]:
        return [cell for cell in self.cells if cell]

    @property
    def numeric(self) -> bool:
        return self.share >= MOSTLY and bool(self.values)


def guess_fields(
    source: str | Path | bytes,
    *,
    time: str | None = None,
    entity: str | Sequence[str] | None = None,
    channels: Sequence[str] | None = None,
    separator: str | None = None,
) -> Guess:
    """Infer the roles from a path or from the first bytes; given roles are kept.

    `time` "" means that there is none. InputError if no column can be a channel, or a given name is
    not a column.
    """
    lines = head_lines(source)
    name = "input" if isinstance(source, bytes) else str(source)
    if form_of(lines[0], name) == "jsonl":
        table, form, sep, names, notes = json_table(lines, name), "jsonl", ",", None, ["JSON lines"]
    else:
        form, sep = "csv", separator or sniff_separator(lines)
        table, names, notes = csv_table(lines, sep, name)
    given = [entity] if isinstance(entity, str) else list(entity or ())
    for wanted in (*([time] if time else []), *given, *(channels or ())):
        _must_exist(wanted, table, name)
    roles = _Roles(table, name, notes)
    fields = roles.fields(time, tuple(given), tuple(channels or ()))
    return Guess(fields, form, sep, names, tuple(roles.notes), roles.time_unit)


def _must_exist(wanted: str, table: Sequence[Column], name: str) -> None:
    try:
        place_of(wanted, [column.name for column in table])
    except InputError as exc:
        raise InputError(f"{name}: {exc}") from None


def head_lines(source: str | Path | bytes) -> list[bytes]:
    """The first complete lines that are not blank, at least one."""
    head = source if isinstance(source, bytes) else head_of(source)
    lines = head.split(b"\n")
    if len(lines) > 2:
        lines.pop()  # it may be incomplete
    lines = [line for line in lines if line.strip()][: ROWS_LOOKED_AT + 1]
    if not lines:
        raise InputError(
            f"{'input' if isinstance(source, bytes) else source}: has only blank lines"
        )
    return lines


def csv_table(
    lines: Sequence[bytes], separator: str, name: str
) -> tuple[list[Column], tuple[str, ...] | None, list[str]]:
    """Columns of the first rows, names if there is no header, and the note about the format."""
    rows = [cells_of(line, separator) for line in lines]
    headed = has_header(rows)
    width = len(rows[0])
    names = header_of(lines[0], separator, name) if headed else numbered(width)
    body = [row for row in rows[headed:] if len(row) == width]
    if not body:
        raise InputError(
            f"{name}: has a header but no rows" if headed else f"{name}: no row has {width} cells"
        )
    columns = [column_of(names[i], [row[i] for row in body]) for i in range(width)]
    spoken = SPOKEN.get(separator, repr(separator))
    return (
        columns,
        (None if headed else names),
        [f"{spoken}-separated, {'with a' if headed else 'without'} header"],
    )


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row is a header: none of its cells is a value, and some cell below is."""
    return is_header(rows[0]) and any(is_value(cell) for row in rows[1:50] for cell in row)


def json_table(lines: Sequence[bytes], name: str) -> list[Column]:
    """Columns of the first JSON records, nested ones under their dotted names."""
    records = [flat for flat in map(_flat, lines) if flat]
    if not records:
        raise InputError(f"{name}: none of its first {len(lines)} lines is a JSON object")
    names = dict.fromkeys(key for record in records for key in record)
    return [column_of(key, [_text(record.get(key)) for record in records]) for key in names]


def _flat(line: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return dict(_leaves(parsed, "")) if isinstance(parsed, dict) else {}


def _leaves(parsed: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for key, value in parsed.items():
        name = prefix + key.replace(".", "\\.")
        if isinstance(value, dict):
            out += _leaves(value, name + ".")
        elif key and not isinstance(value, list):
            out.append((name, value))
    return out


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value)


def column_of(name: str, cells: Sequence[str]) -> Column:
    """Return a column with its cells read as numbers."""
    plain = ["" if cell.strip().lower() in NOTHING else cell.strip() for cell in cells]
    numbers = np.array([_float(cell) for cell in plain], dtype=np.float64)
    said = sum(map(bool, plain))
    return Column(name, plain, numbers, float(np.isfinite(numbers).sum()) / said if said else 0.0)


def _float(cell: str) -> float:
    number = number_of(cell)
    return float("nan") if number is None or not np.isfinite(number) else number


class _Roles:
    """Assigns roles to columns: time, then labels, entity, channels.

    Every decision adds a note.
    """

    def __init__(self, table: Sequence[Column], name: str, notes: Sequence[str]) -> None:
        self.table, self.name, self.notes = list(table), name, list(notes)
        self.time_s: F64 | None = None
        self.time_unit = "auto"

    def fields(
        self, time: str | None, entity: tuple[str, ...], channels: tuple[str, ...]
    ) -> RecordFields:
        taken = {*entity, *channels}
        time_name = self._time(time, taken)
        rest = [column for column in self.table if column.name not in {time_name, *taken}]
        kept = [column for column in rest if not self._is_label(column)]
        labels = [column.name for column in rest if column not in kept]
        entity = entity or self._entity(kept)
        channels = channels or self._channels(
            [column for column in kept if column.name not in entity]
        )
        self.notes.append(
            f"entity: {', '.join(entity)}" if entity else "entity: none, the file is one series"
        )
        self.notes.append(f"channels: {_listed(channels)}")
        if labels:
            self.notes.append(f"not read: {_listed(labels)} (a label is an answer, not an input)")
        return RecordFields(channels, entity, time_name)

    def _time(self, given: str | None, taken: set[str]) -> str | None:
        if given == "":
            self.notes.append("time: none, as asked; rows are counted and the rhythm is not judged")
            return None
        columns = [
            column
            for column in self.table
            if (column.name == given if given else column.name not in taken)
        ]
        rated = [(time_rating(column), -i, column) for i, column in enumerate(columns)]
        rating, _, best = max(rated, default=(0.0, 0, None), key=lambda r: r[:2])
        if given and rating == 0:
            raise InputError(
                f"{self.name}: column {given!r} holds no times, for example "
                f"{shown(_example(columns[0]))}"
            )
        if best is None or rating == 0:
            self.notes.append(
                "time: no column looks like one; rows are counted and the rhythm is not judged"
            )
            return None
        self.time_s, self.time_unit = seconds_of_text(best.cells, "auto"), unit_of(best.values)
        self.notes.append(f"time: {best.name}{_spacing(self.time_s)}")
        return best.name

    def _is_label(self, column: Column) -> bool:
        few = len(set(column.values)) <= LABEL_VALUES
        return few and (column.plain_name in LABEL_EXACT or bool(LABEL.search(column.plain_name)))

    def _entity(self, columns: Sequence[Column]) -> tuple[str, ...]:
        """Return the best of the columns whose names repeat, or none."""
        rated = [
            (entity_rating(column, self.time_s), -i, column) for i, column in enumerate(columns)
        ]
        rating, _, best = max(rated, default=(0.0, 0, None), key=lambda r: r[:2])
        return (best.name,) if best is not None and rating > 0 else ()

    def _channels(self, columns: Sequence[Column]) -> tuple[str, ...]:
        numeric = [column for column in columns if column.numeric and not is_identifier(column)]
        counted = [column for column in numeric if is_counter(column)]
        if len(counted) < len(numeric):
            numeric = [column for column in numeric if column not in counted]
        ignored = [column.name for column in columns if column not in numeric]
        if not numeric:
            raise InputError(
                f"{self.name}: no column holds numbers to watch; it has "
                f"{_listed(ignored)}{_comma_hint(columns)}"
            )
        if ignored:
            self.notes.append(
                f"not read: {_listed(ignored)} (text, identifiers, counters or nothing in it)"
            )
        return tuple(column.name for column in numeric)


def time_rating(column: Column) -> float:
    """How much a column looks like the time of its rows; 0 = not at all.

    Dates rank before numbers, named before unnamed.
    """
    values = column.values
    if len(values) < MOSTLY * len(column.cells) or not values:
        return 0.0
    seconds = seconds_of_text(values, "auto")
    if np.isnan(seconds).mean() > 1 - MOSTLY:
        return 0.0
    named = bool(TIME.search(column.plain_name)) or column.plain_name == "t"
    if not column.numeric:
        return 3.0 + named + _forward(seconds)
    epoch = bool(np.nanmin(seconds) >= EPOCH_FROM_S) and len(set(values)) > 1
    if not (named or epoch) or _forward(seconds) < 0.5 or (not named and _forward(seconds) < 1.0):
        return 0.0
    return 1.0 + named + epoch + _forward(seconds)


def _forward(seconds: F64) -> float:
    """Fraction of the steps that do not go back."""
    steps = np.diff(seconds)
    return float((steps >= 0).mean()) if len(steps) else 1.0


def entity_rating(column: Column, time_s: F64 | None) -> float:
    """How much a column looks like an entity name; 0 = not at all."""
    names, n = column.values, len(column.cells)
    distinct = len(set(names))
    if len(names) < MOSTLY * n or distinct < 2 or distinct > MOSTLY * n:
        return 0.0
    whole = column.numeric and bool(np.all(column.numbers[np.isfinite(column.numbers)] % 1 == 0))
    named = bool(ENTITY.search(column.plain_name))
    if column.numeric:
        return 1.5 if named and whole else 0.0
    if named:
        return 2.0 + (distinct <= n / 5)
    return 1.0 if distinct <= n / 5 and _interleaved(column.cells, time_s) else 0.0


def _interleaved(names: Sequence[str], time_s: F64 | None) -> bool:
    """Whether names alternate, share times or restart the clock, as several series do.

    The values of a state column do none of these.
    """
    changes = np.array([a != b for a, b in pairwise(names)])
    if changes.mean() >= 0.5:
        return True
    if time_s is None:
        return False
    steps = np.diff(time_s)
    return bool(np.any(steps[changes] < 0)) or bool((steps == 0).mean() > 0.3)


def is_identifier(column: Column) -> bool:
    """Whether a number is an identifier: named ..._id and whole."""
    known = column.numbers[np.isfinite(column.numbers)]
    return bool(re.search(r"(^|_)(id|uuid|guid)$", column.plain_name)) and bool(
        np.all(known % 1 == 0)
    )


def is_counter(column: Column) -> bool:
    """Whether a number increases by one at every row."""
    return len(column.numbers) > 2 and bool(np.all(np.diff(column.numbers) == 1))


def _comma_hint(columns: Sequence[Column]) -> str:
    commas = any(
        re.fullmatch(r"-?\d+,\d+", cell) for column in columns for cell in column.values[:20]
    )
    return "; decimal commas are not read: replace them with points" if commas else ""


def _spacing(time_s: F64) -> str:
    steps = np.diff(np.unique(time_s[np.isfinite(time_s)]))
    return f", usually {spacing(float(np.median(steps)))} apart" if len(steps) else ""


def _example(column: Column) -> str:
    return next(iter(column.values), "")


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
