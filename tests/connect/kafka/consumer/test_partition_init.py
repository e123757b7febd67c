"""Where a partition that came is read from, and what retention took of it, over any log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError
from kafka.structs import OffsetAndMetadata

from streamer.connect.kafka.consumer.assignment import Commits
from streamer.connect.kafka.consumer.offset_lookup import Lookup
from streamer.connect.kafka.consumer.partition_init import RETRY_S, PartitionInit
from streamer.connect.kafka.consumer.rebalance_listener import HeldPartitions
from streamer.connect.kafka.consumer.start_offset import EARLIEST, Start
from streamer.event import Assigned, Expired, Lease
from streamer.protocols import FoundPosition, Restore

TP = TopicPartition("t", 0)
BELOW, ABOVE = st.integers(0, 40), st.integers(0, 60)


@dataclass
class Cluster:
    """A log from `low` to before `high` and what its group committed, as a consumer tells them."""

    low: int
    high: int
    committed_at: int | None = None
    answers: bool = True
    reads_from: int | None = None  # where the consumer goes on, once it is not paused
    paused: bool = False
    commits: list[int] = field(default_factory=list)

    def beginning_offsets(self, partitions: Any, timeout_ms: int) -> dict[Any, int]:
        if not self.answers:
            raise KafkaTimeoutError("nobody there")
        return dict.fromkeys(partitions, self.low)

    def end_offsets(self, partitions: Any, timeout_ms: int) -> dict[Any, int]:
        return dict.fromkeys(partitions, self.high)

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}

    def committed(self, tp: Any, metadata: bool, timeout_ms: int) -> Any:
        return None if self.committed_at is None else OffsetAndMetadata(self.committed_at, "n", -1)

    def commit(self, offsets: Any, timeout_ms: int) -> None:
        self.commits += [one.offset for one in offsets.values()]

    def assignment(self) -> set[Any]:
        return {TP}

    def pause(self, tp: Any) -> None:
        self.paused = True

    def resume(self, tp: Any) -> None:
        self.paused = False

    def seek(self, tp: Any, offset: int) -> None:
        self.reads_from = offset


@dataclass
class Came:
    """A partition that came to a member, and its PartitionInit."""

    cluster: Cluster
    start: Start = EARLIEST
    wanted: int = 0  # from where the restorer wants it read
    asked: list[FoundPosition] = field(default_factory=list)
    now_s: float = 0.0

    def __post_init__(self) -> None:
        share = HeldPartitions(Commits(1.0))
        share.consumer = self.cluster
        lookup = Lookup(self.cluster, self.start, {("t", 0)}, clock=self.clock)
        self.init = PartitionInit(share, lookup, self.restore, lambda lease: None, self.clock)
        share.came([TP])

    def clock(self) -> float:
        return self.now_s

    def restore(self, found: FoundPosition) -> Restore:
        self.asked.append(found)
        return Restore(self.wanted, (b"memory",))


@given(BELOW, ABOVE, st.none() | ABOVE, ABOVE)
def test_a_partition_is_read_from_where_its_memory_ends_within_its_log_and_up_to_its_position(
    low: int, length: int, committed: int | None, wanted: int
) -> None:
    cluster = Cluster(low, low + length, committed)
    came = Came(cluster, wanted=wanted)
    came.init.turn()
    position = low if committed is None else max(committed, low)
    [assigned] = came.init.assigned
    lease = assigned.lease
    assert lease[:2] == ("t", 0)
    assert assigned == Assigned(lease, position, assigned.start, (b"memory",), 1)
    assert assigned.start == cluster.reads_from == min(max(wanted, low), position)
    assert not cluster.paused
    note = "" if committed is None else "n"
    assert came.asked == [FoundPosition("t", 0, position, note, low, low + length, 1)]


@given(BELOW, ABOVE, ABOVE)
def test_what_retention_took_behind_the_committed_position_is_told_and_nothing_else(
    low: int, length: int, committed: int
) -> None:
    came = Came(Cluster(low, low + length, committed))
    came.init.turn()
    [assigned] = came.init.assigned
    lost = [Expired(assigned.lease, committed, low)] if committed < low else []
    assert came.init.expired == lost


def test_a_group_without_a_position_that_begins_at_the_end_commits_it_first() -> None:
    cluster = Cluster(3, 9)
    came = Came(cluster, Start("latest"))
    came.init.turn()
    [assigned] = came.init.assigned
    assert (assigned.position, cluster.commits) == (9, [9])
    assert (assigned.start, cluster.reads_from) == (3, 3)


def test_a_partition_without_an_answer_waits_paused_and_is_asked_again_after_a_while() -> None:
    cluster = Cluster(3, 9, 5, answers=False)
    came = Came(cluster)
    came.init.turn()
    assert came.init.assigned == [] and cluster.paused and came.init.problem is not None
    cluster.answers = True
    came.init.turn()
    assert came.init.assigned == []
    came.now_s += RETRY_S
    came.init.turn()
    assert len(came.init.assigned) == 1 and came.init.problem is None and not cluster.paused


def test_a_partition_that_comes_while_the_source_is_paused_stays_paused() -> None:
    cluster = Cluster(3, 9, 5)
    came = Came(cluster, wanted=4)
    came.init.held_back = True
    came.init.turn()
    assert (len(came.init.assigned), cluster.reads_from, cluster.paused) == (1, 4, True)


@given(BELOW, ABOVE, st.integers(0, 30), ABOVE)
def test_a_hole_made_while_we_read_is_told_from_where_judging_begins(
    low: int, length: int, cut: int, at: int
) -> None:
    cluster = Cluster(low, low + length, low + length // 2, reads_from=0)
    came = Came(cluster)
    came.init.turn()
    lease, origin = came.init.assigned[0].lease, low + length // 2
    cluster.low = low + min(cut, length)
    offset = min(low + at, cluster.high)
    came.init.set_outside({TP: offset})
    assert cluster.paused
    came.init.turn()
    assert (cluster.reads_from, cluster.paused) == (max(offset, cluster.low), False)
    first = max(offset, origin)
    lost = [Expired(lease, first, cluster.low)] if first < cluster.low else []
    assert came.init.expired == lost and came.init.truncations == 0


def test_a_log_that_ends_before_our_position_is_another_one_under_a_new_lease() -> None:
    cluster = Cluster(0, 50, 40)
    came = Came(cluster)
    came.init.turn()
    [old] = came.init.assigned
    cluster.high = 10
    came.init.set_outside({TP: 40})
    came.init.turn()
    came.init.turn()
    _, new = came.init.assigned
    assert came.init.truncations == 1
    assert (new.lease, new.position) == (Lease("t", 0, old.lease.epoch + 1), 0)
    assert cluster.commits == [0]
