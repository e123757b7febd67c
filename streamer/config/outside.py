"""Rules of the fields that begin with @: they stand beside a record's value, which only records of
a topic do.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from streamer.config.base import Rule
from streamer.config.fields import Fields

ENTITIES = ("@key", "@topic", "@partition")
TIMES = ("@timestamp",)
Path = tuple[str | int, ...]


def outside_rules(fields: Fields, kind: str) -> Iterator[Rule]:
    """Each name with an @ that a source of that kind does not have, or that has no such role."""
    time = fields.time
    named: list[tuple[Path, str, tuple[str, ...]]] = []
    named += [(("fields", "entity", i), name, ENTITIES) for i, name in enumerate(fields.entity)]
    named += [] if time is None else [(("fields", "time"), time.path, TIMES)]
    for at, name, known in named:
        if name.startswith("@") and (problem := _problem(name, known, kind)):
            yield (
                at,
                f"{problem}; a field of the record whose name begins with @ is written '\\{name}'",
            )
    if time is not None and time.path in TIMES and time.unit not in ("auto", "ms"):
        yield ("fields", "time", "unit"), f"{time.path} is in ms: leave the unit out"
    if kind == "kafka":
        reserved = ((i, name) for i, name in enumerate(fields.channels) if name in ENTITIES + TIMES)
        yield from (
            (("fields", "channels", i), f"{name} is no number to watch") for i, name in reserved
        )


def _problem(name: str, known: tuple[str, ...], kind: str) -> str | None:
    if kind != "kafka":
        return f"{name!r} stands beside the records of a topic; a {kind} source has none"
    if name in known:
        return None
    near = get_close_matches(name, known, n=1)
    return f"{name!r} is none of {', '.join(known)}" + (
        f"; did you mean {near[0]}?" if near else ""
    )
