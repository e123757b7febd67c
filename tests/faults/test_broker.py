"""Brokers that go away, stall and die: nothing lost, no loop blocked, the truth told, and back within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise

import pytest

from tests.faults.conftest import MakeTrial
from tests.faults.soak import MORE, RATE_PER_S, say, stretched, times
from tests.integration.runner import Daemon
from tests.integration.trial import Trial
from tests.integration.watch import Watch
from tests.servers.child import wait_until
from tests.servers.cluster import KafkaCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.alone]
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


def test_a_broker_that_was_away_or_stood_still_costs_nothing_but_time(
    kafka_alone: KafkaCluster, trial_on: MakeTrial
) -> None:
    trial = trial_on(kafka_alone)
    daemon, pump = trial.daemon().start(), trial.pump(rate_per_s=RATE_PER_S, count=MORE)
    start_s = daemon.wait_started()
    trial.wait_alerts(20, timeout_s=60.0)
    returns = [_suffer(kafka_alone, trial, daemon, fault) for fault in [_away, _stalled] * times(1, 5)]
    pump.stop()
    trial.verdict()
    limit_s, travels = stretched(FIRST_ALERT_S, max(start_s, trial.truth_start_s)), trial.travels()
    for returned_s in returns:
        any_s = min(one.alert_s for one in travels if one.alert_s > returned_s) - returned_s
        new_s = min(one.alert_s for one in travels if one.event_s > returned_s) - returned_s
        say(f"after the return: first alert {any_s:.1f} s, of a new event {new_s:.1f} s (limit {limit_s:.1f} s)")
        assert any_s < FIRST_ALERT_S
        assert new_s < limit_s  # behind all that producers kept back meanwhile: work, not waiting


def _suffer(kafka: KafkaCluster, trial: Trial, daemon: Daemon, fault: Fault) -> float:
    """Through one fault and all that it kept back; returns when the broker was back (seconds since 1970)."""
    lines = len(daemon.logged())
    with Watch(daemon) as watch:
        with fault(kafka):
            ready, reasons = daemon.ready()
            assert not ready and "kafka" in reasons["source:plant"], reasons
        returned_s = time.time()
        ready_s = daemon.wait_ready(timeout_s=60.0)
        trial.wait_kept_up(3 * RATE_PER_S, timeout_s=180.0)
        trial.wait_alerts(20, timeout_s=60.0)
    lines = len(daemon.logged()) - lines
    say(f"longest silence {watch.longest_silence_s:.1f} s, ready {ready_s:.1f} s after its return, {lines} log lines")
    assert watch.longest_silence_s < LOOP_SILENT_S
    assert lines < LOG_LINES
    return returned_s


def test_the_leader_of_three_and_the_coordinator_may_die(kafka_cluster: KafkaCluster, trial_on: MakeTrial) -> None:
    trial = trial_on(kafka_cluster)
    daemon = trial.daemon().start()
    pump = trial.pump(rate_per_s=RATE_PER_S, count=MORE)
    trial.wait_alerts(20, timeout_s=60.0)
    for find in [_leader, _coordinator] * times(1, 5):
        _lose(kafka_cluster, find(kafka_cluster, trial), trial, daemon)
    pump.stop()
    trial.verdict()
    gap_s = longest_gap_s(trial)
    say(f"longest gap between two alerts {gap_s:.1f} s")
    assert gap_s < ALERT_GAP_S


def _leader(kafka: KafkaCluster, trial: Trial) -> int:
    return kafka.leader(trial.name)


def _coordinator(kafka: KafkaCluster, trial: Trial) -> int:
    return kafka.coordinator(trial.name)


def _lose(kafka: KafkaCluster, node: int, trial: Trial, daemon: Daemon) -> None:
    """Without one of three alerts go on; then it comes back."""
    lines = len(daemon.logged())
    with Watch(daemon) as watch:
        kafka.kill(node)
        trial.wait_alerts(20, timeout_s=60.0)
        kafka.start(node)
        wait_until(kafka.in_sync, timeout_s=60.0, what="all replicas to keep up")
    lines = len(daemon.logged()) - lines
    say(f"node {node} killed: longest silence {watch.longest_silence_s:.1f} s, {lines} log lines")
    assert watch.longest_silence_s < LOOP_SILENT_S
    assert lines < LOG_LINES


def longest_gap_s(trial: Trial) -> float:
    """Between two alerts, by the clock of the brokers that stored them."""
    stored = sorted(one.alert_s for one in trial.travels())
    return max(after - before for before, after in pairwise(stored))
