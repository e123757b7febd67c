"""Rows of a CSV or JSON lines file as JSON objects with their times, for `replay`."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamer import timefmt
from streamer.connect.files.infer import csv_table, guess_fields, head_lines
from streamer.connect.files.lines import LineBuffer, is_pipe
from streamer.connect.files.source import form_of, header_cells
from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.csv import (
    NOTHING,
    join_quoted,
    number_of,
    parse_row,
    place_of,
    sniff_separator,
)
from streamer.connect.formats.decoder import MAX_LINE_BYTES, shown
from streamer.connect.formats.objects import ABSENT, lookup, split_path
from streamer.connect.formats.times import AUTO_LIMITS, PER_SECOND, seconds_of_cell
from streamer.errors import InputError

BLOCK_LINES = 4096
JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file; `line` counts records from 1, without header and blank lines."""

    line: int
    record: dict[str, Any]
    time_s: float  # NaN if the file has no time


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that cannot be read, or lacks the time that the file has."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class FileRows:
    """The rows of a file; every `read` starts at its beginning."""

    path: Path
    fields: RecordFields
    form: str  # "csv" | "jsonl"
    separator: str
    columns: tuple[str, ...] | None  # None if the CSV has a header

    def read(self) -> Iterator[Row | Skipped]:
        """Yield every record in order; InputError if the file cannot be read on."""
        parse = self._json if self.form == "jsonl" else self._csv
        lines = LineBuffer(self.path, MAX_LINE_BYTES)
        try:
            for number, parsed in enumerate(parse(lines), start=1):
                yield self._row(number, parsed)
        finally:
            lines.close()

    def key_of(self, record: Mapping[str, Any], field: str) -> str | None:
        """The value of a field as text; None if there is none."""
        value = self._value(record, field)
        return None if value is ABSENT or value is None else str(value).strip()

    def retimed(self, record: dict[str, Any], by_s: float) -> dict[str, Any]:
        """Shift the time of a record by `by_s`, keeping its format; return the record."""
        assert self.fields.time is not None
        *parents, name = self._path(self.fields.time)
        home = lookup(record, tuple(parents))
        home[name] = later(home[name], by_s, self.fields.time_unit)
        return record

    def _row(self, number: int, parsed: dict[str, Any] | str) -> Row | Skipped:
        if isinstance(parsed, str):
            return Skipped(number, parsed)
        if self.fields.time is None:
            return Row(number, parsed, math.nan)
        cell = self._value(parsed, self.fields.time)
        time_s = (
            math.nan
            if isinstance(cell, bool) or not isinstance(cell, str | int | float)
            else self._seconds(cell)
        )
        if math.isnan(time_s):
            return Skipped(
                number,
                f"{self.fields.time}: {'missing' if cell is ABSENT else shown(cell)} is no time",
            )
        return Row(number, parsed, time_s)

    def _seconds(self, cell: str | float) -> float:
        return seconds_of_cell(cell, self.fields.time_unit)

    def _value(self, record: Mapping[str, Any], field: str) -> Any:
        return lookup(record, self._path(field))

    def _path(self, field: str) -> tuple[str, ...]:
        return split_path(field) if self.form == "jsonl" else (field,)

    def _json(self, lines: LineBuffer) -> Iterator[dict[str, Any] | str]:
        while block := lines.take(BLOCK_LINES):
            for line in block:
                if line.strip():
                    yield _object(line)

    def _csv(self, lines: LineBuffer) -> Iterator[dict[str, Any] | str]:
        columns = self.columns
        kinds = dict.fromkeys(self.fields.entity, str.strip) | dict.fromkeys(
            self.fields.channels, value_of
        )
        for record in _records(lines, self.separator):
            if columns is None:
                columns = header_cells(record, self.separator)
                continue
            try:
                cells = parse_row(record.decode(), self.separator)
            except (csv.Error, UnicodeDecodeError) as exc:
                yield str(exc)
                continue
            if len(cells) != len(columns):
                yield f"{len(cells)} cells where {len(columns)} are named"
                continue
            yield {
                name: kinds.get(name, plain)(cell)
                for name, cell in zip(columns, cells, strict=True)
            }


