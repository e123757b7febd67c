"""The schema of a detector's snapshots, before the detector exists."""

from __future__ import annotations

from dataclasses import replace

from streamer.artifact import ModelSpec
from streamer.detect.pipeline import Detector
from streamer.detect.snapshot import Schema
from streamer.protocols import Network
from streamer.settings import DetectSettings


def schema_of(settings: DetectSettings, scorer: Network, spec: ModelSpec, key: int = 0) -> Schema:
    """Return the schema of a detector of these settings, without allocating its memory."""
    small = Detector(replace(settings, max_entities=1), scorer, spec, key=key)
    return replace(small.schema, capacity=settings.max_entities)
