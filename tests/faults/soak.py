"""How long the trials are: short enough for every change by default, long under STREAMER_SOAK=1
(`make soak`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import numpy as np

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


# Of 99th percentiles of phases of four seconds. The soak has 30 of each kind, whose medians
# differed by 2 %. The short form has 3 of each kind with some 70 alerts: by chance alone they
# differed by 22 %, and a busy machine adds its noise.
CHANGE, SHORT = 0.10, 0.50
FLOOR_S = 0.005  # what an idle machine of two cores does to it by itself


def bound_s(healthy_s: Sequence[float], *, soak: bool = SOAK) -> float:
    """What the median of faulty phases stays below, given the healthy ones between them; it hardly
    grows with noise.

    In the soak a tenth more than their median. In the short form half more, and the distance of
    their quartiles, which is the machine's own noise, up to another half.
    """
    usual_s, noise_s = (
        float(np.median(healthy_s)),
        float(np.subtract(*np.percentile(healthy_s, [75, 25]))),
    )
    if soak:
        return usual_s + max(CHANGE * usual_s, FLOOR_S)
    return usual_s + max(SHORT * usual_s, FLOOR_S) + min(noise_s, SHORT * usual_s)


# Where the law names no rate, a quarter of it: all that is sent is judged twice, here and by the
# uninterrupted run.
EASY_PER_S = float(times(500, 2000))


def say(figure: str) -> None:
    """Shown as it comes in the soak, else with the test if it fails."""
    print(figure, flush=True)


def dice() -> random.Random:
    """Of this run's seed."""
    return random.Random(SEED)
