"""Rules for field names with @, which are beside a record's value in a topic."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from streamer.config.base import Rule
from streamer.config.fields import Fields
from streamer.config.parts import SourceSection

TIMES = ("@timestamp",)
Path = tuple[str | int, ...]


def outside_rules(fields: Fields, source: SourceSection) -> Iterator[Rule]:
    """Yield each name with @ that the source does not have, or not in this role."""
    time = fields.time
    named: list[tuple[Path, str, tuple[str, ...]]] = []
    keys, times = source.keys_beside, source.times_beside
    named += [(("fields", "entity", i), name, keys) for i, name in enumerate(fields.entity)]
    named += [] if time is None else [(("fields", "time"), time.path, times)]
    for at, name, known in named:
        if name.startswith("@") and (problem := _problem(name, known, source)):
            yield (
                at,
                f"{problem}; a field of the record whose name begins with @ is written '\\{name}'",
            )
    if time is not None and time.path in TIMES and time.unit not in ("auto", "ms"):
        yield ("fields", "time", "unit"), f"{time.path} is in ms: leave the unit out"
    for i, name in enumerate(fields.channels):
        if name in keys + times:
            yield ("fields", "channels", i), f"{name} is no number to watch"


def _problem(name: str, known: tuple[str, ...], source: SourceSection) -> str | None:
    if not known:
        return f"{name!r} stands beside the records of a topic; a {source.kind} source has none"
    if name in known:
        return None
    near = get_close_matches(name, known, n=1)
    return f"{name!r} is none of {', '.join(known)}" + (
        f"; did you mean {near[0]}?" if near else ""
    )
