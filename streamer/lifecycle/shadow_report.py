"""How a challenger compares with the champion on the same events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from streamer.lifecycle.incident_matching import Agreement, OpenedIncident, Pairs


@dataclass(slots=True)
class ShadowReport:
    """What the comparison has found so far."""

    version: str
    events: int = 0
    unsure: int = 0
    # Spent on the same batches. Of a share of the entities a challenger judges fewer rows of each,
    # in nearly the same time, so that it is called slow only where it surely is; gate and watch
    # compare like with like.
    champion_s: float = 0.0
    challenger_s: float = 0.0
    pairs: Pairs = field(default_factory=Pairs)
    agreement: Agreement = field(default_factory=Agreement)
    share: float = 1.0
    # what people said of an incident
    label_of: Callable[[OpenedIncident], str | None] = lambda incident: None

    @property
    def slowdown(self) -> float:
        return self.challenger_s / self.champion_s if self.champion_s > 0 else 0.0

    @property
    def missed(self) -> int:
        """Confirmed incidents that only the champion opened, less those that only the challenger
        did.
        """
        confirmed = self.pairs.by_label(self.label_of).get("confirmed", Counter())
        return confirmed["lost"] - confirmed["extra"]

    def summary(self) -> dict[str, object]:
        """For people and JSON."""
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
