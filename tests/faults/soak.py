"""How long the trials are: short enough for every change by default, long under STREAMER_SOAK=1 (`make soak`)."""

from __future__ import annotations

import os
import random

SOAK = os.environ.get("STREAMER_SOAK", "") not in {"", "0"}
SEED = int(os.environ.get("TEST_SEED", "0"))
RATE_PER_S = 2000.0
MORE = 10**9  # records: until the pump is stopped
QUIET_START_S = 3.0  # in which a machine of two cores that does nothing else starts a daemon


def times(usual: int, soaked: int) -> int:
    return soaked if SOAK else usual


def stretched(law_s: float, start_s: float) -> float:
    """The law, and longer on a machine that also needs longer to start a daemon: of work that takes processor time."""
    return law_s * max(1.0, start_s / QUIET_START_S)


# Where the law names no rate, half of it: all that is sent is judged twice, by the trial and by the uninterrupted run.
EASY_PER_S = float(times(1000, 2000))


def say(figure: str) -> None:
    """Shown as it comes in the soak, else with the test if it fails."""
    print(figure, flush=True)


def dice() -> random.Random:
    """Of this run's seed."""
    return random.Random(SEED)
