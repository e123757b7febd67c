"""Retention overtakes a stopped consumer: what is gone is counted and told, and nothing jumps
silently.
"""

from __future__ import annotations

import json
from dataclasses import replace

from tests.faults.conftest import MakeTrial
from tests.faults.soak import EASY_PER_S, MORE, TRIAL, say, times
from tests.integration.history import Told, assert_clean
from tests.integration.runner import Daemon
from tests.integration.trial import STREAM, Trial, dump
from tests.servers.admin import Kafka
from tests.servers.child import wait_until

pytestmark = TRIAL
Gaps = dict[int, int]  # records by partition


def test_records_that_retention_removed_are_counted_and_told_and_the_rest_is_judged(
    kafka: Kafka, trial_on: MakeTrial
) -> None:
    trial = trial_on(kafka, segment_ms=1000)
    daemon, pump = trial.daemon(), trial.pump(rate_per_s=EASY_PER_S, count=MORE)
    daemon.start().wait_scored(times(2000, 40_000), timeout_s=60.0)
    trial.run_and_stop(daemon, before=dict.fromkeys(range(trial.load.partitions), 0))
    stopped_at, told = trial.committed, kafka.end_offsets(trial.alerts)
    _overtake(trial)
    daemon.start()
    trial.wait_alerts(trial.load.partitions + 20, timeout_s=60.0)
    pump.stop()
    trial.wait_caught_up()
    starts = kafka.start_offsets(trial.name)
    gaps = {partition: starts[partition] - at for partition, at in stopped_at.items()}
    say(f"removed unread, by partition: {gaps}")
    _told_everywhere(daemon, trial, gaps)
    trial.run_and_stop(daemon, stopped_at)
    assert daemon.account(STREAM)["expired"] == sum(gaps.values())
    assert _told_to_operators(trial) == sorted(gaps.items())
    _rest_is_judged(trial, since=told)


def _overtake(trial: Trial) -> None:
    """By the broker's own retention: every partition loses records that the stopped daemon has not
    read.
    """
    stopped_at = trial.committed
    trial.kafka.configure_topic(trial.name, retention_ms=1000)
    wait_until(
        lambda: _gone(trial, stopped_at), timeout_s=60.0, what="retention to remove unread records"
    )
    trial.kafka.configure_topic(trial.name, retention_ms=-1)


def _gone(trial: Trial, since: Gaps) -> bool:
    starts = trial.kafka.start_offsets(trial.name)
    return all(starts[partition] > at + 500 for partition, at in since.items())


def _told_everywhere(daemon: Daemon, trial: Trial, gaps: Gaps) -> None:
    for partition, records in gaps.items():
        assert daemon.metric("streamer_records_expired_total", partition=str(partition)) == records
        assert f"{trial.name}-{partition}: {records}" in daemon.checks()[f"log:{STREAM}"]
    lines = [(line["partition"], line["records"]) for line in daemon.logged("records_expired")]
    assert sorted(lines) == sorted(gaps.items())


def _told_to_operators(trial: Trial) -> list[tuple[int, int]]:
    """Partition and records of each alert about a gap."""
    alerts = [json.loads(message.value() or b"") for message in dump(trial.kafka, trial.alerts)]
    about = [alert for alert in alerts if alert["reasons"] == ["RECORDS_EXPIRED"]]
    return sorted(
        (int(one["entity"].rpartition("-")[2]), int(one["summary"].partition(" ")[0]))
        for one in about
    )


def _rest_is_judged(trial: Trial, since: Gaps) -> None:
    """As if the log had begun behind the gap: the memory of what is gone is gone too."""
    seen, rest = trial.history(), trial.uninterrupted()
    assert_clean(replace(seen, alerts=[one for one in seen.alerts if _of_events(one, since)]), rest)


def _of_events(one: Told, since: Gaps) -> bool:
    return one.offset >= since[one.partition] and one.upto is not None
