"""SIGTERM: what was read is judged, told and committed, within ten seconds, and not a
record more.
"""

from __future__ import annotations

import time

from tests.faults.conftest import MakeTrial
from tests.faults.soak import EASY_PER_S, MORE, TRIAL, dice, say, times
from tests.servers.admin import Kafka

pytestmark = TRIAL
DRAIN_S = 10.0


def test_sigterm_drains_in_ten_seconds_and_nothing_is_scored_beyond_the_commit(
    kafka: Kafka, trial_on: MakeTrial
) -> None:
    trial, rng = trial_on(kafka), dice()
    daemon = trial.daemon()
    pump = trial.pump(rate_per_s=EASY_PER_S, count=MORE)
    for number in range(times(4, 30)):
        before = trial.committed
        daemon.start().wait_scored(timeout_s=60.0)
        time.sleep(rng.uniform(0.0, 0.8))
        asked = time.monotonic()
        trial.run_and_stop(daemon, before)
        drain_s = time.monotonic() - asked
        say(f"SIGTERM {number + 1}: drained in {drain_s:.1f} s")
        assert drain_s < DRAIN_S
    daemon.start()
    pump.stop()
    trial.verdict()
