"""Brokers that go away, stall and die: nothing lost, no loop blocked, the truth told, and back within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise

import pytest

from tests.faults.conftest import MakeTrial
from tests.faults.soak import MORE, RATE_PER_S
from tests.integration.trial import Trial
from tests.integration.watch import Watch
from tests.servers.child import wait_until
from tests.servers.cluster import KafkaCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]
LOOP_SILENT_S = 10.0
FIRST_ALERT_S = 5.0  # after the broker's return
ALERT_GAP_S = 15.0  # with two of three brokers left
LOG_LINES = 100
Fault = Callable[[KafkaCluster], AbstractContextManager[None]]


@contextmanager
def _away(kafka: KafkaCluster) -> Iterator[None]:
    kafka.stop()
    time.sleep(20.0)
    yield
    kafka.start()


@contextmanager
def _stalled(kafka: KafkaCluster) -> Iterator[None]:
    kafka.pause()
    time.sleep(12.0)
    yield
    kafka.resume()


@pytest.mark.parametrize("fault", [_away, _stalled])
def test_a_broker_that_was_gone_costs_nothing_but_time(
    kafka_alone: KafkaCluster, trial_on: MakeTrial, fault: Fault
) -> None:
    trial = trial_on(kafka_alone)
    daemon = trial.daemon().start()
    pump = trial.pump(rate_per_s=RATE_PER_S, count=MORE)
    trial.wait_alerts(20, timeout_s=30.0)
    lines = len(daemon.logged())
    with Watch(daemon) as watch:
        with fault(kafka_alone):
            ready, reasons = daemon.ready()
            assert not ready and "kafka" in reasons["source:plant"], reasons
        returned_s = time.time()
        trial.wait_alerts(50, timeout_s=60.0)
        daemon.wait_ready(FIRST_ALERT_S)
    assert watch.longest_silence_s < LOOP_SILENT_S
    assert len(daemon.logged()) - lines < LOG_LINES
    pump.stop()
    trial.verdict()
    first = min((one for one in trial.travels() if one.event_s > returned_s), key=lambda one: one.alert_s)
    assert first.alert_s - returned_s < FIRST_ALERT_S


def test_the_leader_of_three_and_the_coordinator_may_die(kafka_cluster: KafkaCluster, trial_on: MakeTrial) -> None:
    trial = trial_on(kafka_cluster)
    daemon = trial.daemon().start()
    pump = trial.pump(rate_per_s=RATE_PER_S, count=MORE)
    trial.wait_alerts(20, timeout_s=60.0)
    lines = len(daemon.logged())
    with Watch(daemon) as watch:
        for find in (_leader, _coordinator):
            _lose(kafka_cluster, find(kafka_cluster, trial), trial)
    assert watch.longest_silence_s < LOOP_SILENT_S
    assert len(daemon.logged()) - lines < 2 * LOG_LINES
    pump.stop()
    trial.verdict()
    assert longest_gap_s(trial) < ALERT_GAP_S


def _leader(kafka: KafkaCluster, trial: Trial) -> int:
    return kafka.leader(trial.name)


def _coordinator(kafka: KafkaCluster, trial: Trial) -> int:
    return kafka.coordinator(trial.name)


def _lose(kafka: KafkaCluster, node: int, trial: Trial) -> None:
    """Without one of three alerts go on; then it comes back."""
    kafka.kill(node)
    trial.wait_alerts(20, timeout_s=60.0)
    kafka.start(node)
    wait_until(kafka.in_sync, timeout_s=60.0, what="all replicas to keep up")


def longest_gap_s(trial: Trial) -> float:
    """Between two alerts, by the clock of the brokers that stored them."""
    stored = sorted(one.alert_s for one in trial.travels())
    return max(after - before for before, after in pairwise(stored))
