"""How long the trials are: short enough for every change by default, long under STREAMER_SOAK=1 (`make soak`)."""

from __future__ import annotations

import os
import random

SOAK = os.environ.get("STREAMER_SOAK", "") not in {"", "0"}
SEED = int(os.environ.get("TEST_SEED", "0"))
RATE_PER_S = 2000.0
MORE = 10**9  # records: until the pump is stopped


def times(usual: int, soaked: int) -> int:
    return soaked if SOAK else usual


def say(figure: str) -> None:
    """Shown as it comes in the soak, else with the test if it fails."""
    print(figure, flush=True)


def dice() -> random.Random:
    """Of this run's seed."""
    return random.Random(SEED)
