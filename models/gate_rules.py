"""The rules of the gate, and the result of one rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from streamer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class GateRules:
    """Limits for a challenger.

    Recall is a fraction of anomalies, the other limits are relative to the champion.
    """

    min_recall: float = 0.0  # at the alarm line of the stream's own settings
    max_recall_loss: float = 0.02  # at equal false alarms
    # at the line as set, unless the champion has more false alarms there
    max_line_loss: float = 0.1
    max_false_alarm_ratio: float = 1.1  # at the same budget
    max_delay_ratio: float = 1.5
    # 1 - error / persistence's error, if a peer shows that persistence can be beaten
    min_skill: float = 0.01
    max_error_ratio: float = 1.1
    max_calibration_loss: float = 0.05  # mean distance of quantiles, 0..0.5
    max_leak: float = 0.05  # nats per value
    max_slowdown: float = 1.5
    confidence: float = 0.8
    anomalies: int = 300  # planted, approximate number
    # rows of an entity before the held-out span, in which profiles and alarm lines settle
    warm_rows: int = 512

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1:
            raise ConfigError(
                "gate.confidence", "must be at least 0.5 and below 1", self.confidence
            )
        for name in ("max_false_alarm_ratio", "max_delay_ratio", "max_error_ratio", "max_slowdown"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"gate.{name}",
                    "must be at least 1: an equal model has to pass",
                    getattr(self, name),
                )


def rules_of(given: Mapping[str, Any]) -> GateRules:
    """Rules from a mapping; ConfigError for an unknown name."""
    known = {f.name for f in fields(GateRules)}
    if unknown := sorted(given.keys() - known):
        raise ConfigError(
            "gate", f"unknown: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    return GateRules(**given)


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One applied rule: numbers of both models, the limit, and whether it is kept."""

    name: str
    ok: bool
    said: str
    champion: float | None = None
    challenger: float | None = None
    limit: float | None = None
