"""Records of one partition from one poll, by columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from streamer.connect.kafka.client.columnar_patch import Chunk, Joined, envelope
from streamer.event import I64


class Records(Protocol):
    """Records of one partition by columns, in log order."""

    @property
    def offsets(self) -> I64: ...

    @property
    def values(self) -> Sequence[bytes | None]: ...

    def __len__(self) -> int: ...

    def envelope(self, row: int) -> dict[str, Any]:
        """Key, headers and timestamp_ms of a row, named as in Rejected."""

    def keys(self) -> list[bytes | None]: ...

    def times_ms(self) -> I64:
        """Record times (N,); negative if there is none."""

    def mentions(self, header: str) -> bool:
        """Whether a record may have a header of that name; False is certain."""


@dataclass(slots=True)
class Listed:
    """Records as the client returns them, one object each."""

    rows: Sequence[Any]
    offsets: I64
    values: Sequence[bytes | None]

    @classmethod
    def of(cls, rows: Sequence[Any]) -> Listed:
        offsets = np.fromiter((row.offset for row in rows), np.int64, len(rows))
        return cls(rows, offsets, [row.value for row in rows])

    def __len__(self) -> int:
        return len(self.rows)

    def envelope(self, row: int) -> dict[str, Any]:
        record = self.rows[row]
        return envelope(record.key, record.headers, record.timestamp)

    def keys(self) -> list[bytes | None]:
        return [row.key for row in self.rows]

    def times_ms(self) -> I64:
        return np.array(
            [-1 if row.timestamp is None else row.timestamp for row in self.rows], np.int64
        )

    def mentions(self, header: str) -> bool:
        return any(name == header for row in self.rows for name, _ in row.headers)


def gathered(rows: Sequence[Any]) -> Records:
    """Wrap records of one partition, given as the client's objects or as chunks."""
    return Joined.of(rows) if isinstance(rows[0], Chunk) else Listed.of(rows)
