"""Decisions when a retrain job or an evaluation is due: pure functions without clocks and stores.

With `every`, slots are whole multiples of it since 1970; with `cron`, its local times. A local time
that a change to summer time skips is due right after it; one that occurs twice counts once. Both
are shifted by the deployment's part of `jitter`. So replicas of one group agree on a slot, and many
deployments do not train at once.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from streamer.timefmt import plain

if TYPE_CHECKING:
    from streamer.config import Retrain

SCHEDULE, DRIFT, STALENESS = "schedule", "drift", "staleness"


@dataclass(frozen=True, slots=True)
class RetrainPlan:
    """The configured schedule. `name` is the deployment's name, which seeds the jitter."""

    every_s: float
    jitter_s: float
    rest_s: float
    staleness_s: float
    min_rows: int
    on_drift: bool = True
    cron: str | None = None
    zone: str = "UTC"
    name: str = ""

    @property
    def shift_s(self) -> float:
        """This deployment's part of the jitter, 0 <= shift < jitter."""
        drawn = int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "big")
        return self.jitter_s * (drawn / 2**64)


@dataclass(frozen=True, slots=True)
class Known:
    """The facts for a decision. Times are seconds since 1970."""

    now_s: float
    # start of the newest retrain job of any member, whatever its outcome
    last_s: float | None = None
    trained_s: float | None = None  # None for the starter bundle
    since_s: float = -math.inf  # without any retrain job, slots before it are not made up for
    rows: int | None = None  # of history; None: not counted yet
    drift: str | None = None  # what has drifted, in words


@dataclass(frozen=True, slots=True)
class RetrainDecision:
    """Whether a job is due, its cause, and the reason in words."""

    cause: str | None
    why: str
    next_s: float  # of the schedule

    @property
    def due(self) -> bool:
        return self.cause is not None


def plan_of(retrain: Retrain, name: str) -> RetrainPlan:
    """Return the plan of a configuration, for the deployment of that name."""
    return RetrainPlan(
        float(retrain.every),
        float(retrain.spread),
        float(retrain.rest),
        float(retrain.staleness),
        retrain.min_rows,
        retrain.on_drift,
        retrain.cron,
        retrain.timezone,
        name,
    )


def evaluation_of(retrain: Retrain, name: str) -> RetrainPlan | None:
    """Return the plan of evaluations, None if disabled; it ignores drift and age."""
    wanted = retrain.evaluate
    if not wanted.enabled:
        return None
    return RetrainPlan(
        float(wanted.every),
        float(wanted.spread),
        0.0,
        math.inf,
        retrain.min_rows,
        False,
        wanted.cron,
        wanted.timezone,
        name,
    )


def judge(plan: RetrainPlan, known: Known) -> RetrainDecision:
    """Decide by drift first, then schedule, then age; too few rows prevent all of them."""
    began_s = _began(known)
    next_s = next_slot(plan, known.now_s)
    cause, why = _cause(plan, known, -math.inf if began_s is None else began_s)
    if cause is None:
        return RetrainDecision(None, f"not due: {why}next by schedule at {_told(next_s)}", next_s)
    if known.rows is not None and known.rows < plan.min_rows:
        return RetrainDecision(None, too_few(why, known.rows, plan.min_rows), next_s)
    return RetrainDecision(cause, why, next_s)


def too_few(why: str, rows: int, min_rows: int) -> str:
    """Return why nothing is due although there is a cause."""
    return f"not due: {why}, but history holds {rows} of {min_rows} rows"


def _began(known: Known) -> float | None:
    """Return the time from which slots count: the newest training, else `since_s`.

    It is never in the future; None if neither is known.
    """
    newest_s = max(
        (at for at in (known.last_s, known.trained_s) if at is not None), default=known.since_s
    )
    return None if newest_s == -math.inf else min(newest_s, known.now_s)


def _cause(plan: RetrainPlan, known: Known, began_s: float) -> tuple[str | None, str]:
    rested = known.last_s is None or not 0 <= known.now_s - known.last_s < plan.rest_s
    if plan.on_drift and known.drift and rested:
        return DRIFT, f"drift: {known.drift}"
    if began_s == -math.inf:
        return SCHEDULE, "never trained here"
    slot_s = next_slot(plan, began_s)
    if slot_s <= known.now_s:
        return SCHEDULE, f"scheduled for {_told(slot_s)}"
    age_s = known.now_s - (known.now_s if known.trained_s is None else known.trained_s)
    if age_s > plan.staleness_s and rested:
        return STALENESS, f"the champion is {age_s / 86_400:.1f} days old"
    waiting = plan.on_drift and known.drift
    return (
        None,
        f"drift ({known.drift}) waits until {plan.rest_s:.0f} s after the last training; "
        if waiting
        else "",
    )


ROUNDING_S = 1e-5  # float times of this century are 2.4e-7 s apart


def next_slot(plan: RetrainPlan, after_s: float) -> float:
    """Return the first slot later than `after_s`."""
    local_s = after_s - plan.shift_s
    if plan.cron is not None:
        return _next_cron(plan.cron, plan.zone, local_s) + plan.shift_s
    slot_s = (math.floor(local_s / plan.every_s) + 1) * plan.every_s + plan.shift_s
    # rounding may give `after_s` itself, or the next float
    return slot_s if slot_s > after_s + ROUNDING_S else slot_s + plan.every_s


def _next_cron(text: str, zone: str, after_s: float) -> float:
    from cronsim import CronSim

    at = datetime.fromtimestamp(math.floor(after_s), _zone(zone))
    # after a clock was set back, CronSim may return the first of two equal local times, which is in
    # the past
    return next(
        slot for slot in (found.timestamp() for found in CronSim(text, at)) if slot > after_s
    )


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _told(at_s: float) -> str:
    return f"{plain(at_s)}Z"
