from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamer.event import Poll
from streamer.service.offsets import Tickets, next_offsets, positions
from tests.service.world import batch_of, rejected


def test_a_poll_moves_each_of_its_partitions_behind_its_last_record() -> None:
    poll = Poll((batch_of([1, 2], 10), batch_of([3], 40, partition=1), batch_of([4], 12)))
    assert next_offsets(poll, None) == {("t", 0): 13, ("t", 1): 41}


def test_a_rejected_record_moves_the_only_partition_of_its_poll() -> None:
    assert next_offsets(Poll((batch_of([1], 5),), (rejected(6),)), None) == {("t", 0): 7}


def test_a_poll_of_rejected_records_moves_the_only_partition_known_so_far() -> None:
    assert next_offsets(Poll((), (rejected(6), rejected(7))), ("t", 0)) == {("t", 0): 8}
    assert next_offsets(Poll((), (rejected(6),)), None) == {}


def test_rejected_records_among_several_partitions_wait_for_the_events_behind_them() -> None:
    poll = Poll((batch_of([1], 5), batch_of([1], 5, partition=1)), (rejected(900),))
    assert next_offsets(poll, None) == {("t", 0): 6, ("t", 1): 6}


@given(st.lists(st.integers(0, 3), min_size=1), st.integers(0, 100))
def test_a_ticket_closes_only_when_all_alerts_up_to_it_are_acknowledged(alerts: list[int], acknowledged: int) -> None:
    tickets, posted, needs = Tickets(), 0, []
    for at, count in enumerate(alerts):
        posted += count
        needs.append(posted)
        tickets.open(Poll((batch_of([1.0], at),)), needs=posted, alerts=count, received_at=0.0)
    closed = tickets.settle(acknowledged)
    expected = sum(need <= acknowledged for need in needs)
    assert len(closed) == expected
    assert len(tickets) == len(alerts) - expected
    assert positions(closed) == ({("t", 0): expected} if expected else {})
