"""Rows of a file as the bytes of records, in the format that a stream reads: what
`replay` pushes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from streamer.errors import ConfigError

if TYPE_CHECKING:
    from streamer.config import KafkaSource
    from streamer.connect.files.rows import FileRows

ToBytes = Callable[[dict[str, Any]], bytes]


def refuse_unwritable(source: KafkaSource, stream: str) -> None:
    """ConfigError where nobody can know the bytes: the schema of Avro records is their
    producer's.
    """
    if source.format == "avro":
        fix = (
            "push with its producer's serializer, or choose a topic of JSON records with --to "
            "and without --stream"
        )
        raise ConfigError(
            "source.format",
            f"stream {stream} reads avro, which needs a schema to be written; {fix}",
        )


def to_bytes(rows: FileRows, source: KafkaSource | None) -> ToBytes:
    """From a row to the bytes of its record; JSON where no source says how it reads them."""
    if source is not None and source.format == "msgpack":
        return msgspec.msgpack.Encoder().encode
    if source is not None and source.format == "csv":
        return partial(_csv_record, rows, source.columns)
    return msgspec.json.Encoder().encode


def _csv_record(rows: FileRows, columns: Sequence[str], record: dict[str, Any]) -> bytes:
    """One cell for each of the columns, empty where the row has no such field."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([rows.key_of(record, name) for name in columns])
    return line.getvalue().encode()
