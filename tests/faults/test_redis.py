"""Redis down, hung and full under load: scoring and alerts go on as fast, and snapshots come back
by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import numpy as np
import pytest
from redis import Redis

from tests.faults.conftest import MakeTrial
from tests.faults.soak import EASY_PER_S, MORE, TRIAL, bound_s
from tests.integration.load import Load
from tests.integration.runner import Daemon
from tests.integration.trial import Travel, Trial
from tests.servers.admin import Kafka
from tests.servers.child import wait_until
from tests.servers.redis_server import RedisServer

pytestmark = TRIAL
PHASE_S, WARM_S = 4.0, 10.0
CALM_PER_S = 1000.0  # a machine of two cores that is busy waits for itself, whatever Redis does
NOTICED_S, BACK_S = 5.0, 15.0  # until the metric says that the store is away, and that it is back
Fault = Callable[[RedisServer], AbstractContextManager[None]]


@contextmanager
def _down(redis: RedisServer) -> Iterator[None]:
    redis.stop()
    yield
    redis.start()


@contextmanager
def _hung(redis: RedisServer) -> Iterator[None]:
    redis.pause()
    yield
    redis.resume()


@contextmanager
def _full(redis: RedisServer) -> Iterator[None]:
    with Redis.from_url(redis.url) as raw:
        raw.config_set(
            "maxmemory", 1
        )  # its policy is noeviction: writes are refused, reads are not
        yield
        raw.config_set("maxmemory", 0)


FAULTS: list[Fault] = [_down, _hung, _full]


class Phase(NamedTuple):
    """A stretch of the run by the machine's clock, in seconds since 1970."""

    fault: str  # "" = healthy
    begun_s: float
    ended_s: float
    cpu_s: float  # of the daemon
    judged: float  # events

    def delays(self, travels: list[Travel]) -> list[float]:
        """Seconds from event to alert, of the events of this phase."""
        return [
            alert_s - event_s
            for event_s, alert_s in travels
            if self.begun_s <= event_s < self.ended_s
        ]


@pytest.mark.long
def test_redis_down_hung_and_full_is_not_felt_by_events(
    kafka: Kafka, redis_alone: RedisServer, trial_on: MakeTrial
) -> None:
    trial = trial_on(kafka, load=Load(spike_every=60))
    daemon = trial.daemon(store={"kind": "redis", "url": redis_alone.url})
    daemon.start()
    pump = trial.pump(rate_per_s=CALM_PER_S, count=MORE)
    trial.wait_alerts(50, timeout_s=30.0)
    _stays(daemon, up=1, for_s=WARM_S)
    phases = [
        phase
        for _ in range(10)
        for fault in FAULTS
        for phase in _suffered(daemon, redis_alone, fault)
    ]
    _snapshots_are_written(trial, daemon)
    pump.stop()
    trial.verdict()
    _assert_as_fast(phases, trial.travels())


def test_a_daemon_starts_without_its_redis_and_is_restored_from_it_once_it_is_back(
    kafka: Kafka, redis_alone: RedisServer, trial_on: MakeTrial
) -> None:
    """Down, hung and full in turn: one load is judged through all of them."""
    trial = trial_on(kafka)
    daemon = trial.daemon(
        source={"instance": "only"}, store={"kind": "redis", "url": redis_alone.url}
    ).start()
    pump = trial.pump(rate_per_s=EASY_PER_S, count=MORE)
    _snapshots_are_written(trial, daemon)
    for fault, found in ((_down, "store_down"), (_hung, "store_down"), (_full, "restored")):
        daemon.kill()
        _starts_under(fault, found, trial, daemon, redis_alone)
        daemon.kill()
        daemon.start().wait_scored(timeout_s=30.0)
        assert _restores(daemon) == ["restored"] * trial.load.partitions
    pump.stop()
    trial.verdict()


