from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.backoff import Backoff
from streamer.connect.memory import MemorySink
from streamer.errors import SinkError
from streamer.event import Message
from streamer.runtime.outbox import ASK_EVERY_S, ASK_UNWELL_S, GRACE_S, Outbox, Outlet
from tests.runtime.world import Hands, alert_at, two_sinks

DOWN = SinkError("alerts.jsonl: no space left on device")


@pytest.fixture
def clock() -> Hands:
    return Hands()


def outlet_of(sink: MemorySink, clock: Hands) -> Outlet[Message]:
    return Outlet("memory", sink, Backoff(1.0, 8.0, clock), clock)


def test_an_alert_is_delivered_when_its_sink_says_so(clock: Hands) -> None:
    sink = MemorySink()
    outbox = Outbox([outlet_of(sink, clock)])
    sink.hold()
    outbox.post([alert_at(1), alert_at(2)])
    outbox.pump()
    assert (outbox.acknowledged, outbox.undelivered) == (0, 2)
    sink.release()
    clock.now += ASK_EVERY_S
    outbox.pump()
    assert (outbox.acknowledged, outbox.undelivered) == (2, 0)
    assert [alert.alert_id for alert in sink.alerts] == ["id-1", "id-2"]


def test_an_alert_counts_as_delivered_only_when_every_sink_has_it(clock: Hands) -> None:
    slow = MemorySink()
    slow.hold()
    outbox = two_sinks(MemorySink(), slow, clock)
    outbox.post([alert_at(1)])
    outbox.pump()
    assert outbox.acknowledged == 0


def test_a_failed_alert_is_kept_and_retried_after_the_backoff(clock: Hands) -> None:
    sink = MemorySink(fail=DOWN)
    outlet = outlet_of(sink, clock)
    outlet.post(1, alert_at(1))
    outlet.pump()
    assert (outlet.undelivered, outlet.failures, outlet.problem) == (1, 1, str(DOWN))
    sink.fail = None
    outlet.pump()
    assert sink.alerts == []
    clock.now += 1.0
    outlet.pump()
    assert (len(sink.alerts), outlet.undelivered, outlet.problem) == (1, 0, None)


@given(
    st.lists(
        st.sampled_from(["post", "break", "mend", "hold", "release", "hand_over"]), max_size=40
    )
)
def test_whatever_fails_every_alert_arrives_once_and_in_order(steps: list[str]) -> None:
    clock, sink, posted = Hands(), MemorySink(), 0
    outlet = outlet_of(sink, clock)
    for step in [*steps, "mend", "release"]:
        if step == "post":
            posted += 1
            outlet.post(posted, alert_at(posted))
        sink.fail = {"break": DOWN, "mend": None}.get(step, sink.fail)
        if step in ("hold", "release"):
            getattr(sink, step)()
        if step == "hand_over":
            outlet.hand_over()
        clock.now += 3.0
        outlet.pump()
        assert outlet.acknowledged <= len(sink.alerts)
    clock.now += 100.0
    outlet.pump()
    assert [alert.alert_id for alert in sink.alerts] == [f"id-{n}" for n in range(1, posted + 1)]
    assert (outlet.acknowledged, outlet.undelivered) == (posted, 0)


def test_patience_with_a_slow_sink_ends_after_the_grace(clock: Hands) -> None:
    sink = MemorySink()
    sink.hold()
    outlet = outlet_of(sink, clock)
    outlet.post(1, alert_at(1))
    outlet.pump()
    assert outlet.problem is None
    clock.now += GRACE_S + 1
    outlet.pump()
    assert "1 unacknowledged" in (outlet.problem or "")


def test_a_sink_that_is_back_is_used_at_once_however_long_it_was_away(clock: Hands) -> None:
    sink = MemorySink()
    sink.hold()
    outlet = outlet_of(sink, clock)
    outlet.post(1, alert_at(1))
    for _ in range(1000):
        clock.now += ASK_UNWELL_S
        outlet.pump()
    assert outlet.problem
    assert outlet.failures < 250 / 8 + 10  # lines of the log: the backoff ends at 8 s
    sink.release()
    outlet.post(2, alert_at(2))
    clock.now += ASK_UNWELL_S
    outlet.pump()
    assert (outlet.undelivered, len(sink.alerts)) == (0, 2)
    assert not outlet.problem


class Sluggish(MemorySink):
    """Acknowledges as many alerts as `done` says."""

    done = 0

    def flush(self, timeout_s: float) -> int:
        return len(self.alerts) - self.done


def test_a_sink_that_makes_progress_is_well_although_something_is_always_on_its_way(
    clock: Hands,
) -> None:
    sink = Sluggish()
    outlet = outlet_of(sink, clock)
    for n in range(1, 4):
        outlet.post(n, alert_at(n))
    outlet.pump()
    clock.now += GRACE_S + 1
    outlet.pump()
    assert outlet.problem
    sink.done = 1
    clock.now += ASK_UNWELL_S
    outlet.pump()
    assert (outlet.acknowledged, outlet.undelivered) == (1, 2)
    assert not outlet.problem


def test_without_sinks_everything_posted_is_delivered() -> None:
    outbox: Outbox[Message] = Outbox([])
    outbox.post([alert_at(1)])
    assert (outbox.acknowledged, outbox.idle) == (1, True)


def test_the_outbox_is_full_at_its_limit(clock: Hands) -> None:
    sink = MemorySink()
    sink.hold()
    outbox = Outbox([outlet_of(sink, clock)], limit=2)
    outbox.post([alert_at(1)])
    assert not outbox.full
    outbox.post([alert_at(2)])
    assert outbox.full


def test_an_alert_does_not_wait_for_the_one_before_it_to_be_acknowledged(clock: Hands) -> None:
    sink = MemorySink()
    outlet = outlet_of(sink, clock)
    sink.hold()
    outlet.post(1, alert_at(1))
    outlet.pump()
    outlet.post(2, alert_at(2))
    outlet.hand_over()
    assert ([alert.alert_id for alert in sink.alerts], outlet.acknowledged) == (["id-1", "id-2"], 0)
    sink.release()
    clock.now += ASK_EVERY_S
    outlet.pump()
    assert outlet.acknowledged == 2
