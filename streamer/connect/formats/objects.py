"""Objects to columns, independent of their encoding.

Each record is parsed with a typed struct; if that fails, it is parsed again as plain values to
accept it or to name its fault.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from streamer import timefmt
from streamer.connect.formats.columns import Columns, RecordFields, Refusals
from streamer.connect.formats.decoder import MAX_LINE_BYTES, Decoder, shown
from streamer.connect.formats.times import (
    LATEST_S,
    PER_SECOND,
    seconds_of_cell,
    seconds_of_numbers,
    seconds_of_text,
)
from streamer.errors import ConfigError
from streamer.event import F64, Lease

Path = tuple[str, ...]
NAME, TIME, VALUE = str | int, float | int | str, float | bool | None
ABSENT = object()


class Unreadable(ValueError):
    """Bytes that cannot be parsed: a reason of the decoder, and a detail if known."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Unreadable)


class ObjectDecoder(Decoder):
    """Decoder of one object per record.

    Unknown fields are ignored, an absent channel is missing, true and false are 1 and 0. A null
    parent has no fields. Subclasses parse bytes to a typed record, and to plain dictionaries,
    numbers and texts.
    """

    malformed = "bad_object"  # reason for bytes that are no object

    def __init__(
        self,
        fields: RecordFields,
        *,
        stream: str,
        lease: Lease | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        super().__init__(fields, stream=stream, lease=lease, max_line_bytes=max_line_bytes)
        kinds: list[tuple[str, Any]] = [(name, NAME) for name in self.own.entity]
        kinds += [(self.own.time, TIME)] if self.own.time is not None else []
        kinds += [(name, VALUE) for name in self.own.channels]
        self._paths = {name: split_path(name) for name, _ in kinds}
        self._record, attributes = record_type({self._paths[name]: kind for name, kind in kinds})
        self._get = {name: attrgetter(attributes[self._paths[name]]) for name, _ in kinds}
        self._typed = self._typed_parser(self._record)

    @abc.abstractmethod
    def _typed_parser(self, record: type) -> Callable[[bytes], Any]:
        """Return a parser from bytes to a record; it raises one of FAULTS."""

    @abc.abstractmethod
    def _plain(self, line: bytes) -> Any:
        """Parse bytes to plain values; raise one of FAULTS."""

    def _columns(self, lines: Sequence[bytes], refused: Refusals) -> Columns:
        numbers, records = self._records(lines, refused)
        time_s, cells = self._time(records)
        values = np.empty((len(records), len(self.own.channels)), dtype=np.float64)
        for c, name in enumerate(self.own.channels):
            values[:, c] = channel(list(map(self._get[name], records)))
        self._refuse_strangers(lines, numbers, values, refused)
        entity = [list(map(self._get[name], records)) for name in self.own.entity]
        return Columns(np.array(numbers, dtype=np.int64), entity, time_s, cells, values)

    def _records(
        self, lines: Sequence[bytes], refused: Refusals
    ) -> tuple[Sequence[int], list[Any]]:
        if not refused:
            try:
                return range(len(lines)), list(map(self._typed, lines))
            except FAULTS:
                pass
        found = [
            (i, self._one(i, line, refused)) for i, line in enumerate(lines) if i not in refused
        ]
        found = [(i, record) for i, record in found if record is not None]
        return [i for i, _ in found], [record for _, record in found]

    def _one(self, number: int, line: bytes, refused: Refusals) -> Any:
        try:
            return self._typed(line)
        except FAULTS as exc:
            if self._deserves_another(exc, line):
                return self._second_look(number, line, str(exc), refused)
            return refused.add(number, *self._verdict(exc, line))

    def _deserves_another(self, exc: Exception, line: bytes) -> bool:
        """Whether to parse a refused record again as plain values.

        It may be valid after all, or its fault can be named more precisely.
        """
        return isinstance(exc, msgspec.ValidationError)

    def _second_look(self, number: int, line: bytes, problem: str, refused: Refusals) -> Any:
        """Return the record if it is valid after all; else refuse it with its fault.

        Valid are a number too large for a float and a null parent.
        """
        try:
            parsed = self._plain(line)
        except FAULTS as exc:
            return refused.add(number, *self._verdict(exc, line, problem))
        wrong = self._what_is_wrong(parsed)
        if wrong:
            return refused.add(number, *wrong)
        return msgspec.convert(self._mended(parsed), self._record)

    def _verdict(self, exc: Exception, line: bytes, problem: str = "") -> tuple[str, str]:
        """Reason and detail of bytes that are not an object."""
        if isinstance(exc, Unreadable) and exc.detail:
            return exc.reason, exc.detail
        if isinstance(exc, RecursionError):
            return "too_deep", "objects or lists are nested too deeply"
        if isinstance(exc, UnicodeDecodeError):
            return "not_utf8", f"byte {exc.object[exc.start]:#04x} at {exc.start} is not UTF-8"
        return self.malformed, f"{problem or exc}: {shown(line[:80])}"

    def _what_is_wrong(self, parsed: Any) -> tuple[str, str] | None:
        if not isinstance(parsed, dict):
            return "wrong_type", f"the record is {shown(parsed)}, not an object"
        for name, path in self._paths.items():
            value = lookup(parsed, path)
            required = name not in self.own.channels
            if value is ABSENT and required:
                return (
                    "missing_field",
                    f"{name}: missing; the record has {shown(', '.join(map(str, parsed)))}",
                )
            if value is not ABSENT and not self._fits(name, value):
                return "wrong_type", f"{name}: {shown(value)} is not {self._wanted(name)}"
        return self._broken_parent(parsed)

    def _broken_parent(self, parsed: dict[str, Any]) -> tuple[str, str] | None:
        for path in self._paths.values():
            for depth in range(1, len(path)):
                parent = lookup(parsed, path[:depth])
                if parent is not ABSENT and parent is not None and not isinstance(parent, dict):
                    return (
                        "wrong_type",
                        f"{'.'.join(path[:depth])}: {shown(parent)} is not an object",
                    )
        return None

    def _fits(self, name: str, value: Any) -> bool:
        if name in self.own.entity:
            return isinstance(value, str | int) and not isinstance(value, bool)
        if name == self.own.time:
            return isinstance(value, str | int | float | datetime) and not isinstance(value, bool)
        return value is None or isinstance(value, int | float)

    def _wanted(self, name: str) -> str:
        if name in self.own.entity:
            return "a name (text or whole number)"
        return "a time (text or number)" if name == self.own.time else "a number"

    def _mended(self, parsed: dict[str, Any]) -> dict[str, Any]:
        """The fields that are read, as the typed record accepts them."""
        mended: dict[str, Any] = {}
        for name, path in self._paths.items():
            value, holder = lookup(parsed, path), mended
            for step in path[:-1]:
                holder = holder.setdefault(step, {})
            if isinstance(value, datetime):
                holder[path[-1]] = time_cell(value.timestamp(), self.own.time_unit)
            elif value is not ABSENT:
                holder[path[-1]] = (
                    as_float(value) if name in self.own.channels and value is not None else value
                )
        return mended

    def _time(self, records: list[Any]) -> tuple[F64 | None, Sequence[Any]]:
        if self.own.time is None:
            return None, ()
        cells = list(map(self._get[self.own.time], records))
        return seconds_of_mixed(cells, self.own.time_unit), cells

    def _refuse_strangers(
        self, lines: Sequence[bytes], numbers: Sequence[int], values: F64, refused: Refusals
    ) -> None:
        """Refuse records that have none of the channels, not even as null.

        They are of another kind, so `missing` would mislead.
        """
        for row in np.flatnonzero(np.isnan(values).all(axis=1)).tolist():
            number = numbers[row]
            try:
                parsed = self._plain(lines[number])
            except FAULTS as exc:
                refused.add(
                    number, *self._verdict(exc, lines[number], "broken in a field that is not read")
                )
                continue
            if all(lookup(parsed, self._paths[name]) is ABSENT for name in self.own.channels):
                wanted, has = (
                    shown(", ".join(self.own.channels)),
                    shown(", ".join(map(str, parsed))),
                )
                refused.add(number, "missing_field", f"none of {wanted} in it; it has {has}")


def channel(cells: Sequence[float | None]) -> F64:
    """Return cells (N,) as numbers: NaN for None, infinity for a number that is not finite."""
    column = np.array(cells, dtype=np.float64)
    nan = np.isnan(column)
    if nan.any() and np.count_nonzero(nan) > cells.count(None):
        column[nan & np.array([cell is not None for cell in cells])] = np.inf
    return column


def time_cell(seconds: float, unit: str) -> float | str:
    """Return a known time as a cell in the unit in which the times of the stream are read."""
    if not 0 <= seconds <= LATEST_S:
        return math.nan
    if unit == "iso":
        return timefmt.iso(seconds)
    return seconds * PER_SECOND.get(unit, 1.0)


def seconds_of_mixed(cells: Sequence[str | float], unit: str) -> F64:
    """Seconds (N,) of times given as numbers, texts or both; NaN where a cell is no time."""
    kinds = set(map(type, cells))
    if str not in kinds:
        return (
            seconds_of_numbers(_as_floats(cells), unit)
            if unit != "iso"
            else np.full(len(cells), np.nan)
        )
    if kinds == {str}:
        return seconds_of_text([str(cell) for cell in cells], unit)
    return np.array([seconds_of_cell(cell, unit) for cell in cells], dtype=np.float64)


def _as_floats(cells: Sequence[Any]) -> F64:
    try:
        return np.array(cells, dtype=np.float64)
    except OverflowError:
        return np.array([as_float(cell) for cell in cells], dtype=np.float64)


def as_float(cell: Any) -> float:
    """The number as float; infinite if it is too large."""
    try:
        return float(cell)
    except OverflowError:
        return math.inf if cell > 0 else -math.inf


def split_path(name: str) -> Path:
    """Split a name into steps of nested objects: `a.b` -> (a, b), `a\\.b` -> (a.b,)."""
    parts = name.replace("\\.", "\0").split(".")
    if not all(parts):
        raise ConfigError("fields", "a field name has an empty step between dots", name)
    return tuple(part.replace("\0", ".") for part in parts)


def lookup(parsed: Any, path: Path) -> Any:
    """The value at the path, or ABSENT."""
    for step in path:
        if not isinstance(parsed, dict) or step not in parsed:
            return ABSENT
        parsed = parsed[step]
    return parsed


def record_type(kinds: Mapping[Path, Any]) -> tuple[type, dict[Path, str]]:
    """A msgspec struct that reads the given paths, and the dotted attribute of each path."""
    leaves = {path[0]: kind for path, kind in kinds.items() if len(path) == 1}
    below: dict[str, dict[Path, Any]] = {}
    for path, kind in kinds.items():
        if len(path) > 1:
            below.setdefault(path[0], {})[path[1:]] = kind
    both = leaves.keys() & below.keys()
    if both:
        raise ConfigError("fields", "a field cannot be a value and an object at once", min(both))
    return _struct(leaves, below)


def _struct(
    leaves: dict[str, Any], below: dict[str, dict[Path, Any]]
) -> tuple[type, dict[Path, str]]:
    fields: list[Any] = []
    rename: dict[str, str] = {}
    attributes: dict[Path, str] = {}
    for i, (name, kind) in enumerate(leaves.items()):
        fields.append((f"v{i}", kind, None) if kind == VALUE else (f"v{i}", kind))
        rename[f"v{i}"], attributes[(name,)] = name, f"v{i}"
    for i, (name, inner) in enumerate(below.items()):
        nested, inside = record_type(inner)
        default = (msgspec.field(default_factory=nested),) if _optional(inner) else ()
        fields.append((f"o{i}", nested, *default))
        rename[f"o{i}"] = name
        attributes |= {(name, *path): f"o{i}.{attribute}" for path, attribute in inside.items()}
    return msgspec.defstruct("Record", fields, rename=rename, kw_only=True, gc=False), attributes


def _optional(kinds: Mapping[Path, Any]) -> bool:
    return all(kind == VALUE for kind in kinds.values())
