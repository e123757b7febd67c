"""What a shadow's report is worth: a pure verdict over its numbers."""

from __future__ import annotations

from streamer.service.learning.shadow import Report
from streamer.service.learning.watch import LEAST_UNSURE, SPARE_ALERTS, Bounds


def objection(report: Report, bounds: Bounds) -> str | None:
    """Why a challenger may not be promoted, in words; None if nothing speaks against it.

    Fewer incidents than the champion's are no objection: sparing false alarms may be its whole worth.
    """
    champion, challenger = report.pairs.opened
    allowed = bounds.max_alert_ratio * champion + SPARE_ALERTS
    if report.unsure > max(LEAST_UNSURE, bounds.max_nan_share * report.events):
        return f"{report.unsure} of {report.events} events have no score"
    if challenger > allowed:
        return f"{challenger} incidents where the champion had {champion}"
    if report.agreement.correlation <= 0:
        return "its scores have nothing to do with the champion's"
    if report.slowdown > bounds.max_latency_ratio:
        return f"it takes {report.slowdown:.1f} times as long as the champion"
    return None
