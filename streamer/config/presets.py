"""Presets: settings of a stream by kind of data, merged below the stream's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "sensors": {
        "window": {"missing": "mask", "late": "1m"},
        "detect": {"cooldown": "5m", "max_entities": 2000},
    },
    "transactions": {
        # Two equal amounts in one second are two purchases. Cards and terminals are many, and
        # silent for weeks.
        "window": {"duplicates": "keep", "late": "24h"},
        "detect": {"profile": "lean", "max_entities": 20_000, "idle_after": "90d"},
        "alerts": {"budget": "20/day"},
    },
    "metrics": {
        "window": {"missing": "mask", "late": "5m"},
        "detect": {"cooldown": "10m", "max_entities": 2000},
    },
    "edge": {
        "window": {"late": "1m"},
        "detect": {"profile": "lean", "max_entities": 64, "cooldown": "5m"},
    },
}