def rows_of(path: Path, fields: RecordFields | None = None) -> tuple[FileRows, tuple[str, ...]]:
    """Return the rows of a file, and notes about inferred roles.

    Roles are inferred only if `fields` is None.
    """
    if is_pipe(path):
        raise InputError(f"{path}: is a pipe, which cannot be read twice; save it to a file first")
    if fields is not None:
        return FileRows(path, fields, *_layout(path, fields)), ()
    guess = guess_fields(path)
    return FileRows(path, guess.fields, guess.form, guess.separator, guess.columns), guess.notes


def _layout(path: Path, fields: RecordFields) -> tuple[str, str, tuple[str, ...] | None]:
    """Form, separator and, without a header, the column names.

    InputError if a field is not a column.
    """
    lines = head_lines(path)
    form = form_of(lines[0], str(path))
    if form == "jsonl":
        return form, ",", None
    separator = sniff_separator(lines)
    columns, names, _ = csv_table(lines, separator, str(path))
    for field in (*fields.entity, *([fields.time] if fields.time else [])):
        try:
            place_of(field, [column.name for column in columns])
        except InputError as exc:
            raise InputError(f"{path}: {exc}") from None
    return form, separator, names


def value_of(cell: str) -> Any:
    """Return the JSON value of a channel's cell.

    Text if it holds no number, so that its reader can refuse it.
    """
    cell = cell.strip()
    if JSON_NUMBER.fullmatch(cell) and math.isfinite(float(cell)):
        return json.loads(cell)
    number = number_of(cell)
    return plain(cell) if number is None else number if math.isfinite(number) else None


def plain(cell: str) -> Any:
    """Return the JSON value of any other cell.

    A number only if JSON would write it so: `007` is a name.
    """
    cell = cell.strip()
    if JSON_NUMBER.fullmatch(cell) and math.isfinite(float(cell)):
        return json.loads(cell)
    return None if cell.lower() in NOTHING else cell


def later(cell: str | float, by_s: float, unit: str) -> str | float:
    """Return a time shifted by `by_s` in the same format: number, text of a number, or date."""
    if isinstance(cell, str) and number_of(cell) is None:
        return timefmt.later(cell, by_s)
    per_s = _per_second(float(cell), unit)
    exact = by_s * per_s
    if isinstance(cell, str):
        moved = float(cell) + exact
        return str(int(cell) + round(exact)) if cell.strip().isdigit() else repr(moved)
    return cell + round(exact) if isinstance(cell, int) else cell + exact


def _per_second(number: float, unit: str) -> float:
    if unit != "auto":
        return PER_SECOND.get(unit, 1.0)
    return 1000.0 ** sum(abs(number) >= limit for limit in AUTO_LIMITS)


def _object(line: bytes) -> dict[str, Any] | str:
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError) as exc:
        return f"no JSON: {exc}"
    return parsed if isinstance(parsed, dict) else f"{shown(parsed)} is no JSON object"


def _records(lines: LineBuffer, separator: str) -> Iterator[bytes]:
    held: list[bytes] = []
    while block := lines.take(BLOCK_LINES):
        records, held = join_quoted([*held, *block], separator.encode(), MAX_LINE_BYTES)
        yield from (record for record in records if record.strip())
    yield from held


@dataclass(frozen=True, slots=True)
class FileSurvey:
    """Statistics of a whole file; times are NaN if it has none."""

    rows: int
    first_s: float
    last_s: float
    gap_s: float  # mean distance between consecutive times

    @property
    def span_s(self) -> float:
        return self.last_s - self.first_s


def survey(rows: FileRows, limit: int | None = None) -> FileSurvey:
    """Read a file, or its first `limit` rows, once and return its statistics."""
    count, moments, first_s, last_s = 0, 0, math.inf, -math.inf
    for row in rows.read():
        if isinstance(row, Skipped):
            continue
        if count == limit:
            break
        count += 1
        moments += row.time_s > last_s
        first_s, last_s = min(first_s, row.time_s), max(last_s, row.time_s)
    if count == 0:
        raise InputError(f"{rows.path}: no row of it can be read")
    return FileSurvey(count, first_s, last_s, (last_s - first_s) / max(1, moments - 1))
