from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.memory import MemorySource, MemoryStore
from streamer.event import Assigned, Expired, Fate, Lease, Poll
from streamer.runtime.partitions import Partitions
from streamer.runtime.snapshot_format import SnapshotStore
from streamer.runtime.snapshot_writer import SnapshotWriter
from tests.runtime.world import HighJudge, World, alert_at, batch_of, rejected

HIGH, LOW = 50.0, 1.0


def leased(items: list[object], **settings: object) -> tuple[World, list[HighJudge]]:
    """A world whose source has partitions; the judges in the order in which they were opened."""
    opened: list[HighJudge] = []

    def open_judges(partitions: int) -> list[HighJudge]:
        opened.append(HighJudge())
        return opened[-1:]

    partitions, source = Partitions(open_judges, pace=0.0), MemorySource(items, endless=True)  # type: ignore[arg-type]
    return World(source, partitions=partitions, **settings), opened  # type: ignore[arg-type]


def run(w: World, steps: int = 12) -> None:
    for _ in range(steps):
        w.read(1)
        w.score(2)


def test_records_before_the_position_rebuild_the_memory_and_raise_nothing() -> None:
    lease = Lease("t", 0, 1)
    assigned = Poll(
        assigned=(Assigned(lease, position=5, start=2, memory=(json.dumps([0, 1]).encode(),)),)
    )
    w, detectors = leased(
        [assigned, batch_of([HIGH, LOW], 2, epoch=1), batch_of([LOW, HIGH, LOW], 4, epoch=1)]
    )
    run(w)
    assert detectors[0].seen == [0, 1, 2, 3, 4, 5, 6]
    assert [alert.alert_id for alert in w.sink.alerts] == ["id-5"]
    assert (
        w.accounting.fates[Fate.REPLAYED],
        w.accounting.fates[Fate.SCORED],
        w.accounting.received,
    ) == (3, 2, 5)
    assert w.committed == {lease: 7}


def test_timers_that_run_out_while_the_past_is_replayed_are_wound_and_tell_nobody() -> None:
    lease = Lease("t", 0, 1)
    w, detectors = leased(
        [Poll(assigned=(Assigned(lease, position=5, start=2),)), batch_of([LOW, LOW], 2, epoch=1)]
    )
    run(w)
    for offset in (98, 99):
        detectors[0].timers = [alert_at(offset)]
        w.processor.judging.run_timers()
    assert detectors[0].timers == [] and w.sink.alerts == [] and w.outbox.posted == 0
    assert isinstance(w.source, MemorySource)
    w.source.add(batch_of([LOW], 4, epoch=1))
    run(w)
    detectors[0].timers = [alert_at(100)]
    w.processor.judging.run_timers()
    w.score()
    assert [alert.alert_id for alert in w.sink.alerts] == ["id-100"]


def test_a_partition_that_went_takes_its_memory_its_records_and_its_positions_with_it() -> None:
    old, new = Lease("t", 0, 1), Lease("t", 0, 2)
    w, detectors = leased(
        [
            Poll(assigned=(Assigned(old, 0, 0),)),
            batch_of([HIGH], 0, epoch=1),
            batch_of([LOW], 1, epoch=1),
        ],
        batch_rows=1,
    )
    w.sink.hold()
    w.read(3)
    w.score(2)
    assert isinstance(w.source, MemorySource)
    w.source.revoke(old)
    w.source.add(Poll(revoked=(old,), assigned=(Assigned(new, 0, 0),)))
    w.source.add(batch_of([LOW], 0, epoch=2))
    w.sink.release()
    run(w)
    assert [judge.seen for judge in detectors] == [[0], [0]]
    assert (w.accounting.fates[Fate.RETURNED], w.committed) == (1, {new: 1})
    assert w.processor.balanced


