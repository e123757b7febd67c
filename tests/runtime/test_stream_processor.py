from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.memory import ABORT, MemorySink
from streamer.errors import SinkError
from streamer.event import EventBatch, Fate, Lease, Poll, Rejected
from streamer.runtime.accounting import best_fate, crowded
from streamer.runtime.inlet import pieces
from streamer.runtime.scoring_loop import FLUSH_S, TICK_S
from tests.runtime.world import batch_of, rejected, world

HIGH, LOW = 50.0, 1.0


def test_a_position_is_committed_only_after_every_alert_up_to_it_is_acknowledged() -> None:
    w = world([batch_of([LOW, LOW], 0), batch_of([HIGH], 2), batch_of([LOW], 3)], batch_rows=2)
    w.sink.hold()
    w.read(3)
    w.score(5)
    w.read(1)
    assert w.committed == {Lease("t", 0): 2}
    assert len(w.sink.alerts) == 1
    w.sink.release()
    w.score()
    w.read(1)
    assert w.committed == {Lease("t", 0): 4}


def test_nothing_is_committed_before_its_scores_are_written() -> None:
    broken = Broken()
    w = world([batch_of([LOW], 0)], score_sink=broken)
    w.read(1)
    w.score(3)
    w.read(1)
    assert w.committed == {}
    broken.problem = None
    w.clock.now += 100
    w.score(2)
    w.read(1)
    assert (w.committed, broken.rows) == ({Lease("t", 0): 1}, 1)


class Broken:
    problem: SinkError | None = SinkError("scores.csv: disk full")
    rows = 0

    def write(self, batch: object, scores: object, key: int) -> None:
        if self.problem:
            raise self.problem
        self.rows += 1

    def close(self) -> None: ...


def test_too_many_undelivered_alerts_stop_scoring_and_lose_nothing() -> None:
    w = world([batch_of([HIGH], at) for at in range(10)], limit=3, capacity=2)
    w.sink.hold()
    for _ in range(20):
        w.read(1)
        w.score()
    assert w.scoring_loop.stalled
    assert (w.outbox.undelivered, len(w.mailbox), w.reader.paused) == (3, 2, True)
    w.sink.release()
    for _ in range(20):
        w.read(1)
        w.score()
    assert [alert.alert_id for alert in w.sink.alerts] == [f"id-{at}" for at in range(10)]


@given(st.integers(0, 10**6), st.floats(0, 1e6), st.floats(0, 100))
def test_what_is_in_flight_can_be_judged_within_the_backlog_or_it_is_crowded(
    n: int, speed: float, span: float
) -> None:
    assert crowded(n, events_per_s=speed, backlog_s=span) == (n > speed * span)
    assert crowded(n, events_per_s=0.0, backlog_s=span) == (n > 0)


def test_a_record_is_scored_if_one_of_its_entity_keys_is() -> None:
    customer = np.array([Fate.SCORED, Fate.WARMING, Fate.LATE], np.uint8)
    terminal = np.array([Fate.WARMING, Fate.WARMING, Fate.DUPLICATE], np.uint8)
    assert best_fate([customer, terminal]).tolist() == [Fate.SCORED, Fate.WARMING, Fate.DUPLICATE]


def test_each_entity_key_is_judged_and_a_record_is_counted_once() -> None:
    w = world([batch_of([LOW, HIGH])], keys=2)
    w.read(1)
    w.score(2)
    assert [key for _, _, key in w.scores.written] == [0, 1]
    assert len(w.sink.alerts) == 2
    assert w.accounting.summary()["scored"] == 2


@given(st.integers(0, 40), st.integers(1, 12))
def test_pieces_are_the_batch_in_order_and_never_too_long(n: int, rows: int) -> None:
    cut = list(pieces(batch_of([LOW] * n), rows))
    assert [offset for piece in cut for offset in piece.offset.tolist()] == list(range(n))
    assert all(len(piece) <= rows for piece in cut)


