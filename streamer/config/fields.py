"""The roles of a record's fields: entity keys, time and channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from streamer.config.base import Channels, Names, Rule, Section, Text, repeated, time_of


class Time(Section):
    """The field with an event's time, and its unit; `auto` finds the unit by magnitude or form."""

    path: Text = Field(
        description="Field of a record that holds the time of the event, or `@timestamp` for the "
        "time of a Kafka record."
    )
    unit: Literal["auto", "s", "ms", "us", "ns", "iso"] = Field(
        default="auto",
        description="Unit of the time; auto tells it by the magnitude of a number or by the form "
        "of a text. Set it where a guess is not good enough.",
    )


MaybeTime = Annotated[
    Time | None, BeforeValidator(time_of, json_schema_input_type=str | Time | None)
]


class Fields(Section):
    """Which fields of a record are the entity keys, the time and the channels."""

    entity: Names = Field(
        default=(),
        description="Field that names the entity an event belongs to, or several; with several an "
        "event is judged once for each. None makes the stream one entity. Of a topic also `@key`, "
        "`@topic` and `@partition`.",
    )
    time: MaybeTime = Field(
        default=None,
        description="Field that holds the time of the event. Null counts rows instead, and rhythm "
        "is not judged. A text alone is the path.",
    )
    channels: Channels = Field(
        default=(),
        json_schema_extra={"default": "auto"},
        description="Numeric fields that are watched. Auto takes every numeric field of a file; a "
        "topic needs their names.",
    )
    units: dict[str, Text] = Field(
        default_factory=dict,
        description="Unit of each channel, such as mm/s. Units only appear in alerts.",
    )

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
