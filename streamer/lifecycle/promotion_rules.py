"""The rules of promotion: pure functions of numbers, aliases and audit trails.

They are called by `alias_follower` (which version judges), `challenger_trial` (the shadow run) and
`post_promotion_watch` (the watch of a new champion). `promotion` moves the aliases. The steps of a
version:

1. The gate of its retrain job may refuse it (`gate_of`).
2. As challenger it judges in shadow until enough events are compared (`challenger_of`).
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

EDGE = "-edge"  # suffix of the name of a version's small twin
# clears the aliases, so that the starter judges
TO_STARTER: Mapping[str, str | None] = {"champion": None, "edge": None}
WATCHED = ("champion", "edge")  # aliases that a rollback changes

# Fewer events do not measure speed; a few incidents more than expected do not measure a rate.
LEAST_EVENTS, SPARE_ALERTS = 500, 5
LEAST_UNSURE = 20
SURE = 3.0  # standard errors
# In a batch of 60 an event takes four times as long as in one of 2,000. So only batches of one
# class of size are compared, and only with enough of them. Below the least time nothing counts as
# slow.
LEAST_BATCHES, LEAST_EVENT_S = 4, 20e-6
MORE = 0.25  # share of the champion's incidents that a challenger may open in addition


class WatchBounds(Protocol):
    """The bounds of a promoted model (config: model.watch)."""

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
    """Return the version that judges under an alias; "" for the starter if the alias is not set."""
    return aliases.get(alias, "" if alias in ALIASES else alias)


def goes_back(version: str, before: Mapping[str, str]) -> bool:
    """Return whether the newly named version is a rollback from the aliases before."""
    previous = before.get("previous")
    return not version or version in (previous, f"{previous}{EDGE}")


def challenger_of(aliases: Mapping[str, str], alias: str, versions: Collection[str]) -> str | None:
    """Return the version to run in shadow; None without a challenger.

    Under the alias `edge` it is the challenger's twin, if there is one.
    """
    named = aliases.get("challenger")
    if named is None or alias not in ALIASES:
        return None
    twin = f"{named}{EDGE}"
    version = twin if alias == "edge" and twin in versions else named
    return None if version == aliases.get(alias) else version


def aliases_after_promotion(
    aliases: Mapping[str, str], version: str, there: Sequence[str]
) -> dict[str, str | None]:
    """Return the alias changes that make a version champion."""
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
    """Return the alias changes that make the previous version champion again.

    If the previous version has no twin, the twin of the current champion loses the alias `edge`.
    """
    changes: dict[str, str | None] = {"champion": previous, "previous": None}
    if f"{previous}{EDGE}" in there:
        changes["edge"] = f"{previous}{EDGE}"
    elif aliases.get("edge") == f"{aliases.get('champion')}{EDGE}":
        changes["edge"] = None
    return changes


# -- what the gate said
def gate_of(bundle: Bundle) -> tuple[bool | None, str]:
    """Return whether a bundle passed its gate, and why not; None without a gate report."""
    if "gate.json" not in bundle.parts:
        return None, ""
    try:
        told = json.loads(bundle.parts["gate.json"])
        return told["passed"] is True, str(told.get("why", ""))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False, "its gate.json cannot be read"


# -- a challenger
def objection(report: ShadowReport, bounds: WatchBounds, promised: float) -> str | None:
    """Return why a challenger may not be promoted, in words; None without an objection.

    Fewer incidents than the champion's are no objection, because fewer false alarms may be its
    advantage. But it must not miss confirmed incidents. And its incidents must not be surely below
    a share of `promised`, what the alert budgets allow in this time.
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
    """Return whether a challenger surely opens more incidents than the champion.

    Both judged the same events, so only incidents that one side alone opened count (McNemar, Note
    on the sampling error of the difference between correlated proportions, 1947).
    """
    excess = pairs.extra - pairs.lost
    sure = SURE * math.sqrt(pairs.extra + pairs.lost)
    return excess > max(sure, MORE * pairs.opened[0] + SPARE_ALERTS)


# -- a new champion
def breach(before: JudgedCounts, after: JudgedCounts, bounds: WatchBounds) -> str | None:
    """Return which bound the span after a promotion breaks, in words; None if none.

    It is compared with the span before.
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
    """Return whether `opened` is surely below a share of both `usual` and `promised`.

    The root of a Poisson count has the standard error 1/2 (Anscombe, The transformation of Poisson,
    binomial and negative-binomial data, 1948).
    """
    least = bounds.min_alert_ratio * min(usual, promised)
    return 2 * (math.sqrt(least) - math.sqrt(opened + 1)) > SURE


def _slower(before: F64, after: F64, ratio: float) -> str | None:
    """Return in words that judging took longer than `ratio` times the time before; else None.

    Only batches of the same class of size are compared.
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
    """Return the rest of a watch period at `now_s` (seconds since 1970), by the audit trail.

    `moves` has the oldest move first. The period starts with the promotion of the version. 0 once
    it is over, and if a rollback made the version judge.
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
