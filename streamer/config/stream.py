"""The sections of one stream: the source of its events and how they are judged.

Times are `Duration` (seconds), rates `Rate` (per day). Relative paths start at the directory the
command runs in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from streamer.config.base import Count, Name, Positive, Rule, Section, Text, Whole
from streamer.config.detection import Alerts, Detect, Window
from streamer.config.fields import Fields
from streamer.config.kafka import KafkaSource
from streamer.config.kinds import Kinds, SourceKind
from streamer.config.outside import outside_rules
from streamer.config.parts import Framing, SourceSection
from streamer.config.units import Duration, Size
from streamer.settings import DetectSettings


class FileSource(SourceSection):
    """A CSV or JSONL file, plain or compressed; `-` is standard input."""

    live: ClassVar[bool] = False
    takes_fields: ClassVar[bool] = True

    kind: Literal["file"] = Field(default="file", description="Selects a file as the source.")
    path: Text = Field(
        description="The file to read: CSV or JSONL, plain or compressed. A dash is standard input."
    )
    format: Literal["auto", "csv", "jsonl"] = Field(
        default="auto",
        description="Format of the file; auto tells it by the name and the first bytes. Set it if "
        "the guess is wrong.",
    )
    separator: Annotated[str, Field(min_length=1, max_length=4)] = Field(
        default="auto",
        description="Separator of a CSV file: one character, or auto, which tells it by the first "
        "rows.",
    )
    pace: Positive | None = Field(
        default=None,
        description="How many times as fast as recorded the events are replayed. Null reads as "
        "fast as possible. Set 1 to rehearse live traffic.",
    )
    poll_rows: Annotated[Count, Field(le=1_000_000)] = Field(
        default=4096,
        description="Rows that one poll reads at most. Lower it for less memory, raise it for "
        "throughput.",
    )
    max_line: Size = Field(
        default=Size(2**20),
        description="Longest line that is read; a longer one is rejected. Raise it where records "
        "are large.",
    )

    @property
    def ends(self) -> bool:
        return True

    @property
    def local_file(self) -> str:
        return self.path

    def rules(self) -> Iterator[Rule]:
        if self.separator != "auto" and len(self.separator) != 1:
            yield ("separator",), f'must be one character or "auto", got {self.separator!r}'


class SyntheticSource(SourceSection):
    """A simulated world with labelled faults; the same seed gives the same stream."""

    live: ClassVar[bool] = False

    kind: Literal["synthetic"] = Field(description="Selects a simulated world as the source.")
    world: Literal["plant", "cards"] = Field(
        default="plant",
        description="What is simulated: machines of a plant, or purchases with cards.",
    )
    seed: Whole = Field(
        default=0,
        description="Seed of the simulation. The same seed gives the same events; change it for "
        "other ones.",
    )
    entities: Annotated[Count, Field(le=1_000_000)] = Field(
        default=8, description="Number of machines or cards that are simulated."
    )
    faults: bool = Field(
        default=True,
        description="Whether known faults are put in. Set false to see how quiet a healthy stream "
        "is.",
    )
    pace: Positive | None = Field(
        default=None,
        description="How many times as fast as the simulated clock events come. Null gives them "
        "as fast as possible.",
    )
    poll_rows: Annotated[Count, Field(le=1_000_000)] = Field(
        default=4096, description="Events that one poll brings at most."
    )
    events: Count | None = Field(
        default=None,
        description="Number of events after which the stream ends. Null never ends it.",
    )

    @property
    def ends(self) -> bool:
        return self.events is not None

    @property
    def own_keys(self) -> tuple[str, ...]:
        return ("customer", "terminal") if self.world == "cards" else ()


class HostSource(SourceSection):
    """The cpu, memory, disk and network figures of this machine."""

    kind: Literal["host"] = Field(description="Selects the figures of this machine as the source.")
    every: Duration = Field(
        default=Duration(1),
        description="Time between two measurements, 10ms at least. Raise it to use less CPU.",
    )

    def rules(self) -> Iterator[Rule]:
        if self.every < 0.01:
            yield ("every",), f"must be at least 10ms, got {self.every}"


class MemorySource(SourceSection):
    """Batches passed by the program that embeds streamer."""

    kind: Literal["memory"] = Field(
        description="Selects batches of the embedding program as the source."
    )


SOURCES = Kinds(
    "streams[].source",
    SourceKind(FileSource, "streamer.connect.files.opening:open_source"),
    SourceKind(SyntheticSource, "streamer.connect.simulate.source:open_source"),
    SourceKind(HostSource, "streamer.connect.host:open_source"),
    SourceKind(MemorySource, "streamer.connect.memory:open_source"),
    SourceKind(
        KafkaSource,
        "streamer.connect.kafka.consumer.factory:open_source",
        reach="streamer.connect.kafka.diagnosis.reach:reach",
        history="streamer.connect.kafka.consumer.archive:open_history",
    ),
    group="streamer.sources",
)
Source = Annotated[SourceSection, SOURCES]


class Stream(Section):
    """One stream: the source of its events and how they are judged."""

    name: Name = Field(
        description="Name of the stream in alerts, metrics and commands. Changing it starts a new "
        "memory: snapshots are kept under this name."
    )
    preset: Literal["sensors", "transactions", "metrics", "edge"] | None = Field(
        default=None,
        description="Defaults for a kind of data. What the stream itself says takes precedence.",
    )
    labels: dict[str, Text] = Field(
        default_factory=dict,
        description="Texts that are copied into every alert of the stream, such as a site or a "
        "team. Receivers can route by them.",
    )
    source: Source = Field(description="Where the events come from.")
    fields: Fields = Field(
        default=Fields(), description="Which fields of a record are what; not for all sources."
    )
    window: Window = Field(default=Window(), description="The past of an entity, and disorder.")
    detect: Detect = Field(default=Detect(), description="How events are judged.")
    alerts: Alerts = Field(default=Alerts(), description="How many alerts, and how grave.")

    @property
    def has_clock(self) -> bool:
        """Whether events have a time of their own; else their numbers are used."""
        return self.fields.time is not None or not self.source.takes_fields

    @property
    def rhythm(self) -> bool:
        """Whether rhythm is judged: as configured, else if events have a time of their own."""
        return self.has_clock if self.detect.rhythm is None else self.detect.rhythm

    def rules(self) -> Iterator[Rule]:
        fields = self.fields
        if self.source.takes_fields:
            yield from self._record_rules()
        elif fields.entity or fields.channels or fields.time is not None:
            yield (
                ("fields",),
                f"a {self.source.kind} source brings its own fields; only units may be set",
            )
        if fields.channels:
            unknown = [(i, w) for i, w in enumerate(self.detect.watch) if w not in fields.channels]
            yield from (
                (("detect", "watch", i), f"{w!r} is not one of the channels") for i, w in unknown
            )

    def _record_rules(self) -> Iterator[Rule]:
        """Yield broken rules of sources whose records are described by `fields`."""
        place = "time field" if self.source.framed else "time column"
        if "time" not in self.fields.model_fields_set:
            yield (
                ("fields", "time"),
                f"is missing: name the {place}, or write null (row numbers count, no rhythm)",
            )
        if self.fields.time is None and self.detect.rhythm:
            yield (
                ("detect", "rhythm"),
                "cannot be true where fields.time is null: row numbers carry no rhythm",
            )
        elif self.fields.time is None and self.detect.silence:
            yield (
                ("detect", "silence"),
                "cannot be true where fields.time is null: row numbers tell no silence",
            )
        yield from outside_rules(self.fields, self.source)
        if self.source.framing is not None:
            yield from self._topic_rules(self.source.framing)
        elif self.source.local_file == "-" and not self.fields.channels:
            yield (
                ("fields", "channels"),
                "must be named for standard input, which cannot be read twice",
            )

    def _topic_rules(self, framing: Framing) -> Iterator[Rule]:
        if not self.fields.channels:
            yield (
                ("fields", "channels"),
                "is missing: name the channels; a topic cannot be looked through for them",
            )
        if not framing.columns:
            return
        named: dict[tuple[str | int, ...], str] = {
            ("entity", i): name for i, name in enumerate(self.fields.entity)
        }
        named |= {("channels", i): name for i, name in enumerate(self.fields.channels)}
        if self.fields.time is not None:
            named["time",] = self.fields.time.path
        inside = (
            (at, name[name.startswith("\\@") :])
            for at, name in named.items()
            if not name.startswith("@")
        )
        strangers = ((at, name) for at, name in inside if name not in framing.columns)
        yield from (
            (("fields", *at), f"{name!r} is not one of source.columns") for at, name in strangers
        )

    def detect_settings(self, channels: Sequence[str]) -> DetectSettings:
        """Return the detector's settings for the given channels.

        They are those of the source if `fields.channels` is auto.
        """
        detect, alerts, window = self.detect, self.alerts, self.window
        return DetectSettings(
            stream=self.name,
            channels=tuple(channels),
            units=tuple(map(self.fields.units.get, channels)),
            labels=dict(self.labels),
            max_entities=detect.max_entities,
            idle_after_s=_seconds(detect.idle_after),
            profile=detect.profile,
            late_s=float(window.late),
            duplicates=window.duplicates,
            missing=window.missing,
            max_gap_s=_seconds(window.max_gap),
            rhythm=self.rhythm,
            watch=detect.watch,
            direction=detect.direction,
            min_evidence=detect.min_evidence,
            min_deviation=detect.min_deviation,
            min_relative=detect.min_relative,
            k_of=detect.for_.k,
            n_of=detect.for_.n,
            cooldown_s=float(detect.cooldown),
            budget_per_day=float(alerts.budget),
            expected_entities=alerts.expected_entities,
            refractory_events=detect.refractory.events,
            refractory_factor=detect.refractory.factor,
            close_below=detect.close.below,
            close_events=detect.close.events,
            warning=alerts.severity.warning,
            critical=alerts.severity.critical,
            storm_alerts=alerts.storm.alerts,
            storm_window_s=float(alerts.storm.window),
            silence=detect.silence,
            window_length=window.length,
        )


def _seconds(duration: Duration | None) -> float:
    return math.inf if duration is None else float(duration)
