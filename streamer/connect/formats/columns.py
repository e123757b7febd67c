"""Types of decoding: the roles of fields, records by columns, and refused lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamer.connect.formats.times import UNITS
from streamer.errors import ConfigError
from streamer.event import F64, I64


@dataclass(frozen=True, slots=True)
class RecordFields:
    """The roles of the fields of a record.

    A dot in a name steps into nested JSON; `\\.` is a dot of the name itself. Without `entity`, the
    only entity is named after the stream. Without `time`, the time is the row number in seconds,
    and rhythm should be off. `outside` names the fields that belong to the record but not to its
    value, see record_metadata.
    """

    channels: tuple[str, ...]
    entity: tuple[str, ...] = ()
    time: str | None = None
    time_unit: str = "auto"
    outside: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.channels:
            raise ConfigError("fields.channels", "needs at least one channel")
        if self.time_unit not in UNITS:
            raise ConfigError(
                "fields.time.unit", f"must be one of {', '.join(UNITS)}", self.time_unit
            )
        twice = [name for name, n in Counter(self.names).items() if n > 1]
        if twice:
            raise ConfigError("fields", "the same field has two roles", twice[0])

    @property
    def names(self) -> tuple[str, ...]:
        """Every field that is read: entities, time, channels."""
        return (*self.entity, *([self.time] if self.time is not None else []), *self.channels)

    @property
    def own(self) -> RecordFields:
        """The same roles, restricted to fields of the value."""
        entity = tuple(name for name in self.entity if name not in self.outside)
        return replace(
            self,
            entity=entity,
            time=None if self.time in self.outside else self.time,
            outside=frozenset(),
        )


@dataclass(slots=True)
class Columns:
    """Records by columns, before names and times are checked."""

    line: I64  # (N,) index of the given line
    entity: Sequence[Sequence[str | int]]  # K columns of N names
    time_s: F64 | None  # (N,), NaN = no time; None = there is no time field
    time_shown: Sequence[object]  # the time cells as received, for messages
    values: F64  # (N, C), NaN = missing, +-inf = not finite


class Refusals(dict[int, tuple[str, str]]):
    """Line number -> (reason, detail); the first reason of a line stays."""

    def add(self, line: int, reason: str, detail: str) -> None:
        self.setdefault(line, (reason, detail))
