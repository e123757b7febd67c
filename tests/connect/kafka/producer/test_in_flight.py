"""Whatever a topic confirms, refuses or forgets to answer: nothing is dropped, and every key ends
in order.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamer.connect.kafka.producer.in_flight import Outstanding, SendTicket

KEYS = st.sampled_from("abc")


class Delivery(RuleBasedStateMachine):
    """A client that hands records to a log as it likes, and a model: the list of what was added,
    and that log.
    """

    def __init__(self) -> None:
        super().__init__()
        self.books: Outstanding[int] = Outstanding()
        self.keys: list[str] = []  # of record 0, 1, 2 ...
        self.log: list[int] = []
        self.flying: dict[
            SendTicket, float
        ] = {}  # when each was handed to the present client, in that order
        self.lost: list[SendTicket] = []  # held by clients that were given up
        self.confirmed: set[int] = set()
        self.troubled = False
        self.now = 0.0

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.books.add(key, len(self.keys))
        self.keys.append(key)

    @rule(most=st.integers(1, 5))
    def hand_over(self, most: int) -> None:
        for _ in range(most):
            found = self.books.next()
            if found is None:
                return
            ticket, record = found
            assert ticket.number == record
            self.books.handed(ticket, self.now)
            self.flying[ticket] = self.now
            self.now += 1

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        ticket = self._landed(data)
        self._written(ticket)
        self.confirmed.add(ticket.number)
        assert self.books.delivered(ticket)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), written=st.booleans())
    def fail(self, data: st.DataObject, written: bool) -> None:
        ticket = self._landed(data)
        if written:
            self._written(ticket)
        self.troubled = True
        assert self.books.failed(ticket)

    @rule(data=st.data())
    def change_client(self, data: st.DataObject) -> None:
        """What the old client had in hand reached the log or not; its answers come
        later, or never.
        """
        for ticket in self.flying:
            if data.draw(st.booleans()):
                self._written(ticket)
        self.lost += self.flying
        self.flying = {}
        self.troubled = True
        self.books.change_client()

    @precondition(lambda self: self.lost)
    @rule(good=st.booleans())
    def answers_of_old_clients_count_no_more(self, good: bool) -> None:
        ticket = self.lost.pop()
        assert not (self.books.delivered(ticket) if good else self.books.failed(ticket))

    @invariant()
    def what_is_forgotten_is_confirmed(self) -> None:
        assert self.confirmed.issuperset(range(len(self.keys) - self.books.undelivered))

    @invariant()
    def without_trouble_undelivered_counts_from_the_oldest_unconfirmed(self) -> None:
        oldest = next(
            (record for record in range(len(self.keys)) if record not in self.confirmed),
            len(self.keys),
        )
        assert self.troubled or self.books.undelivered == len(self.keys) - oldest

    @invariant()
    def what_waits_longest_is_told(self) -> None:
        oldest = self.flying[min(self.flying)] if self.flying else self.now
        assert self.books.waited_s(self.now) == self.now - oldest

    def teardown(self) -> None:
        """From now on all is well. It ends, the log holds everything, and the last copies of each
        key are in order.
        """
        self.hand_over(1)
        while self.flying:
            for ticket in list(self.flying):
                del self.flying[ticket]
                self._written(ticket)
                self.books.delivered(ticket)
            self.hand_over(5)
        assert self.books.undelivered == 0
        assert set(self.log) == set(range(len(self.keys)))
        for key in set(self.keys):
            last = {record: at for at, record in enumerate(self.log) if self.keys[record] == key}
            assert sorted(last, key=last.__getitem__) == sorted(last)

    def _landed(self, data: st.DataObject) -> SendTicket:
        """Keys overtake each other, as partitions do; the records of a key do not."""
        key = data.draw(
            st.sampled_from(sorted({self.keys[ticket.number] for ticket in self.flying}))
        )
        ticket = next(ticket for ticket in self.flying if self.keys[ticket.number] == key)
        del self.flying[ticket]
        return ticket

    def _written(self, ticket: SendTicket) -> None:
        self.log.append(ticket.number)


Delivery.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
test_delivery = Delivery.TestCase


def handed(books: Outstanding[str]) -> list[tuple[SendTicket, str]]:
    """Everything that may go now, handed over."""
    found = []
    while (each := books.next()) is not None:
        books.handed(each[0], 0.0)
        found.append(each)
    return found


def test_after_a_failure_the_oldest_goes_alone() -> None:
    books: Outstanding[str] = Outstanding()
    for name in ("one", "two", "three"):
        books.add(name, name)
    for ticket, _ in handed(books):
        books.failed(ticket)
    (probe,) = handed(books)
    assert probe[1] == "one"
    books.delivered(probe[0])
    assert [name for _, name in handed(books)] == ["two", "three"]


def test_nothing_goes_while_something_beside_a_failure_is_undecided() -> None:
    books: Outstanding[str] = Outstanding()
    books.add("a", "one")
    books.add("b", "two")
    first, second = (ticket for ticket, _ in handed(books))
    books.failed(first)
    assert handed(books) == []
    books.delivered(second)
    assert [name for _, name in handed(books)] == ["one"]


def test_only_what_shares_its_key_with_a_failure_is_sent_twice() -> None:
    books: Outstanding[str] = Outstanding()
    for key, name in (("a", "a1"), ("a", "a2"), ("b", "b1")):
        books.add(key, name)
    failed, *confirmed = (ticket for ticket, _ in handed(books))
    books.failed(failed)
    for ticket in confirmed:
        books.delivered(ticket)
    (probe,) = handed(books)
    books.delivered(probe[0])
    assert [name for _, name in handed(books)] == ["a2"]


def test_a_replaced_record_goes_in_its_place() -> None:
    books: Outstanding[str] = Outstanding()
    books.add("a", "much too large")
    ((ticket, _),) = handed(books)
    books.failed(ticket)
    books.replace(ticket, "small")
    assert [name for _, name in handed(books)] == ["small"]
