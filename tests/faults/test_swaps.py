"""One promotion after the other while events flow: none of them loses an event, or judges with two
models at once.
"""

from __future__ import annotations

from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from streamer import artifact
from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.lifecycle import promotion
from tests.faults.conftest import MakeTrial
from tests.faults.soak import EASY_PER_S, MORE, TRIAL, say, times
from tests.integration import learner
from tests.integration.history import assert_clean
from tests.integration.runner import Daemon
from tests.integration.trial import SCORES, STREAM
from tests.lifecycle.training_world import written
from tests.servers.admin import Kafka

pytestmark = TRIAL
SWAPS = times(3, 30)
FACTORS = {"even": 1.0, "odd": 1.01}
BETWEEN = times(1000, 2000)  # events from a swap to the next


def promoted(registry: DirectoryRegistry, daemon: Daemon, version: str, why: str) -> None:
    assert promotion.promote(registry, version, why)
    learner.wait_judging([daemon], version, timeout_s=60.0)
    daemon.wait_scored(daemon.scored + BETWEEN, timeout_s=60.0)


def test_promotions_under_load_lose_nothing_and_mix_nothing(
    kafka: Kafka, trial_on: MakeTrial, tmp_path: Path
) -> None:
    trial = trial_on(kafka, every_score=True)
    registry = DirectoryRegistry(tmp_path / "registry", create=True)
    shas = [
        artifact.load(written(tmp_path / name, name, factor)).sha256
        for name, factor in FACTORS.items()
    ]
    model: dict[str, Any] = {"registry": str(tmp_path / "registry"), "backend": "numpy"}
    with closing(registry):
        for name in FACTORS:
            registry.publish(tmp_path / name)
        promotion.promote(registry, "even", "first")
        daemon = trial.daemon(model=model).start()
        pump = trial.pump(rate_per_s=EASY_PER_S, count=MORE)
        daemon.wait_scored(BETWEEN, timeout_s=60.0)
        for number in range(1, SWAPS + 1):
            promoted(registry, daemon, list(FACTORS)[number % 2], f"swap {number}")
        pump.stop()
        trial.wait_caught_up()
        assert daemon.terminate() == 0, daemon.child.tail()
    trial.books.append(daemon.books(STREAM))
    delays_ms = [1e3 * (alert_s - event_s) for event_s, alert_s in trial.travels()]
    p50, p99 = np.percentile(delays_ms, [50, 99])
    say(f"{SWAPS} swaps in {pump.sent} events; event to alert: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    history = trial.history()
    assert_clean(history, history.alerts)
    rows = list(learner.rows(trial.directory / daemon.place / SCORES, trial.load))
    learner.assert_judged(rows, history.end, once=True)
    # All partitions at once: in the order in which they were judged the model changes as often as
    # it was swapped.
    assert [model for model, _ in groupby(row.model for row in rows)] == [
        shas[i % 2] for i in range(SWAPS + 1)
    ]
