from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.memory import ABORT, MemorySource
from streamer.errors import InputError
from streamer.event import Poll
from streamer.runtime.mailbox import Mailbox
from streamer.runtime.reader import FEW, GATHER_S, REST_S, Arrival, Reader
from tests.runtime.world import World, batch_of, rejected, world


def test_a_full_mailbox_pauses_the_source_and_never_blocks() -> None:
    w = world([batch_of([1.0], at) for at in range(10)], capacity=3)
    w.read(50)
    assert (len(w.mailbox), w.reader.paused, w.accounting.received) == (3, True, 3)


def test_reading_resumes_at_a_half_empty_mailbox() -> None:
    w = world([batch_of([1.0], at) for at in range(10)], capacity=4)
    w.read(10)
    w.mailbox.take()
    w.read(1)
    assert w.reader.paused
    w.mailbox.take()
    w.read(1)
    assert not w.reader.paused
    assert w.reader.pauses == 1


def test_a_crowd_in_flight_pauses_the_source_whatever_room_the_mailbox_has() -> None:
    full = [True]
    w = world([batch_of([1.0], at) for at in range(5)])
    reader = Reader(w.accounting, w.source, w.mailbox, crowded=lambda: full[0], clock=w.clock)
    reader.step(0.0)
    assert (reader.paused, w.accounting.received) == (True, 0)
    full[0] = False
    reader.step(0.0)
    assert (reader.paused, w.accounting.received) == (False, 1)


def test_a_paused_source_resumes_only_when_neither_mailbox_nor_flight_is_crowded() -> None:
    full = [True]
    w = world([batch_of([1.0], at) for at in range(5)])
    reader = Reader(w.accounting, w.source, w.mailbox, crowded=lambda: full[0], clock=w.clock)
    for _ in range(3):
        reader.step(0.0)
    assert w.mailbox.low and (reader.paused, reader.pauses) == (True, 1)
    assert isinstance(w.source, MemorySource) and w.source.paused
    full[0] = False
    reader.step(0.0)
    assert (reader.paused, reader.pauses, w.source.paused) == (False, 1, False)


class Slow(MemorySource):
    """A source that is not at its end and whose poll takes a while, as that of a group that is
    joined.
    """

    def __init__(self, w: World, poll_s: float) -> None:
        super().__init__([], endless=True)
        self.at_end = False
        self.idle_in_poll_s: list[float] = []
        self.reader: Reader | None = None
        self._world, self._poll_s = w, poll_s

    def poll(self, timeout_s: float) -> Poll | None:
        self._world.clock.now += self._poll_s
        assert self.reader is not None
        self.idle_in_poll_s.append(self.reader.idle_s)
        return super().poll(timeout_s)


def test_a_poll_that_takes_long_is_no_idleness() -> None:
    w = world([])
    source = Slow(w, poll_s=10.0)
    source.reader = reader = Reader(w.accounting, source, w.mailbox, clock=w.clock)
    reader.step(0.0)
    assert (source.idle_in_poll_s, reader.idle_s) == ([0.0], 0.0)


def test_idleness_is_the_time_at_the_end_without_anything_new() -> None:
    w = world([batch_of([1.0], 0)])
    w.read(1)
    w.clock.now += 7.0
    w.read(1)
    assert w.reader.idle_s == 7.0


def test_after_few_records_more_are_gathered_and_after_many_none_are_waited_for() -> None:
    w = world([batch_of([1.0] * (FEW - 1), 0), batch_of([1.0] * FEW, FEW)])
    assert [w.reader.step(0.0), w.reader.step(0.0)] == [GATHER_S, 0.0]


def test_a_poll_that_brings_all_it_may_is_not_few() -> None:
    w = world([batch_of([1.0] * 10, 0)])
    reader = Reader(w.accounting, w.source, w.mailbox, poll_rows=10, clock=w.clock)
    assert reader.step(0.0) == 0.0


class Busy(Mailbox[Arrival]):
    """Of a scorer that is never done; it notes how often the reader waited for it."""

    waits = 0

    def wait_idle(self, timeout_s: float) -> bool:
        self.waits += 1
        return False


