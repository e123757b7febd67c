"""Health of a source: its lags, whether it is at the end, and its problem."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from streamer.connect.kafka.consumer.end_offsets import Answer, EndOffsetPoller
from streamer.connect.kafka.consumer.group_member import Access
from streamer.connect.kafka.consumer.rebalance_listener import HeldPartitions
from streamer.connect.kafka.diagnosis.background import BackgroundDiagnosis, SourceProblem, worded
from streamer.event import Lease, Poll
from streamer.protocols import Clock

UNSETTLED_S = 3.0  # a group that takes longer to settle is reported as a problem
COMPLAINT_S = 2.0  # time for which an exception of a poll counts as a problem
AT_END_S = 2.0  # largest age of known end offsets


class GroupRest:
    """Since when a group is settled, or is not. The reader's thread."""

    def __init__(self, quiet_s: float, clock: Clock) -> None:
        """`quiet_s`: how long a group must be settled to be believed."""
        self._quiet_s, self._clock = quiet_s, clock
        self._moves = 0
        self._unsettled_s = clock()  # since when it is not settled; now, while it is
        self._settled_s: float | None = None  # since when it is

    def look(self, *, settled: bool, moves: int) -> None:
        """`moves` counts how often partitions came or went."""
        now_s = self._clock()
        if not settled:
            self._settled_s = None
            return
        self._unsettled_s = now_s
        if self._settled_s is None or self._moves != moves:
            self._settled_s, self._moves = now_s, moves

    @property
    def quiet(self) -> bool:
        """Whether it has been settled for long enough."""
        return self._settled_s is not None and self._clock() - self._settled_s >= self._quiet_s

    def problems(self) -> Iterator[SourceProblem]:
        """What is wrong with a group that does not settle."""
        unsettled_s = self._clock() - self._unsettled_s
        if unsettled_s > UNSETTLED_S:
            yield SourceProblem(f"the group has not settled for {unsettled_s:.0f} s")


class PollComplaint:
    """The newest error of the client's polls, while it is fresh."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._problem: BaseException | None = None
        self._raised_s = float("-inf")

    def __bool__(self) -> bool:
        return self._clock() - self._raised_s < COMPLAINT_S

    def put(self, problem: BaseException) -> None:
        self._problem, self._raised_s = problem, self._clock()

    def problems(self) -> Iterator[SourceProblem]:
        if self and self._problem is not None:
            yield SourceProblem("polls fail", worded(self._problem), self._problem)


class SourceHealth:
    """Health of a source, updated after every poll on the reader's thread.

    Any thread may read `problem`, `at_end` and `lags`.
    """

    def __init__(
        self,
        name: str,
        access: Access,
        held: HeldPartitions,
        end_offsets: EndOffsetPoller,
        quiet_s: float,
        others: Callable[[], Iterator[SourceProblem]],
        background: BackgroundDiagnosis,
        clock: Clock = time.monotonic,
    ) -> None:
        """Create it.

        A group counts as settled after `quiet_s` of calm. `others` yields further problems.
        """
        self.problem: str | None = None
        self.at_end = False
        self.lags: Mapping[Lease, int] = {}  # records not read yet, as of the brokers' last answer
        self._name, self._access, self._held, self._end_offsets = name, access, held, end_offsets
        self._others, self._diagnosis = others, background
        self._answer: Answer | None = None
        self._group, self._complaint = GroupRest(quiet_s, clock), PollComplaint(clock)

    def complain(self, problem: BaseException) -> None:
        """A poll of the client raised this."""
        self._complaint.put(problem)

    def look(self, poll: Poll, *, busy: bool) -> None:
        """Update after a poll.

        `busy`: partitions wait to be admitted, or records to be decoded.
        """
        if poll.records:
            self._end_offsets.records_came()
        self._group.look(settled=self._access.settled, moves=self._held.moves)
        answer = self._end_offsets.fresh(AT_END_S)
        if answer is not None and answer is not self._answer:
            self._answer, self.lags = answer, self._measured(answer)
        hindered = busy or bool(self._complaint) or self._access.unmatched
        self.at_end = (
            poll.empty
            and not hindered
            and answer is not None
            and self._group.quiet
            and self._all_read()
        )
        self.problem = self._find_problem()

    def _all_read(self) -> bool:
        return self.lags.keys() == set(self._held.leases.held()) and not any(self.lags.values())

    def _measured(self, answer: Answer) -> dict[Lease, int]:
        """Number of unread records of every readable partition."""
        from kafka.errors import KafkaError

        lags: dict[Lease, int] = {}
        for tp in self._held.ready():
            lease = self._held.leases.of(tp.topic, tp.partition)
            try:
                position = self._access.consumer.position(tp, timeout_ms=0)
            except KafkaError as exc:
                self.complain(exc)
                continue
            if lease is not None and tp in answer.ends and position is not None:
                lags[lease] = max(0, answer.ends[tp] - position)
        return lags

    def _find_problem(self) -> str | None:
        found = list(self._problems())
        if not found:
            self._diagnosis.well()
            return None
        return f"{self._name}: {self._diagnosis.words(found)}"

    def _problems(self) -> Iterator[SourceProblem]:
        silent = self._end_offsets.problem
        if silent is not None:
            yield silent
        yield from self._complaint.problems()
        yield from self._group.problems()
        yield from self._others()
