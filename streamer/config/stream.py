"""The sections of one stream: where its events come from and how they are judged.

Times are `Duration` (seconds), rates `Rate` (per day). Relative paths start at the directory the
command runs in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from streamer.config.base import (
    Count,
    Name,
    Names,
    NotNegative,
    Positive,
    Rule,
    Section,
    Text,
    Whole,
    number_of,
)
from streamer.config.fields import Fields
from streamer.config.kafka import KafkaSource
from streamer.config.outside import outside_rules
from streamer.config.units import Duration, KofN, Rate, Size
from streamer.settings import MIN_EVIDENCE, DetectSettings


class FileSource(Section):
    """A CSV or JSONL file, plain or compressed; `-` is standard input."""

    kind: Literal["file"] = "file"
    path: Text
    format: Literal["auto", "csv", "jsonl"] = "auto"
    separator: Annotated[str, Field(min_length=1, max_length=4)] = "auto"
    pace: Positive | None = None  # N times as fast as recorded; null = flat out
    poll_rows: Annotated[Count, Field(le=1_000_000)] = 4096
    max_line: Size = Size(2**20)

    def rules(self) -> Iterator[Rule]:
        if self.separator != "auto" and len(self.separator) != 1:
            yield ("separator",), f'must be one character or "auto", got {self.separator!r}'


class SyntheticSource(Section):
    """A simulated world with labelled faults; the same seed gives the same stream."""

    kind: Literal["synthetic"]
    world: Literal["plant", "cards"] = "plant"
    seed: Whole = 0
    entities: Annotated[Count, Field(le=1_000_000)] = 8
    faults: bool = True
    pace: Positive | None = None  # N times as fast as the simulated clock; null = flat out
    poll_rows: Annotated[Count, Field(le=1_000_000)] = 4096
    events: Count | None = None  # the stream ends after so many; null = never


class HostSource(Section):
    """This machine's own cpu, memory, disk and network figures."""

    kind: Literal["host"]
    every: Duration = Duration(1)

    def rules(self) -> Iterator[Rule]:
        if self.every < 0.01:
            yield ("every",), f"must be at least 10ms, got {self.every}"


class MemorySource(Section):
    """Batches handed over by the program that embeds streamer."""

    kind: Literal["memory"]


Source = Annotated[
    FileSource | SyntheticSource | HostSource | MemorySource | KafkaSource,
    Field(discriminator="kind"),
]


class Window(Section):
    """The recent past of an entity, and what happens to gaps and disorder."""

    length: Annotated[Count, Field(le=256)] = 64  # events shown with an alert
    max_gap: Duration | None = None  # a longer gap starts the entity's history anew
    late: Duration = Duration(3600)
    duplicates: Literal["drop", "keep"] = "drop"
    missing: Literal["mask", "hold", "drop"] = "mask"


class Refractory(Section):
    """After an alarm, another one must exceed `factor` times the highest score of the last
    `events`.
    """

    events: Whole = 100
    factor: Annotated[float, BeforeValidator(number_of), Field(ge=1)] = 1.05


class Close(Section):
    """An incident is resolved after `events` events in a row below `below`."""

    below: Annotated[float, BeforeValidator(number_of), Field(gt=0, le=1)] = 0.5
    events: Count = 10


class Detect(Section):
    """What counts as an anomaly."""

    direction: Literal["both", "above", "below"] = "both"
    min_evidence: Annotated[float, BeforeValidator(number_of), Field(ge=1, le=30)] = (
        MIN_EVIDENCE  # lower: more alarms
    )
    min_deviation: NotNegative = 0.0  # in the channel's unit
    min_relative: NotNegative = 0.0  # as a fraction of the expected value
    for_: KofN = Field(default=KofN(1, 1), alias="for")
    cooldown: Duration = Duration(0)
    rhythm: bool | None = None  # null: on where there is a time
    watch: Names = ()  # only these channels count
    silence: bool = False
    profile: Literal["full", "lean"] = "full"
    max_entities: Annotated[Count, Field(le=10_000_000)] = 10_000
    idle_after: Duration | None = None  # an entity silent for longer starts anew
    refractory: Refractory = Refractory()
    close: Close = Close()


class Severity(Section):
    """Scores from which an alert is a warning, and critical; 1.0 is the alarm line."""

    warning: Annotated[float, BeforeValidator(number_of), Field(ge=1)] = 1.0
    critical: Annotated[float, BeforeValidator(number_of), Field(ge=1)] = 2.0

    def rules(self) -> Iterator[Rule]:
        if self.critical < self.warning:
            yield (
                ("critical",),
                f"must not be below warning ({self.warning:g}), got {self.critical:g}",
            )


class Storm(Section):
    """At most `alerts` opened alerts per `window`; the rest become one summary."""

    alerts: Count = 100
    window: Duration = Duration(3600)

    def rules(self) -> Iterator[Rule]:
        if self.window <= 0:
            yield ("window",), "must be above zero"


class Alerts(Section):
    """How many alerts a day the operator wants, and how grave they are."""

    budget: Rate = Rate(5)
    expected_entities: Count = 1  # the budget is shared by so many
    severity: Severity = Severity()
    storm: Storm = Storm()


class Stream(Section):
    """One stream: where its events come from and how they are judged."""

    name: Name
    preset: Literal["sensors", "transactions", "metrics", "edge"] | None = None
    labels: dict[str, Text] = Field(default_factory=dict)  # copied into every alert
    source: Source
    fields: Fields = Fields()
    window: Window = Window()
    detect: Detect = Detect()
    alerts: Alerts = Alerts()

    @property
    def has_clock(self) -> bool:
        """Whether events have a time of their own; else their numbers stand for it."""
        return self.fields.time is not None or not isinstance(self.source, FileSource | KafkaSource)

    @property
    def rhythm(self) -> bool:
        """Whether the clock carries anything: as configured, else wherever events have a time of
        their own.
        """
        return self.has_clock if self.detect.rhythm is None else self.detect.rhythm

    def rules(self) -> Iterator[Rule]:
        fields = self.fields
        if isinstance(self.source, FileSource | KafkaSource):
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
        """Of sources whose records are described by `fields`."""
        place = "time field" if isinstance(self.source, KafkaSource) else "time column"
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
        yield from outside_rules(self.fields, self.source.kind)
        if isinstance(self.source, KafkaSource):
            yield from self._topic_rules(self.source)
        elif self.source.kind == "file" and self.source.path == "-" and not self.fields.channels:
            yield (
                ("fields", "channels"),
                "must be named for standard input, which cannot be read twice",
            )

    def _topic_rules(self, source: KafkaSource) -> Iterator[Rule]:
        if not self.fields.channels:
            yield (
                ("fields", "channels"),
                "is missing: name the channels; a topic cannot be looked through for them",
            )
        if not source.columns:
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
        strangers = ((at, name) for at, name in inside if name not in source.columns)
        yield from (
            (("fields", *at), f"{name!r} is not one of source.columns") for at, name in strangers
        )

    def detect_settings(self, channels: Sequence[str]) -> DetectSettings:
        """The detector's settings for the given channels (those of the source where
        `fields.channels` is auto).
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
