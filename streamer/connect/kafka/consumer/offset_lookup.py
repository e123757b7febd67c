"""Offsets of newly assigned partitions, asked on the reader's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from streamer.connect.base.deadline import within
from streamer.connect.kafka.consumer.assignment import Place
from streamer.connect.kafka.consumer.start_offset import Start, start_of
from streamer.event import Position
from streamer.protocols import Clock

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition
else:
    KafkaConsumer = TopicPartition = Any

ALL_S = 1.0  # bound of one request about many partitions
ONE_S = 0.5
TURN_S = 2.0  # bound of all requests in one poll; the rest waits for the next one


class Unanswered(Exception):
    """The cluster did not answer; the message says what was asked. Ask again later."""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """The log of a partition holds offsets low <= o < high."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class RestartPoint:
    """The position of a partition, and what its group has committed, if anything."""

    position: int
    committed: Position | None
    bounds: OffsetRange

    @property
    def first(self) -> int:
        """The position, or the start of the log if that is later."""
        return max(self.position, self.bounds.low)


class Lookup:
    """Sends bounded requests to a consumer.

    A partition without an answer does not block the others.
    """

    def __init__(
        self,
        consumer: KafkaConsumer,
        start: Start,
        known: Collection[Place],
        *,
        commits: bool = True,
        clock: Clock = time.monotonic,
    ) -> None:
        """Create a lookup.

        `commits`: whether a first position may be committed, as `origin` does.
        """
        self._consumer, self._start, self._known, self._clock = consumer, start, known, clock
        self._commits = commits
        self._deadline_s = 0.0

    def begin(self) -> None:
        """Start a new time budget."""
        self._deadline_s = self._clock() + TURN_S

    def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, OffsetRange]:
        """Log ranges of the partitions that answer."""
        low = self._each(self._consumer.beginning_offsets, partitions)
        high = self._each(self._consumer.end_offsets, list(low))
        return {tp: OffsetRange(low[tp], max(low[tp], high[tp])) for tp in high}

    def partitions(self, tp: TopicPartition) -> int:
        """Number of partitions of the topic.

        The client waits forever if it does not know, so Unanswered is raised after ONE_S.
        """
        try:
            known = within(ONE_S, lambda: self._consumer.partitions_for_topic(tp.topic))
        except TimeoutError as exc:
            raise Unanswered(f"the partitions of {tp.topic}") from exc
        return max(len(known), tp.partition + 1)

    def origin(
        self, tp: TopicPartition, bounds: OffsetRange, restart: int | None = None
    ) -> RestartPoint:
        """Return the committed position, or the start of a group without one.

        Unanswered if the cluster does not answer. A start that depends on the clock is committed
        before it is used, so a crash before the first commit skips nothing. The same holds for
        `restart`, where the committed position belongs to a log that is gone.
        """
        if restart is not None:
            return self._kept(tp, min(max(restart, bounds.low), bounds.high), bounds)
        found = self._asked(
            lambda ms: self._consumer.committed(tp, metadata=True, timeout_ms=ms),
            f"the position of {_name(tp)}",
        )
        if found is not None:
            committed = Position(found.offset, found.metadata or "")
            return RestartPoint(found.offset, committed, bounds)
        start = start_of((tp.topic, tp.partition), self._start, self._known)
        position = self._initial(tp, start, bounds)
        return (
            self._kept(tp, position, bounds)
            if start.moves
            else RestartPoint(position, None, bounds)
        )

    def _initial(self, tp: TopicPartition, start: Start, bounds: OffsetRange) -> int:
        if start.kind == "earliest":
            return bounds.low
        if start.kind == "latest":
            return bounds.high
        asked = self._asked(
            lambda ms: self._consumer.offsets_for_times({tp: start.at_ms}, timeout_ms=ms),
            f"a time in {_name(tp)}",
        )
        return bounds.high if asked[tp] is None else int(asked[tp].offset)

    def _kept(self, tp: TopicPartition, position: int, bounds: OffsetRange) -> RestartPoint:
        from kafka.structs import OffsetAndMetadata

        if not self._commits:
            return RestartPoint(position, None, bounds)
        offsets = {tp: OffsetAndMetadata(position, "", -1)}
        self._asked(
            lambda ms: self._consumer.commit(offsets, timeout_ms=ms),
            f"the commit of a first position of {_name(tp)}",
        )
        return RestartPoint(position, Position(position), bounds)

    def _each(
        self,
        ask: Callable[..., Mapping[TopicPartition, int]],
        partitions: Collection[TopicPartition],
    ) -> dict[TopicPartition, int]:
        """Ask about all partitions at once; if that fails, one by one.

        Only those that answer are returned.
        """
        if not partitions:
            return {}
        try:
            return dict(
                self._asked(lambda ms: ask(list(partitions), timeout_ms=ms), "the logs", ALL_S)
            )
        except Unanswered:
            pass
        found: dict[TopicPartition, int] = {}
        for tp in partitions if len(partitions) > 1 else ():
            try:
                found |= self._asked(partial(_one, ask, tp), f"the log of {_name(tp)}")
            except Unanswered:
                continue
        return found

    def _asked(self, ask: Callable[[int], Any], what: str, most_s: float = ONE_S) -> Any:
        from kafka.errors import KafkaError

        left_s = min(most_s, self._deadline_s - self._clock())
        if left_s <= 0:
            raise Unanswered(f"{what}: no time left")
        try:
            return ask(round(left_s * 1000))
        except (KafkaError, KeyError) as exc:
            # the client raises KeyError if the partition has no leader now
            raise Unanswered(f"{what}: {type(exc).__name__}: {exc}") from exc


def _one(
    ask: Callable[..., Mapping[TopicPartition, int]], tp: TopicPartition, timeout_ms: int
) -> Any:
    return ask([tp], timeout_ms=timeout_ms)


def _name(tp: TopicPartition) -> str:
    return f"{tp.topic} {tp.partition}"
