"""Sections of learning: schedule and limits of retrain jobs, and drift."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import BeforeValidator, Field

from streamer.config.base import Count, Positive, Rule, Section, Text, Whole, between, number_of
from streamer.config.model import Model
from streamer.config.units import Duration, Size

Share = Annotated[float, BeforeValidator(number_of), Field(ge=0, le=1)]
Ratio = Annotated[float, BeforeValidator(number_of), Field(ge=1)]
MIN_MEMORY = Size(2**30)  # TensorFlow does not start with less


class RetrainLimits(Section):
    """The limits of one retrain job: wall time, memory, priority and threads."""

    time: Duration = Field(
        default=Duration(20 * 60),
        description="Longest time that a training may take, 10s to 24h; a longer one is ended. "
        "Raise it with max_rows, or on a slow machine.",
    )
    memory: Size = Field(
        default=Size(4 * 2**30),
        description="Memory that a training may use, 1GiB at least; one that needs more is ended. "
        "Raise it with max_rows.",
    )
    nice: Annotated[Whole, Field(le=19)] = Field(
        default=15,
        description="Priority of a training: 19 yields to everything else, 0 to nothing.",
    )
    threads: Annotated[Count, Field(le=256)] = Field(
        default=1, description="Threads that a training uses. Raise it where cores are idle."
    )

    def rules(self) -> Iterator[Rule]:
        yield from between(self, "time", Duration(10), Duration(86_400))
        if self.memory < MIN_MEMORY:
            yield ("memory",), f"must be at least {MIN_MEMORY}, got {self.memory}"


class RetrainGate(Section):
    """The bounds of a new model against the champion."""

    # those of models.gate_rules that depend on the deployment, with the same defaults

    min_recall: Share = Field(
        default=0.0,
        description="Least share of the anomalies that a new model must catch, at the alarm line "
        "as it is set.",
    )
    max_recall_loss: Share = Field(
        default=0.02,
        description="How much less of the anomalies than the champion it may catch, at as many "
        "false alarms.",
    )
    max_line_loss: Share = Field(
        default=0.1,
        description="How much less it may catch at the alarm line as it is set. It does not count "
        "where the champion raises more false alarms there.",
    )
    max_false_alarm_ratio: Ratio = Field(
        default=1.1,
        description="How many times as many false alarms as the champion it may raise, at the same "
        "budget.",
    )
    max_delay_ratio: Ratio = Field(
        default=1.5,
        description="How many times as long as the champion it may take to notice an anomaly.",
    )
    max_calibration_loss: Share = Field(
        default=0.05,
        description="How much worse its quantiles may be than the champion's, as a mean distance "
        "from 0 to 0.5.",
    )
    max_slowdown: Ratio = Field(
        default=1.5, description="How many times as long as with the champion an event may take."
    )


def _zone_problem(name: str) -> str | None:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # KeyError: no such zone
        return f"{name!r} is no time zone; write one as Europe/Berlin, or UTC"
    return None


def _cron_problem(text: str) -> str | None:
    if len(text.split()) != 5:
        return f'must have five fields, such as "30 3 * * *", got {text!r}'
    try:
        next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as exc:
        return f'{exc}; write five fields, such as "30 3 * * *", got {text!r}'
    except StopIteration:
        return f"{text!r} never comes"
    return None


class Schedule(Section):
    """A schedule: a period, or cron in local time."""

    every: Duration = Field(
        default=Duration(86_400),
        description="Time between two runs, 1m at least. Shorten it where data changes quickly.",
    )
    cron: Text | None = Field(
        default=None,
        description="Five fields of cron in place of `every`, such as `30 3 * * *`. Set it to run "
        "in quiet hours.",
    )
    timezone: Text = Field(default="UTC", description="Time zone of cron, such as Europe/Berlin.")
    jitter: Duration = Field(
        default=Duration(600),
        description="Each deployment shifts its schedule by a part of this time of its own, so "
        "that not all start together. Raise it where many share a broker or a registry.",
    )

    @property
    def spread(self) -> Duration:
        """`jitter`; its default is at most `every`."""
        return self.jitter if self.cron is not None else min(self.jitter, self.every)

    def rules(self) -> Iterator[Rule]:
        if self.cron is not None and "every" in self.model_fields_set:
            yield ("cron",), "excludes every: keep one of them"
        if self.every < 60:
            yield ("every",), f"must be at least 1m, got {self.every}"
        if self.cron is None and "jitter" in self.model_fields_set and self.jitter >= self.every:
            yield ("jitter",), f"must be shorter than every ({self.every}), got {self.jitter}"
        zone_problem = _zone_problem(self.timezone)
        if zone_problem is not None:
            yield ("timezone",), zone_problem
        elif self.cron is not None and (problem := _cron_problem(self.cron)):
            yield ("cron",), problem


class RetrainEvaluate(Schedule):
    """When the champion is evaluated on recent rows, without training."""

    enabled: bool = Field(
        default=True,
        description="Whether the champion is evaluated on recent data. Set false to spare the CPU.",
    )
    # a retrain job evaluates the champion too, but reports it only beside a challenger
    every: Duration = Field(
        default=Duration(7 * 86_400),
        description="Time between two evaluations, 1m at least. A week holds every season of a "
        "week.",
    )


class Retrain(Schedule):
    """When the model is trained again on recent rows."""

    rest: Duration = Field(
        default=Duration(3600),
        description="Time after a training before drift or age may cause another one. Raise it if "
        "trainings follow each other without an effect.",
    )
    min_rows: Count = Field(
        default=20_000,
        description="Rows that a training needs at least. Lower it for rare events, at the price "
        "of worse models.",
    )
    staleness: Duration = Field(
        default=Duration(7 * 86_400),
        description="A champion that is older than this is due for a training. Raise it where the "
        "data hardly changes.",
    )
    on_drift: bool = Field(
        default=True,
        description="Whether drift makes a training due, beside schedule and age. Set false to "
        "train by the clock alone.",
    )
    history: Duration = Field(
        default=Duration(7 * 86_400),
        description="How far back the rows of a training go. Weekdays need two weeks; shorten it "
        "where old data misleads.",
    )
    max_rows: Count = Field(
        default=500_000,
        description="Rows that a training uses at most, the newest ones. Raise it with limits.time "
        "and limits.memory.",
    )
    start: Literal["champion", "scratch"] = Field(
        default="champion",
        description="Whether a training starts from the weights of the champion or from scratch. "
        "Choose scratch where the data changed for good.",
    )
    limits: RetrainLimits = Field(
        default=RetrainLimits(), description="What one training may take."
    )
    distil: bool = Field(
        default=True,
        description="Whether a small twin for edge devices is trained too. Set false to save time.",
    )
    gate: RetrainGate = Field(default=RetrainGate(), description="How good a new model must be.")
    evaluate: RetrainEvaluate = Field(
        default=RetrainEvaluate(),
        description="When the champion is judged on recent data without a training.",
    )
    sign: Text | None = Field(
        default=None,
        description="PEM file of the Ed25519 private key that signs what is published. Needed "
        "where `model.require_signature` is true.",
    )
    reports: Text = Field(
        default="state/retrain",
        description="Folder of the newest reports of refusals and evaluations. It must outlive a "
        "restart.",
    )

    def rules(self) -> Iterator[Rule]:
        yield from super().rules()
        if self.max_rows < self.min_rows:
            yield ("max_rows",), f"must be at least min_rows ({self.min_rows})"


class Drift(Section):
    """When live traffic counts as different from the training data or the first window."""

    every: Duration = Field(
        default=Duration(300), description="How often live traffic is compared, 1s to 24h."
    )
    window: Duration = Field(
        default=Duration(86_400),
        description="Event time that is compared, 1s to 366d. It should hold at least one season "
        "of the data, such as a day.",
    )
    threshold: Positive = Field(
        default=0.25,
        description="Population stability index from which traffic counts as different. Raise it "
        "if drift is reported without a reason.",
    )
    rows: Annotated[Count, Field(ge=500, le=1_000_000)] = Field(
        default=20_000,
        description="Rows that are sampled from a window. More make the comparison finer and use "
        "more memory.",
    )

    def rules(self) -> Iterator[Rule]:
        yield from between(self, "every", Duration(1), Duration(86_400))
        yield from between(self, "window", Duration(1), Duration(366 * 86_400))


def learning_rules(retrain: Retrain | None, model: Model) -> Iterator[Rule]:
    """Yield broken rules between retraining and the model section."""
    if retrain is not None and model.registry is None:
        yield ("retrain",), "needs model.registry, where new models go: registry: state/registry"
    elif retrain is not None and model.require_signature and retrain.sign is None:
        yield ("retrain", "sign"), "is needed: model.require_signature refuses what nobody signed"
