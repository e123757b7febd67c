"""Detection of unknown records: their format, their text lines and the shape of their rows."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from streamer.connect.formats.csv import cells_of, sniff_separator
from streamer.errors import ConfigError, InputError
from streamer.event import F64, EventBatch

if TYPE_CHECKING:
    from streamer.config import SchemaRegistry

FRAME = struct.Struct(">bI")  # header of the schema registry: a zero and the id of the schema
MAPS = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})  # first bytes of a map in MessagePack
FORMATS = ("json", "msgpack", "avro", "csv")


def format_of(value: bytes) -> str | None:
    """The format of one record: `json`, `msgpack`, `avro` or `csv`; None if it is none of these."""
    if len(value) > FRAME.size and value[0] == 0:
        return "avro"
    if value.lstrip()[:1] == b"{":
        return "json" if _json(value) is not None else None
    if value and value[0] in MAPS and _msgpack(value) is not None:
        return "msgpack"
    return "csv" if _is_row(value) else None


def common_format(values: Sequence[bytes]) -> str:
    """The format of most records; InputError if no record can be understood."""
    found = Counter(map(format_of, values))
    best = max(FORMATS, key=lambda name: found[name])
    if not found[best]:
        start = values[0][:40] if values else b""
        raise InputError(
            f"no record is JSON, MessagePack, Avro or CSV; the first begins with {start!r}"
        )
    return best


def lines_of(values: Sequence[bytes], form: str, registry: SchemaRegistry | None) -> bytes:
    """Return the records of that format as lines of JSON, or of CSV.

    ConfigError for Avro without a usable schema registry.
    """
    if form == "csv":
        rows = [value.strip() for value in values if format_of(value) == form]
        _require_comma(rows)
        return b"\n".join(rows) + b"\n"
    objects = {"json": _json, "msgpack": _msgpack, "avro": None}[form] or _avro_reader(
        registry, values
    )
    found = (objects(value) for value in values if format_of(value) == form)
    return b"".join(
        json.dumps(each, default=str).encode() + b"\n" for each in found if each is not None
    )


def _json(value: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _msgpack(value: bytes) -> dict[str, Any] | None:
    import msgspec

    try:
        parsed = msgspec.msgpack.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return {str(name): cell for name, cell in parsed.items()} if isinstance(parsed, dict) else None


def _is_row(value: bytes) -> bool:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return False
    one_line = "\n" not in text.strip() and text.replace("\t", "").strip().isprintable()
    return one_line and len(cells_of(value.strip(), sniff_separator([value]))) > 1


def _require_comma(rows: Sequence[bytes]) -> None:
    separator = sniff_separator(rows)
    if separator != ",":
        raise InputError(
            f"the rows are separated by {separator!r}; of CSV in a topic only commas are read"
        )


def _avro_reader(
    registry: SchemaRegistry | None, values: Sequence[bytes]
) -> Callable[[bytes], Mapping[str, Any] | None]:
    ids = sorted({FRAME.unpack_from(value)[1] for value in values if format_of(value) == "avro"})
    if registry is None:
        shown = ", ".join(map(str, ids[:5]))
        problem = (
            f"is needed: the records are Avro (schema {shown}), whose fields only the "
            f"registry knows"
        )
        raise ConfigError("schema_registry.url", problem)
    try:
        from fastavro import schemaless_reader
    except ImportError as exc:
        raise ConfigError("format", "avro needs fastavro: pip install 'streamer[avro]'") from exc
    from io import BytesIO

    from streamer.connect.formats.avro_schema import plan_for
    from streamer.connect.formats.schema_registry import SchemaRegistry as Client

    client = Client(registry)
    plans = {number: plan_for(client.schema(number), client.version, {}) for number in ids}

    def read(value: bytes) -> Mapping[str, Any] | None:
        try:
            record = schemaless_reader(
                BytesIO(value[FRAME.size :]), plans[FRAME.unpack_from(value)[1]].schema, None
            )
        except (ValueError, EOFError, IndexError, TypeError):
            return None
        return record if isinstance(record, dict) else None

    return read


@dataclass(frozen=True, slots=True)
class Shape:
    """Statistics of rows in their order. Seconds; NaN if unknown."""

    rows: int
    entities: int
    gap_s: float  # median, between two events of one entity
    long_gap_s: float  # 99th percentile
    late_s: float  # largest delay of an event behind the newest of its entity
    span_s: float
    silent: tuple[str, ...]  # channels without a value in more than half of the rows


def shape_of(batches: Sequence[EventBatch], channels: Sequence[str]) -> Shape:
    """Return the shape of a sample, by the first entity key."""
    rows = sum(map(len, batches))
    if rows == 0:
        raise InputError("no record of the sample can be read")
    names = np.concatenate(
        [np.array(batch.keys, dtype=object)[batch.entity[:, 0]] for batch in batches]
    )
    time_s = np.concatenate([batch.time_s for batch in batches])
    values = np.concatenate([batch.values for batch in batches])
    series = [time_s[names == name] for name in dict.fromkeys(names)]
    gaps = np.concatenate([np.diff(np.sort(each)) for each in series])
    gaps = gaps[gaps > 0]
    usual, long = np.quantile(gaps, [0.5, 0.99]) if len(gaps) else (np.nan, np.nan)
    missing = np.isnan(values).mean(axis=0)
    return Shape(
        rows,
        len(series),
        float(usual),
        float(long),
        max(map(_lateness, series)),
        float(np.ptp(time_s)),
        tuple(name for name, share in zip(channels, missing, strict=True) if share > 0.5),
    )


def _lateness(time_s: F64) -> float:
    return float((np.maximum.accumulate(time_s) - time_s).max())
