"""Workers under one supervisor: killed, added, taken away, left alone; nothing is lost and nothing
invented.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping

import pytest

from streamer.app.supervisor import Rules
from tests.faults.conftest import MakeTrial
from tests.faults.soak import EASY_PER_S, MORE, SOAK, TRIAL, dice, times
from tests.integration.load import Load
from tests.integration.runner import Daemon
from tests.integration.team import alive, books, pids, start_team
from tests.integration.trial import STREAM, Trial
from tests.servers.admin import Kafka
from tests.servers.child import wait_until

pytestmark = TRIAL
LOAD = Load(entities=60, partitions=6)
DRAIN_S = 10.0
AGAIN_S = 10.0  # until a killed worker has a successor


@pytest.mark.parametrize("instance", [None, "box"] if SOAK else [None])
def test_a_worker_killed_again_and_again_has_a_successor_and_nothing_is_lost(
    kafka: Kafka, trial_on: MakeTrial, instance: str | None
) -> None:
    trial, rng = trial_on(kafka, load=LOAD), dice()
    daemon = trial.daemon(source={"instance": instance})
    start_team(daemon, 3)
    pump = trial.pump(rate_per_s=EASY_PER_S, count=MORE)
    trial.wait_alerts(20, timeout_s=60.0)
    time.sleep(Rules().settled_s)  # who never settled would be given up in the end
    for _ in range(times(2, 40)):
        time.sleep(rng.uniform(0.5, 5.0))
        _kill_and_await(daemon, rng.randrange(3))
    pump.stop()
    trial.wait_caught_up()
    _stop(trial, daemon)
    trial.verdict()


def test_workers_may_become_more_and_fewer_under_load(kafka: Kafka, trial_on: MakeTrial) -> None:
    trial, rng = trial_on(kafka, load=LOAD), dice()
    daemon = trial.daemon()
    pump = trial.pump(rate_per_s=EASY_PER_S, count=MORE)
    for workers in [2, 3, 1] * 5 if SOAK else [3, 1]:
        before = trial.committed
        start_team(daemon, workers)
        _wait_for_members(trial, kafka, workers)
        _keep_up(trial)
        time.sleep(rng.uniform(0.0, 3.0))
        _stop(trial, daemon, before)
    start_team(daemon, 2)
    pump.stop()
    trial.wait_caught_up()
    _stop(trial, daemon)
    trial.verdict()


def test_workers_whose_supervisor_was_killed_drain_and_the_next_ones_go_on(
    kafka: Kafka, trial_on: MakeTrial
) -> None:
    trial = trial_on(kafka, load=LOAD)
    daemon = trial.daemon()
    before = trial.committed
    start_team(daemon, 3)
    pump = trial.pump(rate_per_s=EASY_PER_S, count=MORE)
    _keep_up(trial)
    orphans = pids(daemon).values()
    daemon.kill()
    wait_until(lambda: not any(map(alive, orphans)), timeout_s=DRAIN_S, what="the orphans to drain")
    _enter(trial, daemon, before)
    start_team(daemon, 3)
    _keep_up(trial)
    pump.stop()
    trial.wait_caught_up()
    _stop(trial, daemon)
    trial.verdict()


def _wait_for_members(trial: Trial, kafka: Kafka, workers: int) -> None:
    wait_until(
        lambda: kafka.members(trial.name) == workers, timeout_s=60.0, what=f"{workers} members"
    )


def _keep_up(trial: Trial) -> None:
    """Until events are judged as they come: who is behind has more to drain."""
    trial.wait_alerts(20, timeout_s=60.0)
    trial.wait_kept_up(EASY_PER_S)


def _kill_and_await(daemon: Daemon, number: int) -> None:
    """As the kernel does when memory runs out; then its successor is there."""
    wait_until(lambda: number in pids(daemon), timeout_s=AGAIN_S, what=f"worker {number}")
    pid = pids(daemon)[number]
    os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: pids(daemon).get(number, pid) != pid,
        timeout_s=AGAIN_S,
        what=f"another worker {number}",
    )


def _stop(trial: Trial, daemon: Daemon, before: Mapping[int, int] | None = None) -> None:
    """SIGTERM to the supervisor: all workers drain in time. `before`: where they began, if none of
    them was killed.
    """
    asked = time.monotonic()
    assert daemon.terminate() == 0, daemon.child.tail()
    took_s = time.monotonic() - asked
    print(f"{len(daemon.logged('service_stopped'))} workers drained in {took_s:.1f} s")
    assert took_s < DRAIN_S
    _enter(trial, daemon, before)


def _enter(trial: Trial, daemon: Daemon, before: Mapping[int, int] | None) -> None:
    """Their books into the verdict. What nobody judged cannot be committed."""
    account = books(daemon, STREAM)
    trial.books.append(account)
    if before is not None:
        moved = sum(trial.committed.values()) - sum(before.values())
        assert (
            moved
            <= account.account["in"] - account.account["replayed"] - account.account["returned"]
        )


def test_of_two_replicas_with_one_instance_the_older_stops_and_says_why(
    kafka: Kafka, trial_on: MakeTrial
) -> None:
    trial = trial_on(kafka, load=LOAD)
    older, newer = (
        trial.daemon(place, source={"instance": "same"}) for place in ("older", "newer")
    )
    older.start()
    pump = trial.pump(rate_per_s=EASY_PER_S, count=MORE)
    older.wait_scored(timeout_s=30.0)
    newer.start()
    wait_until(
        lambda: "source:plant" in older.ready()[1], timeout_s=30.0, what="the older one to be told"
    )
    told = older.ready()[1]["source:plant"]
    assert f"another member of group {trial.name} runs as instance same: give each replica" in told
    newer.wait_scored(timeout_s=30.0)
    trial.wait_alerts(20, timeout_s=60.0)
    assert newer.ready()[0], "they would fence each other in turn"
    assert "source:plant" in older.ready()[1]
    pump.stop()
    trial.wait_caught_up()
    older.kill()
    trial.verdict()
