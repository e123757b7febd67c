"""Which fields of a record are what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from streamer.config.base import Channels, Names, Rule, Section, Text, repeated, time_of


class Time(Section):
    """Where an event's time stands, and its unit; `auto` tells the unit by magnitude or form."""

    path: Text
    unit: Literal["auto", "s", "ms", "us", "ns", "iso"] = "auto"


MaybeTime = Annotated[
    Time | None, BeforeValidator(time_of, json_schema_input_type=str | Time | None)
]


class Fields(Section):
    """Which fields of a record are the entity keys, the time and the channels."""

    entity: Names = ()  # none: the stream is one entity; of a topic also @key, @topic, @partition
    time: MaybeTime = None  # null: row numbers, and rhythm is off; of a topic also @timestamp
    channels: Channels = ()  # empty = auto: every numeric field of the source
    units: dict[str, Text] = Field(default_factory=dict)

    def rules(self) -> Iterator[Rule]:
        for at, names in (("entity", self.entity), ("channels", self.channels)):
            yield from (((at, i), f"{names[i]!r} is named twice") for i in repeated(names))
        if self.channels:
            strangers = [name for name in self.units if name not in self.channels]
            yield from (
                (("units", name), f"{name!r} is not one of the channels") for name in strangers
            )
        if self.time is not None and self.time.path in self.channels:
            yield ("channels",), f"{self.time.path!r} is the time; it cannot be a channel too"
        both = [(i, name) for i, name in enumerate(self.entity) if name in self.channels]
        yield from ((("entity", i), f"{name!r} cannot be a channel too") for i, name in both)
