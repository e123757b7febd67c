"""The rules of promotion, on one page: pure functions of numbers, aliases and audit trails.

Nobody else decides. The loops that ask are `alias_follower` (what shall judge), `challenger_trial`
(a challenger beside the champion) and `post_promotion_watch` (a new champion's first while);
`promotion` moves the aliases. The way of a version:

1. The gate that judged its training may refuse it (`gate_of`).
2. As a challenger it judges silently, until enough events are compared (`challenger_of`).
3. An objection ends that (`objection`); without one it is promoted, or waits for an operator.
4. As champion it is watched for a period (`left_s`); a broken bound rolls it back (`breach`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from streamer.artifact import Bundle
from streamer.event import F64
from streamer.lifecycle.incident_matching import Pairs
from streamer.lifecycle.judged_counts import JudgedCounts
from streamer.lifecycle.shadow_report import ShadowReport
from streamer.protocols import ALIASES, Move
from streamer.timefmt import seconds

EDGE = "-edge"  # of a version: its small twin's
TO_STARTER: Mapping[str, str | None] = {"champion": None, "edge": None}  # nothing is champion
WATCHED = ("champion", "edge")  # aliases that a rollback takes back

# Fewer events say nothing about time, and a handful of incidents more than expected says nothing
# about a rate.
LEAST_EVENTS, SPARE_ALERTS = 500, 5
LEAST_UNSURE = 20
SURE = 3.0  # standard errors
# A batch of 60 events takes four times as long an event as one of 2,000: only batches of one class
# are compared, and only where enough were seen. Below the least time nothing is called slow.
LEAST_BATCHES, LEAST_EVENT_S = 4, 20e-6
MORE = 0.25  # of the champion's incidents, that a challenger may open beyond them


class WatchBounds(Protocol):
    """What a promoted model may do (config: model.watch)."""

    @property
    def max_alert_ratio(self) -> float: ...

    @property
    def min_alert_ratio(self) -> float: ...

    @property
    def max_nan_share(self) -> float: ...

    @property
    def max_latency_ratio(self) -> float: ...


# -- what an alias names
def version_of(aliases: Mapping[str, str], alias: str) -> str:
    """The version that shall judge; "" for the starter, where the alias is not set."""
    return aliases.get(alias, "" if alias in ALIASES else alias)


def goes_back(version: str, before: Mapping[str, str]) -> bool:
    """Whether a version that an alias names now is a rollback from the aliases before."""
    previous = before.get("previous")
    return not version or version in (previous, f"{previous}{EDGE}")


def challenger_of(aliases: Mapping[str, str], alias: str, versions: Collection[str]) -> str | None:
    """The version to try out, of the kind that judges here: an edge twin beside an edge twin."""
    named = aliases.get("challenger")
    if named is None or alias not in ALIASES:
        return None
    twin = f"{named}{EDGE}"
    version = twin if alias == "edge" and twin in versions else named
    return None if version == aliases.get(alias) else version


def aliases_after_promotion(
    aliases: Mapping[str, str], version: str, there: Sequence[str]
) -> dict[str, str | None]:
    """The moves that make a version champion."""
    champion = aliases.get("champion")
    if champion == version:
        return {"champion": version}
    changes: dict[str, str | None] = {"champion": version}
    if champion is not None:
        changes["previous"] = champion
    if aliases.get("challenger") == version:
        changes["challenger"] = None
    if f"{version}{EDGE}" in there:
        changes["edge"] = f"{version}{EDGE}"
    return changes


def aliases_after_rollback(
    aliases: Mapping[str, str], previous: str, there: Sequence[str]
) -> dict[str, str | None]:
    """The moves that make the previous version champion again; the twin of the one that goes must
    go with it.
    """
    changes: dict[str, str | None] = {"champion": previous, "previous": None}
    if f"{previous}{EDGE}" in there:
        changes["edge"] = f"{previous}{EDGE}"
    elif aliases.get("edge") == f"{aliases.get('champion')}{EDGE}":
        changes["edge"] = None
    return changes


# -- what the gate said
def gate_of(bundle: Bundle) -> tuple[bool | None, str]:
    """Whether the gate passed a bundle, and why not; None if no gate has judged it."""
    if "gate.json" not in bundle.parts:
        return None, ""
    try:
        told = json.loads(bundle.parts["gate.json"])
        return told["passed"] is True, str(told.get("why", ""))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False, "its gate.json cannot be read"


# -- a challenger
def objection(report: ShadowReport, bounds: WatchBounds, promised: float) -> str | None:
    """Why a challenger may not be promoted, in words; None if nothing speaks against it.

    Fewer incidents than the champion's are no objection: sparing false alarms may be its whole
    worth. But none that people confirmed, and not surely fewer than a share of what the alert
    budgets promise, `promised` in this time.
    """
    champion, challenger = report.pairs.opened
    if report.unsure > max(LEAST_UNSURE, bounds.max_nan_share * report.events):
        return f"{report.unsure} of {report.events} events have no score"
    if noisier(report.pairs):
        return f"{challenger} incidents where the champion had {champion}"
    if report.missed > 0:
        return f"it misses {report.missed} incidents that people confirmed"
    if mute(challenger, champion, promised, bounds):
        return f"{challenger} incidents where the champion had {champion}: it is all but silent"
    if report.agreement.correlation <= 0:
        return "its scores have nothing to do with the champion's"
    if report.slowdown > bounds.max_latency_ratio:
        return f"it takes {report.slowdown:.1f} times as long as the champion"
    return None


def noisier(pairs: Pairs) -> bool:
    """Whether a challenger surely opens more incidents: both judged the same events, so only those
    count that one side opened alone (McNemar, Note on the sampling error of the difference between
    correlated proportions, 1947).
    """
    excess = pairs.extra - pairs.lost
    sure = SURE * math.sqrt(pairs.extra + pairs.lost)
    return excess > max(sure, MORE * pairs.opened[0] + SPARE_ALERTS)


# -- a new champion
def breach(before: JudgedCounts, after: JudgedCounts, bounds: WatchBounds) -> str | None:
    """Which bound the span after a promotion breaks against the span before it, in words; None if
    none.
    """
    if after.unsure > max(LEAST_UNSURE, bounds.max_nan_share * after.events):
        return f"{after.unsure} of {after.events} events have no score"
    known = before.events >= LEAST_EVENTS
    usual = before.opened * after.events / before.events if known else 0.0
    expected = max(usual, after.promised)
    allowed = bounds.max_alert_ratio * expected + SPARE_ALERTS
    if after.opened > allowed:
        return (
            f"{after.opened} incidents in {after.events} events, {expected:.1f} were expected, "
            f"{allowed:.0f} allowed"
        )
    if mute(after.opened, usual, after.promised, bounds):
        return (
            f"{after.opened} incidents in {after.events} events, where {usual:.0f} were usual: "
            f"it has fallen silent"
        )
    return _slower(before.paces, after.paces, bounds.max_latency_ratio)


def mute(opened: int, usual: float, promised: float, bounds: WatchBounds) -> bool:
    """Whether so few incidents are surely below a share of both what was usual and what the alert
    budgets promise.

    The root of a Poisson count has the standard error 1/2 (Anscombe, The transformation of Poisson,
    binomial and negative-binomial data, 1948).
    """
    least = bounds.min_alert_ratio * min(usual, promised)
    return 2 * (math.sqrt(least) - math.sqrt(opened + 1)) > SURE


def _slower(before: F64, after: F64, ratio: float) -> str | None:
    """In words, if what was judged took longer than `ratio` times what batches of the same sizes
    took before.
    """
    shared = (before[0] >= LEAST_BATCHES) & (after[0] > 0)
    events, took_s = after[1:, shared].sum(axis=1)
    usual_s = float((after[0, shared] * before[2, shared] / before[0, shared]).sum())
    if events < LEAST_EVENTS or took_s <= max(ratio * usual_s, LEAST_EVENT_S * events):
        return None
    event_us = 1e6 / events
    return (
        f"an event takes {took_s * event_us:.0f} us, {usual_s * event_us:.0f} us before in "
        f"batches of the same sizes"
    )


def left_s(
    moves: Sequence[Move], alias: str, version: str, *, period_s: float, now_s: float
) -> float:
    """What is left of a watch period at a time in seconds since 1970, by the audit trail (oldest
    move first).

    It runs from the promotion that let the version judge; 0 once it is over, and where the version
    came by a rollback.
    """
    last = next((move for move in reversed(moves) if alias in move.changes), None)
    if (
        last is None
        or last.changes[alias] != version
        or last.changes.get("previous", version) is None
    ):
        return 0.0
    age_s = now_s - seconds(last.at)
    return min(max(period_s - age_s, 0.0), period_s)
