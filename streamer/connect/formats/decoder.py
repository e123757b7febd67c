"""Base of decoders: bytes of records to one EventBatch and a list of rejected records.

Reasons: too_long, not_utf8, too_deep, bad_json, bad_csv, bad_msgpack, bad_avro, unknown_schema,
missing_field, wrong_type, bad_time, bad_entity. A value that is empty, null or not finite is
missing (NaN), not rejected. `Decoder.counts["non_finite"]` counts the values that are not finite.
"""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Sequence

import numpy as np

from streamer.connect.formats.columns import Columns, RecordFields, Refusals
from streamer.connect.formats.record_metadata import RecordMetadata, filled
from streamer.event import F32, F64, I32, I64, EventBatch, Lease, Rejected

MAX_LINE_BYTES = 1 << 20
MAX_NAME = 256
RAW_KEPT = 1 << 16  # bytes kept of an overlong line; other lines are kept whole
SHOWN = 60


class Decoder(abc.ABC):
    """Decodes the records of one stream, from lines of a file or one lease of a partition.

    `counts` is its only state, so the split into batches changes nothing.
    """

    def __init__(
        self,
        fields: RecordFields,
        *,
        stream: str,
        lease: Lease | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self.fields, self.own, self.stream, self.lease = fields, fields.own, stream, lease
        self.max_line_bytes = max_line_bytes
        self.counts: Counter[str] = Counter()

    def decode(
        self, lines: Sequence[bytes], offsets: I64, beside: RecordMetadata | None = None
    ) -> tuple[EventBatch, list[Rejected]]:
        """Decode one record per line; rows keep the order of the lines.

        `offsets` (len(lines),) are positions in the log. `beside` is required if a field is outside
        of the value. RetryLater if a service that decoding needs does not answer: nothing is
        counted, pass the same lines again later.
        """
        refused = Refusals()
        columns = self._columns(self._short(lines, refused), refused)
        if self.fields.outside:
            assert beside is not None, (
                "this stream's records are decoded with what stands beside them"
            )
            columns = filled(columns, self.fields, beside, refused)
        batch = self._batch(columns, offsets, refused)
        rejected = [
            Rejected(int(offsets[line]), reason, detail, _kept(lines[line], reason), self.lease)
            for line, (reason, detail) in sorted(refused.items())
        ]
        return batch, rejected

    @abc.abstractmethod
    def _columns(self, lines: Sequence[bytes], refused: Refusals) -> Columns:
        """Parse the lines not yet refused, by `own` fields.

        Add those that cannot be parsed to `refused`.
        """

    def _short(self, lines: Sequence[bytes], refused: Refusals) -> Sequence[bytes]:
        limit = self.max_line_bytes
        if max(map(len, lines), default=0) > limit:
            for i, line in enumerate(lines):
                if len(line) > limit:
                    refused.add(i, "too_long", f"the record is longer than {limit} bytes")
        return lines

    def _batch(self, columns: Columns, offsets: I64, refused: Refusals) -> EventBatch:
        offset = offsets[columns.line]
        keys, entity = self._entities(columns, refused)
        time_s = self._times(columns, offset, refused)
        values = self._finite(columns.values)
        topic, partition, epoch = self.lease or Lease(self.stream, 0)
        batch = EventBatch(
            self.stream, topic, partition, keys, entity, time_s, values, offset, epoch
        )
        if not refused:
            return batch
        return batch.rows(
            np.array([line not in refused for line in columns.line.tolist()], dtype=bool)
        )

    def _entities(self, columns: Columns, refused: Refusals) -> tuple[tuple[str, ...], I32]:
        n = len(columns.line)
        if not self.fields.entity:
            return (self.stream,), np.zeros((n, 1), dtype=np.int32)
        keys, entity = entity_codes(columns.entity, n)
        for code, name in enumerate(keys):
            if not name or len(name) > MAX_NAME:
                self._refuse_entity(code, name, entity, columns.line, refused)
        return keys, entity

    def _refuse_entity(
        self, code: int, name: str, entity: I32, line: I64, refused: Refusals
    ) -> None:
        for row, column in np.argwhere(entity == code).tolist():
            problem = (
                "is empty" if not name else f"is longer than {MAX_NAME} characters: {shown(name)}"
            )
            refused.add(int(line[row]), "bad_entity", f"{self.fields.entity[column]}: {problem}")

    def _times(self, columns: Columns, offset: I64, refused: Refusals) -> F64:
        if columns.time_s is None:
            return offset.astype(np.float64)
        for row in np.flatnonzero(np.isnan(columns.time_s)).tolist():
            cell = columns.time_shown[row]
            detail = f"{self.fields.time}: {shown(cell)} is no time between 1970 and 2100"
            refused.add(int(columns.line[row]), "bad_time", detail)
        return columns.time_s

    def _finite(self, values: F64) -> F32:
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32)
        infinite = np.isinf(narrow)
        count = int(np.count_nonzero(infinite))
        if count:
            self.counts["non_finite"] += count
            narrow[infinite] = np.nan
        return narrow


def _kept(line: bytes, reason: str) -> bytes:
    return line[:RAW_KEPT] if reason == "too_long" else line


def entity_codes(columns: Sequence[Sequence[str | int]], n: int) -> tuple[tuple[str, ...], I32]:
    """Return the distinct stripped names of K columns, and codes (N, K) into them."""
    keys: dict[str, int] = {}
    codes = np.empty((n, len(columns)), dtype=np.int32)
    for k, column in enumerate(columns):
        table = {
            name: keys.setdefault(str(name).strip(), len(keys)) for name in dict.fromkeys(column)
        }
        codes[:, k] = np.fromiter(map(table.__getitem__, column), np.int32, n)
    return tuple(keys), codes


def shown(value: object) -> str:
    """Return a value for a message: quoted, escaped, shortened."""
    text = ascii(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
