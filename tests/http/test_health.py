from __future__ import annotations

from streamer.app.service import Phase
from streamer.connect.memory import ABORT, MemorySource
from streamer.errors import SinkError
from streamer.event import Lease
from streamer.http.health import ALIVE_S, Health
from streamer.runtime.model import ModelState
from tests.runtime.world import REF, World, batch_of, world


def health_of(w: World, phase: str = "running") -> Health:
    return Health(w.service, Phase(phase), w.clock)


def reasons(w: World, phase: str = "running") -> dict[str, str]:
    return {check.name: check.detail for check in health_of(w, phase).ready() if not check.ok}


def test_a_running_service_without_trouble_is_ready() -> None:
    assert reasons(world([])) == {}


def test_a_service_that_starts_or_drains_is_not_ready() -> None:
    assert reasons(world([]), "starting") == {"service": "starting"}
    assert reasons(world([]), "draining") == {"service": "draining"}


def test_a_failing_source_is_the_reason() -> None:
    w = world([ABORT])
    w.read(1)
    assert reasons(w) == {"source:s": f"failing, retried: {ABORT}"}


def test_a_failing_sink_is_the_reason_and_says_how_many_alerts_wait() -> None:
    w = world([batch_of([50.0, 50.0])])
    w.sink.fail = SinkError("disk full")
    w.read(1)
    w.score()
    assert reasons(w) == {"sink:memory": "2 undelivered, retried: disk full"}


def test_a_full_outbox_is_the_reason() -> None:
    w = world([batch_of([50.0])], limit=1)
    w.sink.hold()
    w.read(1)
    w.score()
    assert reasons(w) == {"outbox": "1 alerts wait (limit 1): scoring is stopped"}


def test_a_source_that_is_behind_is_ready_and_says_how_far() -> None:
    w = world([])
    assert isinstance(w.source, MemorySource)
    w.source.lags = {Lease("t", 0): 1200, Lease("t", 1): 34}
    details = {check.name: check.detail for check in health_of(w).ready()}
    assert (reasons(w), details["source:s"]) == ({}, "reading, 1,234 records behind")


def test_a_source_that_reads_slower_than_it_could_is_ready_and_says_why() -> None:
    w = world([])
    assert isinstance(w.source, MemorySource)
    w.source.degraded = "another client"
    details = {check.name: check.detail for check in health_of(w).ready()}
    assert reasons(w) == {}
    assert details["source:s"] == "reading; slower than it could: another client"


def test_recovery_makes_ready_again() -> None:
    w = world([ABORT, batch_of([1.0])])
    w.read(2)
    assert reasons(w) == {}


def test_a_fallback_model_is_ready_and_says_so() -> None:
    w = world([], model=ModelState(REF, "weights.npz: not found"))
    details = {check.name: check.detail for check in health_of(w).ready()}
    assert reasons(w) == {}
    assert details["model"] == "fallback to test-1 on numpy: weights.npz: not found"


def test_a_refused_model_is_ready_and_says_which_judges_and_why() -> None:
    w = world([], model=ModelState(REF, problem="v2: its gate said no"))
    details = {check.name: check.detail for check in health_of(w).ready()}
    assert reasons(w) == {}
    assert details["model"] == (
        "test-1 on numpy, because another one is refused: v2: its gate said no"
    )


def test_a_loop_that_no_longer_turns_is_not_alive() -> None:
    w = world([])
    health = health_of(w)
    assert all(check.ok for check in health.alive())
    w.clock.now += ALIVE_S + 1
    w.scoring_loop.step()
    assert {check.name: check.ok for check in health.alive()} == {"reader:s": False, "scorer": True}
