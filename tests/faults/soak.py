"""How long the trials are: short in `make test`, long under STREAMER_SOAK=1 (`make soak`)."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import numpy as np
import pytest

TRIAL = [pytest.mark.trial, pytest.mark.integration, pytest.mark.slow]
SOAK = os.environ.get("STREAMER_SOAK", "") not in {"", "0"}
SEED = int(os.environ.get("TEST_SEED", "0"))
RATE_PER_S = 2000.0
MORE = 10**9  # records: until the pump is stopped
QUIET_START_S = 3.0  # in which a machine of two cores that does nothing else starts a daemon


def times(usual: int, soaked: int) -> int:
    return soaked if SOAK else usual


def stretched(law_s: float, start_s: float) -> float:
    """The law, and longer on a machine that also needs longer to start a daemon: of work that takes
    processor time.
    """
    return law_s * max(1.0, start_s / QUIET_START_S)


# Of 99th percentiles of 30 phases of four seconds: the medians of two runs differed by 2 %.
CHANGE = 0.10
FLOOR_S = 0.005  # what an idle machine of two cores does to it by itself


def bound_s(healthy_s: Sequence[float]) -> float:
    """What the median of faulty phases stays below, given the healthy ones between them."""
    usual_s = float(np.median(healthy_s))
    return usual_s + max(CHANGE * usual_s, FLOOR_S)


# Where the law names no rate, a quarter of it: all that is sent is judged twice, here and by the
# uninterrupted run.
EASY_PER_S = float(times(500, 2000))


def say(figure: str) -> None:
    """Shown as it comes in the soak, else with the test if it fails."""
    print(figure, flush=True)


def dice() -> random.Random:
    """Of this run's seed."""
    return random.Random(SEED)
