"""What a shadow's report is worth: a pure verdict over its numbers."""

from __future__ import annotations

import math

from streamer.service.learning.pairs import Pairs
from streamer.service.learning.shadow import Report
from streamer.service.learning.watch import LEAST_UNSURE, SPARE_ALERTS, SURE, Bounds, mute

MORE = 0.25  # of the champion's incidents, that a challenger may open beyond them


def objection(report: Report, bounds: Bounds, promised: float) -> str | None:
    """Why a challenger may not be promoted, in words; None if nothing speaks against it.

    Fewer incidents than the champion's are no objection: sparing false alarms may be its whole worth. But none that
    people confirmed, and not surely fewer than a share of what the alert budgets promise, `promised` in this time.
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
    """Whether a challenger surely opens more incidents: both judged the same events, so only those count that one side
    opened alone (McNemar, Note on the sampling error of the difference between correlated proportions, 1947).
    """
    excess = pairs.extra - pairs.lost
    sure = SURE * math.sqrt(pairs.extra + pairs.lost)
    return excess > max(sure, MORE * pairs.opened[0] + SPARE_ALERTS)
