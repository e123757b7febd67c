"""Evidences: each folds an entity's log into a bounded profile and says how strange the newest
event is.

One small file each, one contract (`base.Evidence`), one table (`EVIDENCES`). An evidence is -log10
of an exceedance, or a log-ratio in an absolute unit: 0 = nothing strange, 3 = once in a thousand
events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamer.detect.evidence.base import Evidence, Observation
from streamer.detect.evidence.novelty import Novelty
from streamer.detect.evidence.rhythm import Rhythm
from streamer.detect.evidence.stuck import Stuck
from streamer.detect.evidence.surprise import Surprise
from streamer.settings import DetectSettings

__all__ = ["EVIDENCES", "Evidence", "Observation", "of_profile"]

# Every evidence, in the order of their snapshot. The first one knows the band of a value.
EVIDENCES: tuple[type[Evidence], ...] = (Surprise, Rhythm, Stuck, Novelty)


def of_profile(settings: DetectSettings, prior: Mapping[str, Any]) -> list[Evidence]:
    """The evidences that a stream's settings ask for, in the order of their snapshot."""
    return [kind(settings, prior.get(kind.name, {})) for kind in EVIDENCES if kind.wanted(settings)]
