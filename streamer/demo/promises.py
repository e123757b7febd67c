"""The promises of the show, and whether they were kept.

A promise that cannot be judged says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BANNER_S, COUNTERS_S, FIRST_ALERT_S, RHYTHM_ALERT_S = 2.0, 5.0, 15.0, 40.0
LATE_S = 3.0  # delay allowed for the scoreboard after the end of the show
# Shorter shows have no training: importing TensorFlow alone takes seconds.
TUNING_LEAST_S = 45.0


@dataclass(frozen=True, slots=True)
class PlannedFaults:
    """How many faults are in the programme, known before the show."""

    all: int
    rhythm: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Measurements of a show.

    Seconds of the show's clock; None if it never happened.
    """

    asked_s: float  # requested duration
    lasted_s: float  # actual duration: shorter if a person ended it
    banner_s: float | None
    counters_s: float | None
    first_alert_s: float | None
    rhythm_alert_s: float | None
    board_s: float
    planned: PlannedFaults
    swaps: int
    no_tuning: str  # why there was no training; "" if there was one
    balanced: bool  # in = sum of the fates, nothing in flight
    clean: bool  # the daemon drained and nothing crashed


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise: kept (True), broken (False), or not judged (None), and why."""

    name: str
    kept: bool | None
    told: str


def judged(facts: Facts) -> tuple[Promise, ...]:
    """Judge every promise of the show."""
    nothing_wrong = "no fault is in the programme of this show"
    return (
        _by("banner", facts.banner_s, BANNER_S, facts),
        _by("counters", facts.counters_s, COUNTERS_S, facts),
        _by(
            "first_alert",
            facts.first_alert_s,
            FIRST_ALERT_S,
            facts,
            "" if facts.planned.all else nothing_wrong,
        ),
        _by(
            "rhythm_alert",
            facts.rhythm_alert_s,
            RHYTHM_ALERT_S,
            facts,
            ""
            if facts.planned.rhythm
            else "no fault of the rhythm is in the programme of this show",
        ),
        _swap(facts),
        _by("scoreboard", facts.board_s, facts.lasted_s + LATE_S, facts, always=True),
        Promise("conservation", facts.balanced, "everything that came in has a fate"),
        Promise("clean_stop", facts.clean, "everything that was read was judged and delivered"),
    )


def _by(
    name: str,
    at_s: float | None,
    by_s: float,
    facts: Facts,
    why_not: str = "",
    always: bool = False,
) -> Promise:
    if why_not:
        return Promise(name, None, why_not)
    if at_s is not None and at_s <= by_s:
        return Promise(name, True, f"at {at_s:.1f} s, promised by {by_s:g} s")
    if facts.lasted_s < by_s and not always:
        return Promise(
            name, None, f"the show lasted {facts.lasted_s:g} s, the promise is for second {by_s:g}"
        )
    told = "never" if at_s is None else f"at {at_s:.1f} s"
    return Promise(name, False, f"{told}, promised by {by_s:g} s")


def _swap(facts: Facts) -> Promise:
    if facts.no_tuning:
        return Promise("swap", None, facts.no_tuning)
    if facts.swaps:
        return Promise("swap", True, "the retrained model took over while events were flowing")
    if facts.lasted_s < facts.asked_s:
        return Promise("swap", None, "the show was ended before")
    return Promise("swap", False, "no retrained model took over before the end")


def broken(promises: tuple[Promise, ...]) -> Iterator[Promise]:
    return (promise for promise in promises if promise.kept is False)
