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
        self._name = name
        self._access = access
        self._held = held
        self._end_offsets = end_offsets
        self._quiet_s = quiet_s
        self._others = others
        self._diagnosis = background
        self._clock = clock
        self._answer: Answer | None = None
        self._moves = 0
        self._unsettled_s = clock()  # last time the group was not known to be settled
        self._settled_s: float | None = None  # start of the settled time; None while unsettled
        self._complaint: BaseException | None = None
        self._complained_s = float("-inf")

    def complain(self, problem: BaseException) -> None:
        """Record an exception of the client's poll."""
        self._complaint, self._complained_s = problem, self._clock()

    def look(self, poll: Poll, *, busy: bool) -> None:
        """Update after a poll.

        `busy`: partitions wait to be admitted, or records to be decoded.
        """
        if poll.records:
            self._end_offsets.records_came()
        self._watch_group()
        answer = self._end_offsets.fresh(AT_END_S)
        if answer is not None and answer is not self._answer:
            self._answer, self.lags = answer, self._measured(answer)
        hindered = busy or self._complaining or self._access.unmatched
        self.at_end = (
            poll.empty
            and not hindered
            and answer is not None
            and self._quiet()
            and self._all_read()
        )
        self.problem = self._find_problem()

    def _watch_group(self) -> None:
        now_s = self._clock()
        moves = self._held.moves
        if not self._access.settled:
            self._settled_s = None
            return
        self._unsettled_s = now_s
        if self._settled_s is None or self._moves != moves:
            self._settled_s, self._moves = now_s, moves

    def _quiet(self) -> bool:
        return self._settled_s is not None and self._clock() - self._settled_s >= self._quiet_s

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

    @property
    def _complaining(self) -> bool:
        return self._clock() - self._complained_s < COMPLAINT_S

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
        if self._complaining and self._complaint is not None:
            yield SourceProblem("polls fail", worded(self._complaint), self._complaint)
        unsettled_s = self._clock() - self._unsettled_s
        if unsettled_s > UNSETTLED_S:
            yield SourceProblem(f"the group has not settled for {unsettled_s:.0f} s")
        yield from self._others()