def test_after_few_records_and_only_then_the_scorer_is_let_finish_before_more_are_read() -> None:
    w = world(
        [batch_of([1.0], 0), batch_of([1.0] * FEW, 1), batch_of([1.0], FEW + 1)], endless=False
    )
    mailbox, stop, drained = Busy(8), threading.Event(), threading.Event()
    drained.set()
    Reader(w.accounting, w.source, mailbox, clock=w.clock).run(stop, drained)
    assert (mailbox.waits, w.accounting.received) == (2, FEW + 2)


class Stubborn(MemorySource):
    """Brings records although it is paused, as a client with records already fetched may."""

    def pause(self) -> None:
        pass


def test_what_a_paused_source_brings_all_the_same_is_held_and_not_lost() -> None:
    w = World(Stubborn([batch_of([1.0], at) for at in range(6)]), capacity=2)
    stop, drained = threading.Event(), threading.Event()
    drained.set()
    w.reader.run(stop, drained)
    assert w.accounting.received == 6
    assert sum(arrival.poll.records for arrival in w.mailbox.items()) == 6


def test_a_source_error_is_counted_retried_and_told() -> None:
    w = world([ABORT, batch_of([1.0])])
    assert w.reader.step(0.0) == w.retry_s
    assert (w.reader.failures, w.reader.problem) == (1, str(ABORT))
    w.reader.step(0.0)
    assert (w.reader.problem, w.accounting.received) == (None, 1)


def test_trouble_that_a_source_tells_of_itself_is_one_failure_however_long_it_lasts() -> None:
    w = world([])
    assert isinstance(w.source, MemorySource)
    for problem in (
        None,
        "no broker answers for 2 s",
        "no broker answers for 3 s",
        None,
        "the login is refused",
        None,
    ):
        w.source.problem = problem
        w.reader.step(0.0)
    assert w.reader.failures == 2


class Settling(MemorySource):
    """Complains of itself until it is closed."""

    def close(self) -> None:
        super().close()
        self.problem = None


def test_trouble_of_a_source_that_closed_well_is_past_and_what_a_poll_raised_is_not() -> None:
    stop, drained = threading.Event(), threading.Event()
    stop.set()
    drained.set()
    troubles = []
    for script in ([], [ABORT]):
        source = Settling(script)
        source.problem = "the group has not settled"
        w = World(source)
        w.reader.step(0.0)
        w.reader.run(stop, drained)
        troubles.append(w.reader.problem)
    assert troubles == [None, str(ABORT)]


def test_waits_between_failures_grow() -> None:
    w = world([InputError("gone")] * 4)
    assert [w.reader.step(0.0) for _ in range(4)] == [1, 2, 4, 8]


def test_the_end_of_the_source_finishes_the_mailbox_and_closes_the_source() -> None:
    w = world([batch_of([1.0])], endless=False)
    drained = threading.Event()
    drained.set()
    w.reader.run(threading.Event(), drained)
    assert w.reader.ended
    assert len(w.mailbox) == 1
    w.mailbox.take()
    assert w.mailbox.done
    assert isinstance(w.source, MemorySource)
    assert w.source.closed


def test_an_empty_poll_that_comes_at_once_is_followed_by_a_rest() -> None:
    assert world([]).reader.step(0.2) == REST_S


items = st.lists(
    st.one_of(
        st.integers(1, 5).map(lambda n: batch_of([1.0] * n)),
        st.just(rejected(0)),
        st.just(Poll()),
        st.just(ABORT),
    ),
    max_size=30,
)


@given(items, st.integers(1, 4), st.lists(st.booleans(), max_size=60))
def test_received_equals_what_went_through_the_mailbox(
    script: list, capacity: int, takes: list[bool]
) -> None:
    w, passed = world(script, capacity=capacity), 0
    for take in takes:
        w.read(1)
        arrival = w.mailbox.take() if take else None
        passed += arrival.poll.records if arrival else 0
        assert w.accounting.received == passed + sum(a.poll.records for a in w.mailbox.items())