def _starts_under(
    fault: Fault, found: str, trial: Trial, daemon: Daemon, redis: RedisServer
) -> None:
    """A start while the store is away, then the store comes back."""
    with fault(redis):
        daemon.start()
        trial.wait_alerts(20, timeout_s=60.0)
        assert _restores(daemon) == [found] * trial.load.partitions, fault.__name__
        wait_until(
            lambda: _store_up(daemon) == 0,
            timeout_s=NOTICED_S,
            what="the store to be known as away",
        )
    _is_back(daemon)
    _snapshots_are_written(trial, daemon)


def _suffered(daemon: Daemon, redis: RedisServer, fault: Fault) -> Iterator[Phase]:
    """A healthy phase, then one of the fault, which the metric shows all the time after it was
    noticed.
    """
    yield _phase(daemon, "", lambda: _stays(daemon, up=1, for_s=PHASE_S))
    with fault(redis):
        yield _phase(daemon, fault.__name__, lambda: _away(daemon))
    _is_back(daemon)


def _phase(daemon: Daemon, fault: str, wait: Callable[[], None]) -> Phase:
    begun_s, cpu_s, judged = time.time(), daemon.metric("process_cpu_seconds_total"), daemon.scored
    wait()
    cpu_s, judged = daemon.metric("process_cpu_seconds_total") - cpu_s, daemon.scored - judged
    return Phase(fault, begun_s, time.time(), cpu_s, judged)


def _away(daemon: Daemon) -> None:
    wait_until(
        lambda: _store_up(daemon) == 0, timeout_s=NOTICED_S, what="the store to be known as away"
    )
    _stays(daemon, up=0, for_s=PHASE_S)
    assert daemon.ready()[0], daemon.ready()[1]  # without snapshots events are judged all the same
    assert "no snapshots: " in daemon.checks()["store:plant"]


def _is_back(daemon: Daemon) -> None:
    wait_until(
        lambda: _store_up(daemon) == 1, timeout_s=BACK_S, what="the store to be known as back"
    )


def _stays(daemon: Daemon, *, up: int, for_s: float) -> None:
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        assert _store_up(daemon) == up, daemon.checks()
        time.sleep(0.25)


def _store_up(daemon: Daemon) -> float | None:
    rows = daemon.rows("streamer_store_up")
    return rows[0][1] if rows else None


def _snapshots_are_written(trial: Trial, daemon: Daemon) -> None:
    """One of every partition, from now on."""
    seen = daemon.metric("streamer_snapshots_total", outcome="written")
    wait_until(
        lambda: (
            daemon.metric("streamer_snapshots_total", outcome="written")
            >= seen + 2 * trial.load.partitions
        ),
        timeout_s=30.0,
        what="new snapshots",
    )


def _restores(daemon: Daemon) -> list[str]:
    return [str(line["snapshot"]) for line in daemon.logged("partition_restored")]


def _assert_as_fast(phases: list[Phase], travels: list[Travel]) -> None:
    """Event to alert by the broker's clock. Phases alternate, so that healthy and faulty ones feel
    the same machine.
    """
    p99_s = [(phase.fault, _told_p99(phase, phase.delays(travels))) for phase in phases]
    healthy, faulty = ([at for fault, at in p99_s if bool(fault) == bad] for bad in (False, True))
    usual_s, found_s, most_s = float(np.median(healthy)), float(np.median(faulty)), bound_s(healthy)
    print(
        f"median p99: healthy {usual_s * 1e3:.0f} ms, faulty {found_s * 1e3:.0f} ms, bound "
        f"{most_s * 1e3:.0f} ms"
    )
    assert found_s < most_s


def _told_p99(phase: Phase, delays: list[float]) -> float:
    assert delays, f"no alert in {phase.ended_s - phase.begun_s:.0f} s of {phase.fault or 'health'}"
    p50, p99 = np.percentile(delays, [50, 99])
    cpu_us = 1e6 * phase.cpu_s / max(phase.judged, 1)
    told = f"p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, {cpu_us:.0f} us of processor an event"
    print(f"{phase.fault or 'healthy':8} {len(delays):5} alerts, {told}")
    return float(p99)
