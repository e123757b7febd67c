"""Leases and commits, against a model of what a broker would hold."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

from streamer.connect.kafka.consumer.assignment import NOTE_BYTES, Commits, Epochs, Leases, fitting
from streamer.event import Lease, Position

PLACES = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 1))
POSITIONS = st.builds(Position, st.integers(0, 9), st.sampled_from(["", "x", "y"]))


class LeaseLaws(RuleBasedStateMachine):
    """Partitions come and go, here and in another source of the same process."""

    def __init__(self) -> None:
        super().__init__()
        epochs = Epochs()
        self.sources = [Leases(epochs), Leases(epochs)]
        self.granted: list[tuple[int, Lease]] = []
        self.alive: set[tuple[int, Lease]] = set()

    @rule(place=PLACES, who=st.integers(0, 1))
    def grant(self, place: tuple[str, int], who: int) -> None:
        lease = self.sources[who].grant(*place)
        self.alive -= {(w, old) for w, old in self.alive if w == who and old[:2] == place}
        self.alive.add((who, lease))
        self.granted.append((who, lease))

    @rule(place=PLACES, who=st.integers(0, 1))
    def drop(self, place: tuple[str, int], who: int) -> None:
        dropped = self.sources[who].drop(*place)
        mine = {(w, lease) for w, lease in self.alive if w == who and lease[:2] == place}
        assert mine == ({(who, dropped)} if dropped else set())
        self.alive -= mine

    @invariant()
    def exactly_the_living_are_held(self) -> None:
        for who, lease in self.granted:
            assert self.sources[who].holds(lease) == ((who, lease) in self.alive)

    @invariant()
    def no_lease_is_granted_twice(self) -> None:
        leases = [lease for _, lease in self.granted]
        assert len(set(leases)) == len(leases)
        by_place: dict[tuple[str, int], list[int]] = {}
        for lease in leases:
            by_place.setdefault(lease[:2], []).append(lease.epoch)
        assert all(epochs == list(range(1, len(epochs) + 1)) for epochs in by_place.values())


class CommitLaws(RuleBasedStateMachine):
    """A broker that takes, loses or answers late what is sent to it, and leases that end at any
    time.
    """

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.leases_held = Leases(Epochs())
        self.commits = Commits(every_s=1.0)
        self.now = 0.0
        self.flying: dict[Lease, Position] = {}
        self.log: dict[Lease, Position] = {}
        self.newest: dict[Lease, Position] = {}  # asked for, of living leases
        self.alive: set[Lease] = set()

    @rule(target=leases, place=PLACES, confirmed=st.none() | POSITIONS)
    def grant(self, place: tuple[str, int], confirmed: Position | None) -> Lease:
        lease = self.leases_held.grant(*place)
        self.commits.grant(lease, confirmed)
        self.alive.add(lease)
        if confirmed is not None:
            self.log[lease] = self.newest[lease] = confirmed
        return lease

    @rule(lease=consumes(leases))
    def drop(self, lease: Lease) -> None:
        self.commits.drop(lease)
        self.alive.discard(lease)

    @rule(lease=leases, step=st.integers(-1, 3), note=st.sampled_from(["", "x"]))
    def put(self, lease: Lease, step: int, note: str) -> None:
        best = self.newest.get(lease)
        position = Position((best.offset if best else 1) + step, note)
        self.commits.put({lease: position, Lease("gone", 0, 7): position})
        if (
            best is None
            or position.offset > best.offset
            or (position[0] == best[0] and position != best)
        ):
            self.newest[lease] = position

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 2.0]))
    def send(self, seconds: float) -> None:
        self.now += seconds
        due = self.commits.due(self.now)
        assert not (due and self.flying), "two commits on their way at a time"
        if due:
            assert due == {lease: self.newest[lease] for lease in due} and due.keys() <= self.alive
            self.flying = due

    @precondition(lambda self: self.flying)
    @rule(fate=st.sampled_from(["confirmed", "taken, but the answer is lost", "lost"]))
    def answer(self, fate: str) -> None:
        if fate != "lost":
            self.log |= self.flying
        if fate == "confirmed":
            self.commits.confirm(self.flying)
        else:
            self.commits.fail()
        self.flying = {}

    @invariant()
    def confirmed_is_what_the_log_has_and_only_of_the_living(self) -> None:
        for lease in self.newest:
            confirmed = self.commits.confirmed(lease)
            assert confirmed is None or (
                lease in self.alive and confirmed <= self.log[lease].offset
            )

    @invariant()
    def the_log_never_goes_back_and_what_is_owed_is_the_newest(self) -> None:
        assert all(at.offset <= self.newest[lease].offset for lease, at in self.log.items())
        assert all(
            at == self.newest[lease] and lease in self.alive
            for lease, at in self.commits.owed().items()
        )

    @invariant()
    def nothing_wanted_is_forgotten(self) -> None:
        owed = self.commits.owed()
        for lease in self.alive & self.newest.keys():
            assert (
                owed.get(lease) == self.newest[lease] or self.log.get(lease) == self.newest[lease]
            )

    def teardown(self) -> None:
        """Once the broker answers, everything arrives."""
        if self.flying:
            self.commits.fail()
        due = self.commits.due(self.now + 100.0)
        self.commits.confirm(due)
        assert self.commits.owed() == {}
        for lease in self.alive & self.newest.keys():
            assert self.commits.confirmed(lease) == self.newest[lease].offset


TestLeaseLaws = LeaseLaws.TestCase
TestCommitLaws = CommitLaws.TestCase
TestCommitLaws.settings = settings(max_examples=200, stateful_step_count=40)


def test_commits_are_paced() -> None:
    commits, lease = Commits(every_s=1.0), Lease("t", 0, 1)
    commits.grant(lease, None)
    commits.put({lease: Position(1)})
    assert commits.due(0.0) == {lease: Position(1)}
    commits.confirm({lease: Position(1)})
    commits.put({lease: Position(2)})
    assert commits.due(0.9) == {} and commits.due(1.0) == {lease: Position(2)}


def test_a_note_that_no_broker_takes_is_left_out() -> None:
    assert fitting("n" * NOTE_BYTES) == "n" * NOTE_BYTES
    assert fitting("ä" * (NOTE_BYTES // 2 + 1)) == ""


def test_what_is_wanted_while_a_commit_is_on_its_way_goes_with_the_next() -> None:
    commits, lease = Commits(every_s=1.0), Lease("t", 0, 1)
    commits.grant(lease, None)
    commits.put({lease: Position(1)})
    sent = commits.due(0.0)
    commits.put({lease: Position(2)})
    assert commits.due(5.0) == {}
    commits.confirm(sent)
    assert commits.confirmed(lease) == 1 and commits.due(5.0) == {lease: Position(2)}
