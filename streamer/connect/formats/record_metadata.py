"""Fields of a record outside its value.

`@key`, `@topic` and `@partition` can be the entity, `@timestamp` the time.
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
    """Metadata of N records by columns; a column that is not read may be empty."""

    lease: Lease
    keys: Sequence[bytes | None] = ()  # (N,)
    times_ms: I64 | None = None  # (N,), negative if there is none

    def rows(self, kept: Bool) -> RecordMetadata:
        """Keep only the marked rows (N,)."""
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
    """Add the fields outside the value to the columns of the value's own fields."""
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
    """The key as a name; None if it is not text, such as a binary number."""
    try:
        text = (key or b"").decode()
    except UnicodeDecodeError:
        return None
    return None if CONTROL.search(text) or not text.strip() else text


def _problem(key: bytes | None) -> str:
    return "the record has none" if not key else f"{key[:SHOWN]!a} is no text"


def plain(name: str) -> str:
    """Return the field name in the value for a name of the configuration."""
    return name[1:] if name.startswith("\\@") else name


def written(name: str) -> str:
    """Return the configuration's spelling of a field name in the value."""
    return f"\\{name}" if name.startswith("@") else name
