"""Sections of the learning loop: when the model is trained again and within which limits, and when
data has drifted.
"""

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
    """What one training may take: wall time, memory that it writes to, priority and threads."""

    time: Duration = Duration(20 * 60)
    memory: Size = Size(4 * 2**30)
    nice: Annotated[Whole, Field(le=19)] = 15
    threads: Annotated[Count, Field(le=256)] = 1

    def rules(self) -> Iterator[Rule]:
        yield from between(self, "time", Duration(10), Duration(86_400))
        if self.memory < MIN_MEMORY:
            yield ("memory",), f"must be at least {MIN_MEMORY}, got {self.memory}"


class RetrainGate(Section):
    """How much worse than the champion a new model may be, and how good it must be: of
    models.gate_rules what hangs on a deployment's own wishes, with the defaults of there.
    """

    min_recall: Share = 0.0  # of the anomalies, at the line as it is set
    max_recall_loss: Share = 0.02  # at equal false alarms
    max_line_loss: Share = (
        0.1  # at the line as it is set, unless the champion pays for it with false alarms
    )
    max_false_alarm_ratio: Ratio = 1.1  # at the same budget
    max_delay_ratio: Ratio = 1.5
    max_calibration_loss: Share = 0.05  # mean distance of quantiles, 0..0.5
    max_slowdown: Ratio = 1.5


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
    """When something comes round: by a period, or by cron's local times."""

    every: Duration = Duration(86_400)
    cron: Text | None = None  # in place of `every`
    timezone: Text = "UTC"  # of cron
    jitter: Duration = Duration(
        600
    )  # each deployment's own shift of the schedule, up to this; see `spread`

    @property
    def spread(self) -> Duration:
        """`jitter`; where nobody set it, no longer than `every`."""
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
    """When the champion is judged on what the streams brought lately; nothing is trained, and
    nothing changes.
    """

    enabled: bool = True
    # A training judges its champion too, but tells of it only beside a challenger; a week holds
    # every season of a week.
    every: Duration = Duration(7 * 86_400)


class Retrain(Schedule):
    """When the model is trained again on what the streams brought lately."""

    rest: Duration = Duration(3600)  # after a training, before drift or age may cause another
    min_rows: Count = 20_000
    staleness: Duration = Duration(7 * 86_400)  # a champion older than this is due
    on_drift: bool = True
    history: Duration = Duration(7 * 86_400)  # how far back
    max_rows: Count = 500_000  # the newest ones
    start: Literal["champion", "scratch"] = "champion"
    limits: RetrainLimits = RetrainLimits()
    distil: bool = True
    gate: RetrainGate = RetrainGate()
    evaluate: RetrainEvaluate = RetrainEvaluate()
    sign: Text | None = None  # PEM file of the Ed25519 private key that signs what is published
    reports: Text = "state/retrain"  # folder of the newest refusals and evaluations

    def rules(self) -> Iterator[Rule]:
        yield from super().rules()
        if self.max_rows < self.min_rows:
            yield ("max_rows",), f"must be at least min_rows ({self.min_rows})"


class Drift(Section):
    """When live traffic counts as different from what the model was trained on, or first saw."""

    every: Duration = Duration(300)  # how often it is looked at
    window: Duration = Duration(
        86_400
    )  # event time that is compared: at least one season of the data
    threshold: Positive = 0.25  # of the population stability index
    rows: Annotated[Count, Field(ge=500, le=1_000_000)] = 20_000  # sampled from a window

    def rules(self) -> Iterator[Rule]:
        yield from between(self, "every", Duration(1), Duration(86_400))
        yield from between(self, "window", Duration(1), Duration(366 * 86_400))


def learning_rules(retrain: Retrain | None, model: Model) -> Iterator[Rule]:
    """What a training needs of the other sections."""
    if retrain is not None and model.registry is None:
        yield ("retrain",), "needs model.registry, where new models go: registry: state/registry"
    elif retrain is not None and model.require_signature and retrain.sign is None:
        yield ("retrain", "sign"), "is needed: model.require_signature refuses what nobody signed"
