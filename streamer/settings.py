"""All settings of detection as one frozen value; streamer.config checks the ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

# Least evidence of an alarm: once in 100,000 events by the entity's own tail. On 29 public series
# (one run, constants near these) the score of the alarms was 62, 66, 66 and 62 at 4.5, 5, 5.5 and
# 6.25.
MIN_EVIDENCE = 5.0

# What runs the network; auto takes litert where it is installed, else numpy.
Backend = Literal["auto", "litert", "litert-fp16", "litert-int8", "keras", "numpy", "baseline"]


@dataclass(frozen=True, slots=True)
class DetectSettings:
    """Settings of one stream's detector.

    Times are seconds of event time, scores are on the alarm scale (1.0 = the alarm line).
    """

    stream: str = "stream"
    channels: tuple[str, ...] = ("value",)
    units: tuple[str | None, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    max_entities: int = 10_000
    idle_after_s: float = math.inf  # an entity silent for longer starts anew
    profile: str = "full"  # "full" | "lean"
    late_s: float = 3600.0
    duplicates: str = "drop"  # "drop" | "keep"
    missing: str = "mask"  # "mask" | "hold" | "drop"
    max_gap_s: float = math.inf  # a longer gap starts the entity's history anew
    rhythm: bool = True  # False where times carry no information (row numbers)
    watch: tuple[str, ...] = ()  # if given, only these channels count
    min_evidence: float = MIN_EVIDENCE  # lower is more sensitive
    direction: str = "both"  # "both" | "above" | "below"
    min_deviation: float = 0.0  # absolute, in the channel's unit
    min_relative: float = 0.0  # as a fraction of the expected value
    k_of: int = 1
    n_of: int = 1
    cooldown_s: float = 0.0
    budget_per_day: float = 5.0
    expected_entities: int = 1  # number of entities that share the budget
    refractory_events: int = 100
    refractory_factor: float = 1.05
    close_below: float = 0.5
    close_events: int = 10  # number of quiet events that resolve an incident
    warning: float = 1.0
    critical: float = 2.0
    # opened alerts per stream and storm window; more are merged into one summary
    storm_alerts: int = 100
    storm_window_s: float = 3600.0
    silence: bool = False  # raise an alert when an entity stays silent longer than is credible
    window_length: int = 64  # rows of raw values in an alert

    @property
    def watched(self) -> tuple[bool, ...]:
        """For each channel, whether it counts."""
        return tuple(not self.watch or name in self.watch for name in self.channels)
