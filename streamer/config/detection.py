"""Sections of a stream about judging: the window, detection, and the alert budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from streamer.config.base import Count, Names, NotNegative, Rule, Section, Whole, number_of
from streamer.config.units import Duration, KofN, Rate
from streamer.settings import MIN_EVIDENCE


class Window(Section):
    """The recent past of an entity, and how gaps and disorder are treated."""

    length: Annotated[Count, Field(le=256)] = Field(
        default=64,
        description="Number of events that an alert shows as its window. Scores do not use it. "
        "Lower it for smaller alerts, raise it to see more of the past.",
    )
    max_gap: Duration | None = Field(
        default=None,
        description="A longer gap between two events of an entity starts its history anew. Set it "
        "where the past says nothing after a standstill, such as a machine that was refitted.",
    )
    late: Duration = Field(
        default=Duration(3600),
        description="An event that is older than its entity's newest one by more than this is "
        "counted as late and not judged. Raise it where records arrive out of order.",
    )
    duplicates: Literal["drop", "keep"] = Field(
        default="drop",
        description="Whether an event that repeats the time and the values of the one before is "
        "dropped. Write keep where two equal events are two real ones, such as purchases.",
    )
    missing: Literal["mask", "hold", "drop"] = Field(
        default="mask",
        description="What happens to missing values: mask marks them as missing, hold repeats the "
        "last value, drop skips events in which no channel has a value.",
    )


class Refractory(Section):
    """A repeated alarm must exceed `factor` times the highest score of the last `events`."""

    events: Whole = Field(
        default=100,
        description="Number of past events whose highest score a new alarm must exceed. Raise it "
        "if one disturbance raises several incidents; 0 counts as 1.",
    )
    factor: Annotated[float, BeforeValidator(number_of), Field(ge=1)] = Field(
        default=1.05,
        description="How many times that highest score a new alarm must reach. Raise it for fewer "
        "repeated alarms.",
    )


class Close(Section):
    """An incident is resolved after `events` events in a row below `below`."""

    below: Annotated[float, BeforeValidator(number_of), Field(gt=0, le=1)] = Field(
        default=0.5,
        description="Score on the alarm scale below which an event counts as quiet. Lower it if "
        "incidents close too early.",
    )
    events: Count = Field(
        default=10,
        description="Number of quiet events in a row that resolve an incident. Raise it if "
        "incidents close and open again.",
    )


class Detect(Section):
    """What counts as an anomaly."""

    direction: Literal["both", "above", "below"] = Field(
        default="both",
        description="Which deviations count: both, only values above, or only values below the "
        "expected band.",
    )
    min_evidence: Annotated[float, BeforeValidator(number_of), Field(ge=1, le=30)] = Field(
        default=MIN_EVIDENCE,
        description="Evidence that an alarm needs at least, as -log10 of a tail probability: 5 is "
        "once in 100,000 events. Lower it for more alarms within the budget.",
    )
    min_deviation: NotNegative = Field(
        default=0.0,
        description="Least deviation from the expected value that can raise an alarm, in the "
        "channel's unit. Set it where small deviations never matter.",
    )
    min_relative: NotNegative = Field(
        default=0.0,
        description="Least deviation that can raise an alarm, as a fraction of the expected value. "
        "Set it where channels differ in size; 0.1 is ten per cent.",
    )
    for_: KofN = Field(
        default=KofN(1, 1),
        alias="for",
        description="How many of the last events must be strange before an alarm fires, such as "
        '"3 of 5". Raise it where single outliers do not matter.',
    )
    cooldown: Duration = Field(
        default=Duration(0),
        description="Time after the end of an incident in which its entity opens no other one. "
        "Raise it if incidents follow each other closely.",
    )
    rhythm: bool | None = Field(
        default=None,
        description="Whether the time between events is judged. Null judges it wherever events "
        "have a time. Set false where events come at arbitrary times.",
    )
    watch: Names = Field(
        default=(),
        description="Channels that may raise an alarm; none means all of them. The other channels "
        "still help to forecast.",
    )
    silence: bool = Field(
        default=False,
        description="Whether an entity that sends nothing for longer than its own rhythm makes "
        "credible raises an alert. Set true for devices that must report.",
    )
    profile: Literal["full", "lean"] = Field(
        default="full",
        description="Which evidences are kept. The lean profile leaves out values that stay stuck "
        "and novel values, and needs less memory and time for each entity.",
    )
    max_entities: Annotated[Count, Field(le=10_000_000)] = Field(
        default=10_000,
        description="Number of entities that are kept in memory. Beyond it, the entity that was "
        "silent for longest is forgotten. Raise it if `streamer_entities_evicted_total` grows.",
    )
    idle_after: Duration | None = Field(
        default=None,
        description="An entity that was silent for longer starts anew when it returns. Set it "
        "where names are reused, or where old habits no longer count.",
    )
    refractory: Refractory = Field(
        default=Refractory(), description="How much worse a repeated alarm must be."
    )
    close: Close = Field(default=Close(), description="When an incident is resolved.")


class Severity(Section):
    """Scores from which an alert is a warning, and critical; 1.0 is the alarm line."""

    warning: Annotated[float, BeforeValidator(number_of), Field(ge=1)] = Field(
        default=1.0,
        description="Score on the alarm scale from which an incident opens, as a warning. Raise it "
        "for fewer and graver alerts.",
    )
    critical: Annotated[float, BeforeValidator(number_of), Field(ge=1)] = Field(
        default=2.0,
        description="Score on the alarm scale from which an alert is critical. Raise it if too "
        "many alerts are critical.",
    )

    def rules(self) -> Iterator[Rule]:
        if self.critical < self.warning:
            yield (
                ("critical",),
                f"must not be below warning ({self.warning:g}), got {self.critical:g}",
            )


class Storm(Section):
    """At most `alerts` opened alerts per `window`; the rest become one summary."""

    alerts: Count = Field(
        default=100,
        description="Number of alerts that a stream may open within the window. Lower it if a "
        "common cause floods its receivers.",
    )
    window: Duration = Field(
        default=Duration(3600), description="Event time over which opened alerts are counted."
    )

    def rules(self) -> Iterator[Rule]:
        if self.window <= 0:
            yield ("window",), "must be above zero"


class Alerts(Section):
    """How many alerts a day the operator wants, and how grave they are."""

    budget: Rate = Field(
        default=Rate(5),
        description="Incidents that the operator wants to see at most, for the whole stream. It "
        "is a bound, not a quota. Lower it if there is too much to look at.",
    )
    expected_entities: Count = Field(
        default=1,
        description="Number of entities that share the budget. Set it to about the number of "
        "entities in the stream, else every entity may use the whole budget.",
    )
    severity: Severity = Field(default=Severity(), description="When an alert is critical.")
    storm: Storm = Field(default=Storm(), description="Bound on alerts that open together.")