def test_large_batches_are_judged_in_pieces() -> None:
    w = world([batch_of([LOW] * 10)], batch_rows=4)
    w.read(1)
    w.score()
    assert (w.detectors[0].seen, w.processor.inlet.unjudged, len(w.processor.books.tickets)) == (
        [0, 1, 2, 3],
        6,
        0,
    )
    w.score(2)
    assert w.detectors[0].seen == list(range(10))
    assert sum(w.processor.stats.batch_events.counts) == 3


def test_silence_timers_of_a_live_stream_run_while_nothing_comes() -> None:
    w = world([batch_of([LOW], 10)], pace=1.0)
    w.read(1)
    w.score()
    for _ in range(3):
        w.clock.now += TICK_S
        w.scoring_loop.step()
    assert w.detectors[0].ticks[0] == 10.0
    assert w.detectors[0].ticks[-1] >= 12.0


def test_a_replay_flat_out_is_ticked_by_its_data_only() -> None:
    w = world([batch_of([LOW], 10)])
    w.read(1)
    w.score()
    w.clock.now += 100 * TICK_S
    w.scoring_loop.step()
    assert w.detectors[0].ticks == [10.0]


offsets = iter(range(10**9))
faults = st.one_of(
    st.lists(st.sampled_from([LOW, HIGH, float("nan")]), min_size=1, max_size=6).map(
        lambda values: batch_of(values, next(offsets) * 10)
    ),
    st.just(rejected(1)),
    st.just(Poll()),
    st.just(ABORT),
)
steps = st.lists(
    st.sampled_from(["read", "score", "break", "mend", "hold", "release"]), max_size=120
)


@given(st.lists(faults, max_size=25), steps, st.integers(1, 3))
def test_the_books_balance_under_any_order_of_faults(
    script: list, order: list[str], capacity: int
) -> None:
    w = world(script, capacity=capacity, limit=4)
    for step in order:
        if step == "read":
            w.read(1)
        w.sink.fail = {"break": SinkError("down"), "mend": None}.get(step, w.sink.fail)
        if step in ("hold", "release"):
            getattr(w.sink, step)()
        w.score()
        assert w.processor.balanced
    w.sink.fail = None
    w.sink.release()
    for _ in range(100):
        w.clock.now += 100
        w.read(1)
        w.score()
    total = sum(len(item) for item in script if isinstance(item, EventBatch))
    assert w.accounting.received == total + sum(isinstance(item, Rejected) for item in script)
    assert (w.accounting.in_flight, w.outbox.undelivered, len(w.processor.books.tickets)) == (
        0,
        0,
        0,
    )
    assert w.detectors[0].fates.sum() == total


def test_polls_that_wait_are_judged_as_one_as_far_as_a_batch_holds_them() -> None:
    w = world([batch_of([LOW], at) for at in range(10)], capacity=10, batch_rows=4)
    w.read(10)
    w.score(3)
    assert w.processor.stats.paces[:2].sum(axis=1).tolist() == [3, 10]
    assert w.detectors[0].seen == list(range(10))


def test_what_is_no_record_stands_between_the_polls_before_it_and_behind_it() -> None:
    w = world(
        [
            batch_of([LOW], 0),
            Poll((batch_of([LOW], 1),), (rejected(2),)),
            batch_of([LOW], 3),
            batch_of([LOW], 4),
        ]
    )
    w.read(4)
    for judged in ([0], [0, 1], [0, 1, 3, 4]):
        w.score()
        assert w.detectors[0].seen == judged


class Asked(MemorySink):
    """Notes how long it was given to acknowledge."""

    def __init__(self) -> None:
        super().__init__()
        self.patience: list[float] = []

    def flush(self, timeout_s: float) -> int:
        self.patience.append(timeout_s)
        return super().flush(timeout_s)


def test_acknowledgements_and_what_comes_next_have_time_only_where_nothing_waits_to_be_judged() -> (
    None
):
    sink = Asked()
    w = world([batch_of([HIGH], 0), batch_of([HIGH], 1)], sink=sink, batch_rows=1)
    w.read(2)
    ahead = []
    for _ in range(2):
        w.score()
        ahead.append(w.detectors[0].ahead)
    assert sink.patience == [0.0, FLUSH_S]
    assert ahead == [0, 1]
