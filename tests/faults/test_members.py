"""Members that come and go, and one that hangs: the group goes on, and nobody loses or invents
anything.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.faults.conftest import MakeTrial
from tests.faults.soak import EASY_PER_S, MORE, TRIAL, dice, say, times
from tests.integration.runner import Daemon
from tests.integration.trial import STREAM, Trial
from tests.integration.watch import Watch
from tests.servers.admin import Kafka
from tests.servers.child import wait_until

pytestmark = TRIAL
REVOKE_S = 5.0
EVERY_S = 2.0
MOVED_S = 60.0  # until the first of them joins, on a machine that starts processes slowly
# Two sessions of six seconds and more, ten in the soak: who stopped polling or beating would be
# evicted.
HANG_S = float(times(15, 60))
HANGS_AFTER = 20  # batches
HANGS_S = 3.0  # silent for so long, it does: a batch takes less even on a machine that is busy


def test_members_that_come_and_go_every_two_seconds_lose_nothing(
    kafka: Kafka, trial_on: MakeTrial
) -> None:
    """Rebalances run inside the reader's poll: a slow revoke would be a silent loop."""
    trial, rng = trial_on(kafka, every_score=True), dice()
    members = [trial.daemon(f"member-{i}") for i in range(3)]
    first, *others = members
    first.start()
    pump = trial.pump(rate_per_s=EASY_PER_S, count=MORE)
    first.wait_scored(timeout_s=60.0)
    with ExitStack() as opened:
        watches = [opened.enter_context(Watch(member)) for member in members]
        until = time.monotonic() + times(12, 300)
        while time.monotonic() < until or not _moved(first, trial.load.partitions):
            assert time.monotonic() < until + MOVED_S, "nothing moved"
            next_at = time.monotonic() + EVERY_S
            _come_or_go(trial, rng.choice(others))
            time.sleep(max(0.0, next_at - time.monotonic()))
    seen = [watch for watch in watches if watch.seen]  # a start may take longer than a stay
    silences_s = [watch.longest_silence_s for watch in seen]
    moves = first.metric("streamer_rebalances_total")
    say(
        f"longest silence of each member {[round(s, 1) for s in silences_s]} s, {moves:.0f} moves "
        f"of the first"
    )
    assert watches[0] in seen and max(silences_s) < REVOKE_S
    pump.stop()
    trial.verdict()


def _moved(first: Daemon, partitions: int) -> bool:
    """Whether more partitions came and went than its own at the start."""
    return first.metric("streamer_rebalances_total") > partitions


def _come_or_go(trial: Trial, member: Daemon) -> None:
    if not member.running:
        member.start()
        return
    assert member.terminate() == 0, member.child.tail()
    trial.books.append(member.books(STREAM))


def _silent_s(member: Daemon) -> float:
    return member.metric("streamer_loop_silent_seconds", loop="scorer")


def test_a_member_whose_scorer_hangs_keeps_its_place_and_loses_nothing(
    kafka: Kafka, trial_on: MakeTrial
) -> None:
    """It hangs before the other one joins, so it must also hand partitions over meanwhile."""
    trial = trial_on(kafka, every_score=True)
    hung, other = trial.daemon("hung"), trial.daemon("other")
    hung.start(STREAMER_FAILPOINT=f"after_score:{HANGS_AFTER}:{HANG_S:g}s")
    pump = trial.pump(rate_per_s=EASY_PER_S, count=MORE)
    with Watch(hung) as watch:
        hung.wait_log("partition_restored", timeout_s=60.0)
        wait_until(lambda: _silent_s(hung) > HANGS_S, timeout_s=60.0, what="the scorer to hang")
        alone = kafka.member_ids(trial.name)
        other.start().wait_scored(timeout_s=60.0)
        time.sleep(HANG_S)
        both = kafka.member_ids(trial.name)
    scorer_s, reader_s = watch.longest("scorer"), watch.longest(f"reader:{STREAM}")
    say(f"silent: the scorer {scorer_s:.1f} s, the reader {reader_s:.1f} s")
    assert len(alone) == 1 and len(both) == 2 and alone < both
    assert scorer_s > HANG_S - 2.0
    assert reader_s < REVOKE_S
    pump.stop()
    trial.verdict()
