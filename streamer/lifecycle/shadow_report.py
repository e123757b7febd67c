"""The comparison of a challenger with the champion on the same events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from streamer.lifecycle.incident_matching import Agreement, OpenedIncident, Pairs


@dataclass(slots=True)
class ShadowReport:
    """The results of the comparison so far."""

    version: str
    events: int = 0
    unsure: int = 0
    # Time spent on the same batches. With a share of the entities, the challenger judges fewer rows
    # per batch in nearly the same time. So it counts as slow only if it surely is.
    champion_s: float = 0.0
    challenger_s: float = 0.0
    pairs: Pairs = field(default_factory=Pairs)
    agreement: Agreement = field(default_factory=Agreement)
    share: float = 1.0
    # returns the label of an incident, or None
    label_of: Callable[[OpenedIncident], str | None] = lambda incident: None

    @property
    def slowdown(self) -> float:
        return self.challenger_s / self.champion_s if self.champion_s > 0 else 0.0

    @property
    def missed(self) -> int:
        """Confirmed incidents of the champion alone, minus those of the challenger alone."""
        confirmed = self.pairs.by_label(self.label_of).get("confirmed", Counter())
        return confirmed["lost"] - confirmed["extra"]

    def summary(self) -> dict[str, object]:
        """Return the report for people and JSON."""
        return {
            "version": self.version,
            "events": self.events,
            "share": round(self.share, 4),
            "same": self.pairs.same,
            "extra": self.pairs.extra,
            "lost": self.pairs.lost,
            "disagreement": round(self.pairs.disagreement, 4),
            "correlation": round(self.agreement.correlation, 4),
            "without_score": self.unsure,
            "slowdown": round(self.slowdown, 3),
            "by_label": self.pairs.by_label(self.label_of),
        }
