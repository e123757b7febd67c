from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamer.event import Expired, Lease, Poll
from streamer.runtime.offsets import Needs, Tickets, next_offsets
from tests.runtime.world import batch_of, rejected

FIRST, SECOND = Lease("t", 0), Lease("t", 1)


def test_a_poll_moves_each_of_its_partitions_behind_its_last_record() -> None:
    poll = Poll((batch_of([1, 2], 10), batch_of([3], 40, partition=1), batch_of([4], 12)))
    assert next_offsets(poll) == {FIRST: 13, SECOND: 41}


def test_a_rejected_record_moves_the_only_partition_of_its_poll() -> None:
    assert next_offsets(Poll((batch_of([1], 5),), (rejected(6),))) == {FIRST: 7}


def test_a_poll_of_rejected_records_moves_the_only_partition_known_so_far() -> None:
    assert next_offsets(Poll((), (rejected(6), rejected(7))), FIRST) == {FIRST: 8}
    assert next_offsets(Poll((), (rejected(6),))) == {}


def test_rejected_records_among_several_partitions_wait_for_the_events_behind_them() -> None:
    poll = Poll((batch_of([1], 5), batch_of([1], 5, partition=1)), (rejected(900),))
    assert next_offsets(poll) == {FIRST: 6, SECOND: 6}


def test_a_rejected_record_that_knows_its_lease_moves_that_one() -> None:
    poll = Poll((batch_of([1], 5), batch_of([1], 5, partition=1)), (rejected(900, lease=SECOND),))
    assert next_offsets(poll) == {FIRST: 6, SECOND: 901}


def test_what_retention_removed_is_passed_over() -> None:
    assert next_offsets(Poll(expired=(Expired(FIRST, 3, 50),))) == {FIRST: 50}


class Delivery(RuleBasedStateMachine):
    """Two partitions, polls, acknowledgements and revocations in any order, against a model that
    remembers all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tickets = Tickets()
        self.leases = {0: Lease("t", 0, 1), 1: Lease("t", 1, 1)}
        self.next = {0: 0, 1: 0}
        self.committed = {0: 0, 1: 0}
        self.open: list[tuple[Lease, int, int]] = []  # lease, offset behind it, alert that it needs
        self.posted = self.acknowledged = 0
        for lease in self.leases.values():
            self.tickets.assign(lease, 0)

    @rule(partition=st.integers(0, 1), records=st.integers(1, 5), alerts=st.integers(0, 2))
    def poll(self, partition: int, records: int, alerts: int) -> None:
        lease, first = self.leases[partition], self.next[partition]
        self.next[partition] += records
        self.posted += alerts
        batch = batch_of([1.0] * records, first, partition=partition, epoch=lease.epoch)
        self.tickets.open(Poll((batch,)), needs=Needs(self.posted), alerts=alerts, received_at=0.0)
        self.open.append((lease, first + records, self.posted))

    @precondition(lambda self: self.acknowledged < self.posted)
    @rule()
    def acknowledge(self) -> None:
        self.acknowledged += 1

    @rule(partition=st.integers(0, 1))
    def move_away_and_back(self, partition: int) -> None:
        """The partition goes to another member, which starts at the commit, and comes
        back at once.
        """
        old = self.leases[partition]
        self.tickets.revoke(old)
        new = self.leases[partition] = old._replace(epoch=old.epoch + 1)
        self.next[partition] = self.committed[partition]
        self.tickets.assign(new, self.committed[partition])

    @rule()
    def settle(self) -> None:
        closed = self.tickets.settle(Needs(self.acknowledged))
        earned = self.tickets.earned(closed, lambda lease: lease in self.leases.values())
        for lease, offset in earned.items():
            assert offset > self.committed[lease.partition], "a commit never goes backwards"
            self.committed[lease.partition] = offset
        del self.open[: len(closed)]

    @invariant()
    def nothing_is_committed_before_its_alerts_are_acknowledged(self) -> None:
        for lease, offset, needs in self.open:
            if needs > self.acknowledged and lease in self.leases.values():
                assert self.committed[lease.partition] < offset

    @rule()
    def everything_is_committed_in_the_end(self) -> None:
        self.acknowledged = self.posted
        self.settle()
        assert not self.open and len(self.tickets) == 0
        assert self.committed == self.next


test_delivery = Delivery.TestCase


@given(st.lists(st.integers(0, 3), min_size=1), st.integers(0, 100))
def test_a_ticket_closes_only_when_all_alerts_up_to_it_are_acknowledged(
    alerts: list[int], acknowledged: int
) -> None:
    tickets, posted, needs = Tickets(), 0, []
    for at, count in enumerate(alerts):
        posted += count
        needs.append(posted)
        tickets.open(
            Poll((batch_of([1.0], at),)), needs=Needs(posted), alerts=count, received_at=0.0
        )
    closed = tickets.settle(Needs(acknowledged))
    expected = sum(need <= acknowledged for need in needs)
    assert len(closed) == expected
    assert len(tickets) == len(alerts) - expected
    assert tickets.earned(closed, lambda lease: True) == ({FIRST: expected} if expected else {})


def test_a_ticket_waits_for_its_dead_letters_too() -> None:
    tickets = Tickets()
    tickets.open(Poll((batch_of([1.0], 0),)), needs=Needs(0, 1), alerts=0, received_at=0.0)
    assert tickets.settle(Needs(9, 0)) == []
    assert len(tickets.settle(Needs(0, 1))) == 1


def test_what_is_read_again_below_the_position_earns_nothing() -> None:
    tickets = Tickets()
    tickets.assign(FIRST, 10)
    for at in (5, 9, 10):
        tickets.open(Poll((batch_of([1.0], at),)), needs=Needs(0), alerts=0, received_at=0.0)
    closed = tickets.settle(Needs(0))
    assert tickets.earned(closed[:2], lambda lease: True) == {}
    assert tickets.earned(closed, lambda lease: True) == {FIRST: 11}
