"""Rows of a file as bytes of records in the format of a stream, for `replay`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from streamer.errors import ConfigError

if TYPE_CHECKING:
    from streamer.config.parts import Framing
    from streamer.connect.files.rows import FileRows

ToBytes = Callable[[dict[str, Any]], bytes]


def refuse_unwritable(framing: Framing, stream: str) -> None:
    """ConfigError for Avro: only the producer of the records knows their schema."""
    if framing.format == "avro":
        fix = (
            "push with its producer's serializer, or choose a topic of JSON records with --to "
            "and without --stream"
        )
        raise ConfigError(
            "source.format",
            f"stream {stream} reads avro, which needs a schema to be written; {fix}",
        )


def to_bytes(rows: FileRows, framing: Framing | None) -> ToBytes:
    """Return the function from a row to the bytes of its record; JSON without a framing."""
    if framing is not None and framing.format == "msgpack":
        return msgspec.msgpack.Encoder().encode
    if framing is not None and framing.format == "csv":
        return partial(_csv_record, rows, framing.columns)
    return msgspec.json.Encoder().encode


def _csv_record(rows: FileRows, columns: Sequence[str], record: dict[str, Any]) -> bytes:
    """One cell per column, empty where the row has no such field."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([rows.key_of(record, name) for name in columns])
    return line.getvalue().encode()
