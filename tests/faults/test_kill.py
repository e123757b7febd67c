"""kill -9: nothing is lost and nothing invented, wherever it strikes."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.conftest import MakeTrial
from tests.faults.soak import EASY_PER_S, MORE, RATE_PER_S, SOAK, TRIAL, dice, say, stretched, times
from tests.integration.runner import Daemon
from tests.integration.trial import Trial
from tests.servers.admin import Kafka
from tests.servers.redis_server import RedisServer

pytestmark = TRIAL
# A dead member holds its partitions for the session's six seconds; the rest is for starting and
# restoring. A machine so busy that a process needs longer than six seconds to start has six more
# from there; in the short form all of it takes as much longer as a start does.
FIRST_SCORE_S, SESSION_S = 12.0, 6.0
DIES_WITHIN_S = 60.0
PACKAGE = Path(__file__).parents[2] / "streamer"
ONCE = {
    "after_restore_read",
    "before_admit",
    "during_replay",
    "during_revoke",
}  # in a life with one partition
OF_THE_REGISTRY = {
    "before_publish",
    "during_publish",
    "after_publish",
    "during_move",
}  # its contract suite dies there


def failpoints() -> Iterator[str]:
    """Every name that the program's text gives to `failpoint`, on the way of the events."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "failpoint":
                assert isinstance(node.args[0], ast.Constant)
                yield from {str(node.args[0].value)} - OF_THE_REGISTRY


def test_killed_again_and_again_it_is_back_in_twelve_seconds_and_loses_nothing(
    kafka: Kafka, trial_on: MakeTrial
) -> None:
    trial, rng = trial_on(kafka, every_score=True), dice()
    daemon = trial.daemon()
    pump = trial.pump(rate_per_s=RATE_PER_S, count=MORE)
    daemon.start().wait_scored(timeout_s=60.0)
    for number in range(times(2, 15)):
        time.sleep(rng.uniform(0.0, 2.0))
        daemon.kill()
        start_s, back_s = _restart(daemon)
        say(
            f"kill {number + 1}: first event scored after {back_s:.1f} s, {start_s:.1f} s of them "
            f"to start"
        )
        assert back_s < _limit_s(start_s)
    pump.stop()
    trial.verdict()


def _limit_s(start_s: float) -> float:
    if SOAK:
        return max(FIRST_SCORE_S, start_s + SESSION_S)
    return stretched(FIRST_SCORE_S, start_s)


def _restart(daemon: Daemon) -> tuple[float, float]:
    """Seconds until the process was ready to work, and until it had scored something new."""
    began = time.monotonic()
    start_s = daemon.start().wait_started()
    daemon.wait_scored(timeout_s=60.0)
    return start_s, time.monotonic() - began


def test_a_static_member_killed_at_any_moment_of_its_life_loses_nothing(
    kafka: Kafka, trial_on: MakeTrial
) -> None:
    """It gets its partitions back at once, so the kill may strike while it starts, restores,
    catches up or runs.
    """
    trial, rng = trial_on(kafka, every_score=True), dice()
    daemon = trial.daemon(source={"instance": "only"})
    pump = trial.pump(rate_per_s=EASY_PER_S, count=MORE)
    start_s = daemon.start().wait_started()
    for number in range(times(4, 35)):
        daemon.kill()
        lived_s = start_s * rng.uniform(0.3, 2.5)
        daemon.start()
        time.sleep(lived_s)
        say(f"kill {number + 1}: after {lived_s:.1f} s of life")
    daemon.kill()
    daemon.start()
    pump.stop()
    trial.verdict()


def test_killed_at_every_failpoint_it_loses_nothing(kafka: Kafka, trial_on: MakeTrial) -> None:
    names, trial, rng = sorted(set(failpoints())), trial_on(kafka, every_score=True), dice()
    assert {
        "after_poll",
        "after_score",
        "before_commit",
        "during_snapshot_put",
        "during_revoke",
    } <= set(names)
    one, other = (
        trial.daemon("one", source={"instance": "one"}),
        trial.daemon("other", source={"instance": "other"}),
    )
    pump = trial.pump(rate_per_s=EASY_PER_S, count=MORE)
    for name in names:
        say(f"failpoint {name}")
        _die_at(trial, name, rng.randint(1, 4), one, other)
    one.start()
    pump.stop()
    trial.verdict()


def _die_at(trial: Trial, name: str, count: int, one: Daemon, other: Daemon) -> None:
    """Run until the failpoint strikes; a revoke needs another member, and there is only
    one of it.
    """
    revoke = name == "during_revoke"
    one.start(STREAMER_FAILPOINT=f"{name}:{1 if name in ONCE else count}")
    if revoke:
        one.wait_scored(timeout_s=DIES_WITHIN_S)
        other.start()
    assert one.wait(DIES_WITHIN_S) == -9, f"{name} did not strike"
    if revoke:
        other.wait_scored(timeout_s=DIES_WITHIN_S)
        assert other.terminate() == 0


def test_killed_while_it_writes_to_redis_it_loses_nothing(
    kafka: Kafka, trial_on: MakeTrial, redis_alone: RedisServer
) -> None:
    trial = trial_on(kafka, every_score=True)
    store = {"kind": "redis", "url": redis_alone.url}
    daemon = trial.daemon(source={"instance": "only"}, store=store)
    pump = trial.pump(rate_per_s=EASY_PER_S, count=MORE)
    for name in ("during_snapshot_put:6", "after_snapshot_put:2"):
        assert daemon.start(STREAMER_FAILPOINT=name).wait(DIES_WITHIN_S) == -9
    daemon.start().wait_scored(timeout_s=60.0)
    restored = [line["snapshot"] for line in daemon.logged("partition_restored")]
    assert "restored" in restored, restored
    pump.stop()
    trial.verdict()