def test_each_partition_has_its_own_memory_and_its_own_time() -> None:
    first, second = Lease("t", 0), Lease("t", 1)
    come = Poll(assigned=(Assigned(first, 0, 0), Assigned(second, 0, 0)))
    w, detectors = leased(
        [come, batch_of([LOW], 0, time_s=100), batch_of([LOW], 0, partition=1, time_s=9000)]
    )
    run(w)
    assert [judge.seen for judge in detectors] == [[0], [0]]
    assert set(detectors[0].ticks) == {100.0}
    assert set(detectors[1].ticks) == {9000.0}


def test_what_retention_removed_is_booked_told_once_and_passed_over() -> None:
    lease = Lease("t", 0, 1)
    gap = Poll(assigned=(Assigned(lease, 30, 30),), expired=(Expired(lease, 10, 30),))
    w, _ = leased([gap, batch_of([LOW], 30, epoch=1)])
    run(w)
    assert (w.accounting.fates[Fate.EXPIRED], w.accounting.expired["t", 0]) == (20, 20)
    assert [alert.reasons for alert in w.sink.alerts] == [["RECORDS_EXPIRED"]]
    assert w.committed == {lease: 31}


def test_a_rejected_record_that_is_read_again_is_not_buried_twice() -> None:
    lease = Lease("t", 0, 1)
    w, _ = leased(
        [
            Poll(assigned=(Assigned(lease, 8, 2),)),
            Poll((), (rejected(5, lease=lease), rejected(9, lease=lease))),
        ]
    )
    run(w)
    assert (w.accounting.fates[Fate.REPLAYED], w.accounting.fates[Fate.DEAD_LETTERED]) == (1, 1)
    assert w.processor.balanced


@given(st.lists(st.sampled_from(["poll", "revoke", "read", "score"]), max_size=60))
def test_the_books_balance_however_partitions_come_and_go(steps: list[str]) -> None:
    w, _ = leased([])
    assert isinstance(w.source, MemorySource)
    epoch, offset = 1, 0
    w.source.add(Poll(assigned=(Assigned(Lease("t", 0, 1), 0, 0),)))
    for step in steps:
        if step == "poll":
            w.source.add(batch_of([LOW, HIGH], offset, epoch=epoch))
            offset += 2
        elif step == "revoke":
            old, epoch = Lease("t", 0, epoch), epoch + 1
            w.source.revoke(old)
            w.source.add(
                Poll(revoked=(old,), assigned=(Assigned(Lease("t", 0, epoch), offset, offset),))
            )
        elif step == "read":
            w.read(1)
        else:
            w.score()
        assert w.processor.balanced
    run(w, 100)
    assert w.accounting.in_flight == 0
    assert all(lease.epoch == epoch or at <= offset for lease, at in w.committed.items())


def test_a_snapshot_is_offered_when_it_is_due_and_written_once_its_position_is_committed() -> None:
    lease, store = Lease("t", 0, 1), MemoryStore()
    items = [Poll(assigned=(Assigned(lease, 0, 0),)), batch_of([LOW, LOW], 0, epoch=1)]
    confirmed: dict[Lease, int] = {}
    writer = SnapshotWriter(SnapshotStore(store, "s", "g"), confirmed.get, lambda lease: True)
    w, _ = leased(list(items), snapshots=writer)
    w.read(2)
    w.score(2)
    w.processor.snapshots.keep(w.processor.partitions)
    writer.work()
    assert store.names() == []
    assert w.committed == {lease: 2}
    confirmed[lease] = 2
    writer.work()
    kept = SnapshotStore(store, "s", "g").get("t", 0)
    assert kept is not None and (kept.offset, kept.parts) == (2, (b"[0, 1]",))
    w.processor.keep_last()
    assert writer.waiting == 0, "nothing has moved since"


def test_memory_that_does_not_fit_is_given_up_and_the_partition_goes_on() -> None:
    lease = Lease("t", 0, 1)
    w, detectors = leased(
        [Poll(assigned=(Assigned(lease, 0, 0, (b"not json",)),)), batch_of([LOW], 0, epoch=1)]
    )
    run(w)
    assert [judge.seen for judge in detectors] == [[], [0]]
