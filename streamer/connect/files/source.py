"""A CSV or JSON lines file, or stdin, as a source, at full or recorded speed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.connect.base.pace import PacedSource, Pacer, Wait
from streamer.connect.files.lines import LineBuffer, is_pipe
from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.csv import (
    CsvDecoder,
    cells_of,
    is_header,
    join_quoted,
    sniff_separator,
)
from streamer.connect.formats.decoder import MAX_LINE_BYTES, Decoder
from streamer.connect.formats.json import JsonDecoder
from streamer.errors import InputError
from streamer.event import Poll
from streamer.protocols import Clock

SNIFFED = 100  # lines from which the separator is inferred


@dataclass(slots=True)
class FileForm:
    """How the rows of a file are written; `auto` is found out by its first line."""

    kind: str  # auto | csv | jsonl
    separator: str  # of a CSV, or auto
    columns: tuple[str, ...] | None  # of a CSV without header


class FileSource(PacedSource):
    """Data rows of a file in order.

    Offsets are row numbers from 0, without the header and blank lines. `form` is auto, csv or
    jsonl. `columns` names the cells of a CSV without header (default: column_1, ...). Decompresses
    gz, xz, bz2; "-" is stdin. Damage raises InputError after all records before it were delivered.
    Ends with None.
    """

    def __init__(
        self,
        path: str | Path,
        fields: RecordFields,
        *,
        stream: str = "file",
        form: str = "auto",
        separator: str = "auto",
        columns: tuple[str, ...] | None = None,
        rows: int = 4096,
        pace: float | None = None,
        clock: Clock = time.monotonic,
        wait: Wait | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self.channels = fields.channels
        self.entity_keys = max(len(fields.entity), 1)
        self.rows_read = 0
        self._fields, self._stream, self._rows, self._limit = fields, stream, rows, max_line_bytes
        super().__init__(Pacer(pace, clock, wait))
        self._form = FileForm(form, separator, columns)
        self._lines = LineBuffer(path, max_line_bytes)
        self._decoder: Decoder | None = None
        self._open: list[bytes] = []  # lines of a record whose quotes are still open
        if not is_pipe(path):
            self._prepare(0.0)

    @property
    def counts(self) -> Mapping[str, int]:
        """Counts of repaired values: `non_finite` values that became missing."""
        return self._decoder.counts if self._decoder else {}

    def close(self) -> None:
        if not self._closed:
            super().close()
            self._lines.close()

    def _fetch(self, timeout_s: float) -> Poll | None:
        if self._decoder is None and not self._prepare(timeout_s):
            return Poll()
        assert self._decoder is not None
        lines = self._lines.take(self._rows, timeout_s)
        if not lines and not self._open:
            return None if self._lines.ended else Poll()
        records = self._records(lines)
        offsets = np.arange(self.rows_read, self.rows_read + len(records), dtype=np.int64)
        self.rows_read += len(records)
        batch, rejected = self._decoder.decode(records, offsets)
        return Poll((batch,) if len(batch) else (), tuple(rejected))

    def _records(self, lines: list[bytes]) -> list[bytes]:
        """Whole records among the lines; lines of an unfinished record stay in `_open`."""
        if isinstance(self._decoder, CsvDecoder) and (
            self._open or any(b'"' in line for line in lines)
        ):
            records, held = join_quoted(
                self._open + lines, self._form.separator.encode(), self._limit
            )
            ended = self._lines.ended and not lines
            self._open, lines = ([], records + held) if ended else (held, records)
        return [line for line in lines if line and not line.isspace()]

    def _prepare(self, timeout_s: float) -> bool:
        """Read up to the first line that is not blank and choose the decoder.

        False if that line has not arrived.
        """
        while lines := self._lines.take(1, timeout_s):
            if lines[0].strip():
                self._decoder = self._choose(lines[0])
                return True
        if self._lines.ended:
            raise InputError(f"{self._lines.name}: has only blank lines")
        return False

    def _choose(self, first: bytes) -> Decoder:
        kind = form_of(first, self._lines.name) if self._form.kind == "auto" else self._form.kind
        if kind == "jsonl":
            self._lines.give_back([first])
            return JsonDecoder(self._fields, stream=self._stream, max_line_bytes=self._limit)
        if self._form.separator == "auto":
            self._form.separator = self._sniffed(first)
        columns = self._form.columns or names_of(first, self._form.separator, self._lines.name)
        if columns != header_cells(first, self._form.separator):
            self._lines.give_back([first])
        return self._csv(columns)

    def _sniffed(self, first: bytes) -> str:
        more = self._lines.take(SNIFFED, 0.0)
        self._lines.give_back(more)
        return sniff_separator([first, *more])

    def _csv(self, columns: tuple[str, ...]) -> Decoder:
        try:
            return CsvDecoder(
                self._fields,
                columns,
                stream=self._stream,
                separator=self._form.separator,
                max_line_bytes=self._limit,
            )
        except InputError as exc:
            raise InputError(f"{self._lines.name}: {exc}") from None


def form_of(line: bytes, name: str) -> str:
    """Return `jsonl` or `csv`, from the first line."""
    start = line.lstrip()[:1]
    if start == b"[":
        raise InputError(f"{name}: is one JSON array; make lines of it with `jq -c '.[]'`")
    return "jsonl" if start == b"{" else "csv"


def names_of(line: bytes, separator: str, name: str) -> tuple[str, ...]:
    """Return column names from the first line: its cells, or column_1, column_2, ...

    Cells that are values cannot be names.
    """
    cells = header_cells(line, separator)
    if not cells:
        raise InputError(f"{name}: its first line is no CSV in UTF-8")
    return header_of(line, separator, name) if is_header(cells) else numbered(len(cells))


def numbered(width: int) -> tuple[str, ...]:
    """Names of the columns of a file without a header."""
    return tuple(f"column_{i + 1}" for i in range(width))


def header_of(line: bytes, separator: str, name: str) -> tuple[str, ...]:
    """Column names of a header line, empty ones as column_N; InputError if two are equal."""
    columns = header_cells(line, separator)
    twice = {column for column in columns if columns.count(column) > 1}
    if twice:
        raise InputError(f"{name}: two columns are named {min(twice)!r}; rename one")
    return columns


def header_cells(line: bytes, separator: str) -> tuple[str, ...]:
    return tuple(cell or f"column_{i + 1}" for i, cell in enumerate(cells_of(line, separator)))
