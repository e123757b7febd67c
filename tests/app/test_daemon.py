from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from streamer.app.daemon import Daemon
from streamer.app.service import Phase
from streamer.connect.memory import ABORT, MemorySource
from streamer.errors import SinkError
from streamer.event import EventBatch, Lease, Poll
from streamer.http.health import Health
from streamer.http.metrics import Metrics
from tests.runtime.world import Verdict, World, batch_of, rejected, world

HIGH, LOW = 50.0, 1.0


def run(
    w: World,
    stop: threading.Event | None = None,
    *,
    drain_s: float = 30.0,
    until_idle_s: float | None = None,
) -> int:
    """The whole life on the real clock."""
    return Daemon(
        w.service, stop or threading.Event(), drain_s=drain_s, until_idle_s=until_idle_s
    ).run()


def real(items: list, *, endless: bool = True, capacity: int = 4) -> World:
    return world(items, endless=endless, capacity=capacity, clock=time.monotonic, retry_s=0.001)


def test_the_end_of_all_sources_ends_the_service_with_everything_settled() -> None:
    w = real([batch_of([LOW, HIGH], 0), rejected(2), ABORT, batch_of([LOW], 3)], endless=False)
    assert run(w) == 0
    assert w.accounting.summary()["in"] == 4
    assert w.accounting.in_flight == 0
    assert w.committed == {Lease("t", 0): 4}
    assert [alert.alert_id for alert in w.sink.alerts] == ["id-1"]


def test_everything_is_closed_at_the_end() -> None:
    w = real([batch_of([LOW])], endless=False)
    run(w)
    assert isinstance(w.source, MemorySource)
    assert (w.source.closed, w.sink.closed, w.scores.closed) == (True, True, True)


def test_a_stop_drains_what_was_read_and_reads_no_more() -> None:
    w = real([batch_of([LOW], at) for at in range(100)], capacity=3)
    w.read(3)
    stop = threading.Event()
    stop.set()
    assert run(w, stop) == 0
    assert w.detectors[0].seen == [0, 1, 2]
    assert w.committed == {Lease("t", 0): 3}


def test_idleness_ends_the_service_when_asked_to() -> None:
    w = real([batch_of([LOW], 0)], endless=True)
    assert run(w, until_idle_s=0.3) == 0
    assert w.committed == {Lease("t", 0): 1}


def test_alerts_that_cannot_be_delivered_in_time_are_no_clean_end_and_not_committed() -> None:
    w = real([batch_of([LOW], 0), batch_of([HIGH], 1), batch_of([LOW], 2)], endless=False)
    w.sink.fail = SinkError("disk full")
    assert run(w, drain_s=0.3) == 1
    assert w.committed == {Lease("t", 0): 1}


def test_a_source_that_still_fails_at_the_end_is_no_clean_end() -> None:
    w = real([ABORT] * 100_000, endless=True)
    assert run(w, until_idle_s=0.2) == 1


def test_the_phases_are_running_draining_stopped() -> None:
    w, phase = real([batch_of([LOW])], endless=False), Phase()
    assert phase.name == "starting"
    Daemon(w.service, threading.Event(), phase=phase).run()
    assert phase.name == "stopped"


def test_a_crash_of_the_scorer_is_told_and_nothing_behind_it_is_committed() -> None:
    w = real([batch_of([LOW], 0), batch_of([HIGH], 1)], endless=True)
    judge = w.detectors[0]
    sound = judge.process

    def process(batch: EventBatch) -> Verdict:
        if batch.offset[0] == 1:
            raise ZeroDivisionError("a bug")
        return sound(batch)

    judge.process = process  # type: ignore[method-assign]
    assert run(w, drain_s=0.3) == 1
    assert w.committed in ({Lease("t", 0): 1}, {})


class Broken:
    """An attendant with a bug."""

    name = "models"

    def run(self, stop: threading.Event) -> None:
        raise ZeroDivisionError("a bug")


def test_a_crash_beside_the_flow_is_told_and_the_flow_goes_on() -> None:
    w = real([batch_of([LOW], 0), batch_of([HIGH], 1)], endless=False)
    service = replace(w.service, background_tasks=(Broken(),))
    assert Daemon(service, threading.Event()).run() == 0
    told = {
        check.name: check.detail for check in Health(service, Phase("running"), w.clock).ready()
    }
    assert "models" in told["attendants"]
    crashed = [
        s for family in Metrics(service).collect() for s in family.samples if "attendant" in s.name
    ]
    assert [(sample.labels, sample.value) for sample in crashed] == [({"attendant": "models"}, 1.0)]


class Slow(MemorySource):
    """Never ends and never brings anything."""

    def poll(self, timeout_s: float) -> Poll | None:
        return Poll()


def test_a_stop_before_anything_came_is_clean() -> None:
    w = World(Slow([]), clock=time.monotonic)  # type: ignore[arg-type]
    stop = threading.Event()
    stop.set()
    assert run(w, stop) == 0


@pytest.mark.parametrize("capacity", [1, 2, 50])
def test_threads_lose_nothing_at_any_mailbox_size(capacity: int) -> None:
    w = real([batch_of([LOW, HIGH], 2 * at) for at in range(200)], endless=False, capacity=capacity)
    assert run(w) == 0
    assert w.detectors[0].seen == list(range(400))
    assert [alert.alert_id for alert in w.sink.alerts] == [f"id-{at}" for at in range(1, 400, 2)]
