"""Fields beside the value of a record in its log: `@key`, `@topic`, `@partition` as entity,
`@timestamp` as time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamer.connect.formats.columns import Columns, RecordFields, Refusals
from streamer.connect.formats.times import seconds_of_numbers
from streamer.event import I64, Bool, Lease

KEY, TIMESTAMP, TOPIC, PARTITION = "@key", "@timestamp", "@topic", "@partition"
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
SHOWN = 40


@dataclass(frozen=True, slots=True)
class RecordMetadata:
    """What stands beside N values, by columns; a column that nobody reads may be empty."""

    lease: Lease
    keys: Sequence[bytes | None] = ()  # (N,)
    times_ms: I64 | None = None  # (N,), below zero: none

    def rows(self, kept: Bool) -> RecordMetadata:
        """Only the rows (N,) that are kept."""
        keys = (
            [key for key, keep in zip(self.keys, kept.tolist(), strict=True) if keep]
            if self.keys
            else ()
        )
        return RecordMetadata(
            self.lease, keys, None if self.times_ms is None else self.times_ms[kept]
        )


def filled(
    columns: Columns, fields: RecordFields, beside: RecordMetadata, refused: Refusals
) -> Columns:
    """The columns of a value's own fields, and among them those that stand beside it."""
    own = iter(columns.entity)
    entity = [
        _entity(name, columns, beside, refused) if name in fields.outside else next(own)
        for name in fields.entity
    ]
    if fields.time not in fields.outside:
        return replace(columns, entity=entity)
    assert beside.times_ms is not None
    times_ms = beside.times_ms[columns.line]
    time_s = seconds_of_numbers(times_ms.astype(np.float64), "ms")
    return replace(
        columns,
        entity=entity,
        time_s=time_s,
        time_shown=times_ms.tolist() if np.isnan(time_s).any() else (),
    )


def _entity(
    name: str, columns: Columns, beside: RecordMetadata, refused: Refusals
) -> Sequence[str]:
    if name != KEY:
        return [beside.lease.topic if name == TOPIC else str(beside.lease.partition)] * len(
            columns.line
        )
    lines = columns.line.tolist()
    keys = [beside.keys[line] for line in lines]
    known = {key: name_of(key) for key in dict.fromkeys(keys)}
    if None in known.values():
        for line, key in zip(lines, keys, strict=True):
            if known[key] is None:
                refused.add(line, "bad_entity", f"{KEY}: {_problem(key)}")
    return [known[key] or "" for key in keys]


def name_of(key: bytes | None) -> str | None:
    """The key as a name; None where it is none, such as a number in binary."""
    try:
        text = (key or b"").decode()
    except UnicodeDecodeError:
        return None
    return None if CONTROL.search(text) or not text.strip() else text


def _problem(key: bytes | None) -> str:
    return "the record has none" if not key else f"{key[:SHOWN]!a} is no text"


def plain(name: str) -> str:
    """A name of the configuration as it stands in the value."""
    return name[1:] if name.startswith("\\@") else name


def written(name: str) -> str:
    """A name of the value as the configuration has to say it."""
    return f"\\{name}" if name.startswith("@") else name
