"""Evidences: each folds an entity's log into a bounded profile and says how strange the newest
event is.

One small file each, one contract (`base.Evidence`), one list (`of_profile`). An evidence is -log10
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

__all__ = ["Evidence", "Observation", "of_profile"]


def of_profile(
    settings: DetectSettings, prior: Mapping[str, Any], *, rhythm: bool
) -> list[Evidence]:
    """The evidences that a stream's settings ask for, in the order of their snapshot."""
    slots, channels = settings.max_entities, len(settings.channels)
    chosen: list[Evidence] = [Surprise(slots, channels, prior.get("surprise", {}), settings)]
    if rhythm:
        chosen.append(Rhythm(slots, channels, prior.get("rhythm", {})))
    if settings.profile == "full":
        chosen += [Stuck(slots, channels, settings), Novelty(slots, channels, settings)]
    return chosen
