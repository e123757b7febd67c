"""CSV records to columns: regular blocks at once, irregular ones cell by cell."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from difflib import get_close_matches
from operator import methodcaller

import numpy as np

from streamer.connect.formats.columns import Columns, RecordFields, Refusals
from streamer.connect.formats.decoder import MAX_LINE_BYTES, Decoder, shown
from streamer.connect.formats.times import seconds_of_cell, seconds_of_text
from streamer.errors import InputError
from streamer.event import F64, I64, Lease

NOTHING = frozenset({"", "na", "n/a", "null", "none", "-", "?"})  # cells that mean "no value"
SEPARATORS = (",", ";", "\t", "|")
Row = list[str]


class CsvDecoder(Decoder):
    """Decoder of one CSV record per line; `columns` names its cells, in order.

    A record may hold a quoted line break.
    """

    def __init__(
        self,
        fields: RecordFields,
        columns: Sequence[str],
        *,
        stream: str,
        separator: str = ",",
        lease: Lease | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        super().__init__(fields, stream=stream, lease=lease, max_line_bytes=max_line_bytes)
        self.columns, self.separator = tuple(columns), separator
        self._place = {name: place_of(name, self.columns) for name in self.own.names}

    def _columns(self, lines: Sequence[bytes], refused: Refusals) -> Columns:
        cells, numbers = self._regular(lines) if not refused else (None, None)
        if cells is None or numbers is None:
            cells, numbers = self._irregular(lines, refused)
        time = self.own.time
        time_cells = [] if time is None else cells[self._place[time]]
        time_s = None if time is None else seconds_of_text(time_cells, self.own.time_unit)
        values = self._values(cells, numbers, refused)
        return Columns(
            numbers,
            [cells[self._place[name]] for name in self.own.entity],
            time_s,
            time_cells,
            values,
        )

    def _values(self, cells: Sequence[Sequence[str]], numbers: I64, refused: Refusals) -> F64:
        values = np.empty((len(numbers), len(self.own.channels)), dtype=np.float64)
        for c, name in enumerate(self.own.channels):
            column = cells[self._place[name]]
            whole = floats(column)
            values[:, c] = (
                self._cell_by_cell(name, column, numbers, refused) if whole is None else whole
            )
            # An empty cell is missing. A cell "nan" is not finite; only that is counted.
            self.counts["non_finite"] += (
                0 if whole is None else int(np.isnan(whole).sum()) - column.count("")
            )
        return values

    def _cell_by_cell(
        self, name: str, column: Sequence[str], numbers: I64, refused: Refusals
    ) -> F64:
        out = np.full(len(column), np.nan)
        for row, cell in enumerate(column):
            number = number_of(cell)
            if number is not None:
                out[row] = number
                self.counts["non_finite"] += math.isnan(number)
            elif cell.strip().lower() not in NOTHING:
                refused.add(
                    int(numbers[row]), "wrong_type", f"{name}: {shown(cell)} is not a number"
                )
        return out

    def _regular(self, lines: Sequence[bytes]) -> tuple[list[Row] | None, I64 | None]:
        """All cells by column if every line has one plain cell per column; else (None, None)."""
        block = b"\n".join(lines)
        width, separator = len(self.columns), self.separator.encode()
        try:
            # A record of a topic may hold line ends or be empty; a line of a file cannot.
            if (
                b'"' in block
                or b"\r" in block
                or block.count(b"\n") != len(lines) - 1
                or not all(lines)
            ):
                return self._quoted(lines)
            if set(map(methodcaller("count", separator), lines)) != {width - 1}:
                return None, None
            flat = block.decode().replace("\n", self.separator).split(self.separator)
        except (UnicodeDecodeError, csv.Error):
            return None, None
        return [flat[i::width] for i in range(width)], np.arange(len(lines))

    def _quoted(self, lines: Sequence[bytes]) -> tuple[list[Row] | None, I64 | None]:
        texts = (line.decode().removesuffix("\r") for line in lines)
        rows = list(csv.reader(texts, delimiter=self.separator, strict=True))
        if len(rows) != len(lines) or set(map(len, rows)) != {len(self.columns)}:
            return None, None
        return [list(column) for column in zip(*rows, strict=True)], np.arange(len(lines))

    def _irregular(self, lines: Sequence[bytes], refused: Refusals) -> tuple[list[Row], I64]:
        rows, numbers = [], []
        for i, line in enumerate(lines):
            row = self._row(i, line, refused) if i not in refused else None
            if row is not None:
                rows.append(row)
                numbers.append(i)
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in self.columns]
        return columns, np.array(numbers, dtype=np.int64)

    def _row(self, number: int, line: bytes, refused: Refusals) -> Row | None:
        try:
            row = parse_row(line.decode(), self.separator)
        except UnicodeDecodeError as exc:
            refused.add(
                number, "not_utf8", f"byte {line[exc.start]:#04x} at {exc.start} is not UTF-8"
            )
            return None
        except csv.Error as exc:
            refused.add(number, "bad_csv", f"{exc}: {shown(line[:80])}")
            return None
        width = len(self.columns)
        while len(row) > width and not row[-1].strip():
            row.pop()
        if len(row) < width:
            return self._short_row(number, row, refused)
        if len(row) > width:
            refused.add(
                number, "bad_csv", f"{len(row)} cells for {width} columns: {shown(line[:80])}"
            )
            return None
        return row

    def _short_row(self, number: int, row: Row, refused: Refusals) -> Row | None:
        """Fill up a row that is too short, if no field that is read is among the absent cells."""
        gone = [name for name in self.own.names if self._place[name] >= len(row)]
        if gone:
            refused.add(
                number,
                "missing_field",
                f"{gone[0]}: the row has {len(row)} of {len(self.columns)} cells",
            )
            return None
        return row + [""] * (len(self.columns) - len(row))


def place_of(name: str, columns: Sequence[str]) -> int:
    """Return the index of a column; InputError suggests the nearest name."""
    if name in columns:
        return columns.index(name)
    near = get_close_matches(name, columns, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"the columns are {shown(', '.join(columns))}"
    raise InputError(f"there is no column {name!r}; {hint}")


def parse_row(text: str, separator: str) -> Row:
    """Return the cells of one record; csv.Error if its quotes do not close."""
    rows = list(csv.reader([text.removesuffix("\r")], delimiter=separator, strict=True))
    return rows[0] if rows else []


def floats(column: Sequence[str]) -> F64 | None:
    """Return a column as numbers, empty cells as NaN; None if a cell is not a number."""
    try:
        numbers = np.fromiter(map(float, column), np.float64, len(column))
    except ValueError:
        try:
            numbers = np.fromiter(
                (float(cell or "nan") for cell in column), np.float64, len(column)
            )
        except ValueError:
            return None
    # float() accepts 1_000 and digits of any script; neither is a number in CSV.
    joined = "".join(column)
    return numbers if "_" not in joined and joined.isascii() else None


def number_of(cell: str) -> float | None:
    """The number in a cell, or None; thousands separators are not accepted."""
    if "_" in cell or not cell.isascii():
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def join_quoted(
    lines: Sequence[bytes], separator: bytes, limit: int
) -> tuple[list[bytes], list[bytes]]:
    """Join physical lines to records; return (records, lines of a record still open).

    A record over `limit` bytes stays split.
    """
    records: list[bytes] = []
    held: list[bytes] = []
    quotes = size = 0
    for line in lines:
        if not held and not opens_quote(line, separator):
            records.append(line)
            continue
        held.append(line)
        quotes, size = quotes + line.count(b'"'), size + len(line)
        if quotes % 2 == 0:
            records.append(b"\n".join(held))
        elif size > limit:
            records += held
        else:
            continue
        held, quotes, size = [], 0, 0
    return records, held


def opens_quote(line: bytes, separator: bytes) -> bool:
    """Whether a quoted cell of the line is still open at its end."""
    if line.count(b'"') % 2 == 0:
        return False
    return line.lstrip().startswith(b'"') or separator + b'"' in line


def sniff_separator(lines: Sequence[bytes]) -> str:
    """The separator that splits most lines into the same number (>= 2) of cells; else comma."""

    def regularity(separator: str) -> tuple[float, int]:
        widths = [len(row) for row in (cells_of(line, separator) for line in lines[:100]) if row]
        usual = max(set(widths), key=widths.count, default=1)
        return (widths.count(usual) / len(widths) if usual > 1 else 0.0), usual

    return max(SEPARATORS, key=regularity)


def cells_of(line: bytes, separator: str) -> list[str]:
    """Stripped cells of a line; empty if it is not CSV."""
    try:
        return [cell.strip() for cell in parse_row(line.decode(errors="replace"), separator)]
    except csv.Error:
        return []


def is_header(row: Sequence[str]) -> bool:
    """Whether a first row can be names: no cell is a number or a time."""
    return bool(row) and not any(map(is_value, row))


def is_value(cell: str) -> bool:
    """Whether a cell is a number or a time."""
    return number_of(cell) is not None or not math.isnan(seconds_of_cell(cell, "iso"))
