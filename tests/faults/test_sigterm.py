"""SIGTERM: what was read is judged, told and committed, within ten seconds, and not a record more."""

from __future__ import annotations

import random
import time

import pytest

from tests.conftest import SEED
from tests.faults.conftest import MakeTrial
from tests.servers.admin import Kafka

pytestmark = [pytest.mark.integration, pytest.mark.slow]
TIMES, RATE_PER_S = 10, 2000.0


def test_ten_times_sigterm_drains_in_ten_seconds_and_scores_nothing_beyond_the_commit(
    kafka: Kafka, trial_on: MakeTrial
) -> None:
    trial, rng = trial_on(kafka), random.Random(SEED)
    daemon = trial.daemon()
    pump = trial.pump(rate_per_s=RATE_PER_S, count=60_000)
    for _ in range(TIMES):
        before = trial.committed
        daemon.start().wait_scored(timeout_s=20.0)
        time.sleep(rng.uniform(0.0, 1.0))
        asked = time.monotonic()
        trial.run_and_stop(daemon, before)
        assert time.monotonic() - asked < 10.0
    daemon.start()
    pump.finish()
    trial.verdict()
