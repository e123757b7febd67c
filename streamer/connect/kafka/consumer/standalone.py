"""Reading of all partitions from a group's committed positions, without joining it."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from streamer.connect.base.deadline import within
from streamer.connect.kafka.consumer.assignment import Place
from streamer.connect.kafka.consumer.group_member import (
    METADATA_AGE_MS,
    RebalanceCallbacks,
    connected,
    partitions,
)
from streamer.protocols import Clock

if TYPE_CHECKING:
    from streamer.config import Kafka, KafkaSource

LOOK_S = 1.0  # bound of one listing of all topics, which blocks the reader


class StandaloneReader:
    """A standalone reader: takes no partition from the group and commits nothing."""

    commits = False
    settled = True

    def __init__(
        self,
        consumer: Any,
        known: frozenset[Place],
        section: KafkaSource,
        told: RebalanceCallbacks,
        clock: Clock = time.monotonic,
    ) -> None:
        self.consumer, self.known = consumer, known
        self._section, self._told, self._clock = section, told, clock
        self._look_s = clock() + METADATA_AGE_MS / 1000

    @property
    def topics(self) -> Collection[str]:
        return {each.topic for each in self.consumer.assignment()}

    @property
    def unmatched(self) -> bool:
        return not self.consumer.assignment()

    def begin(self) -> None:
        self._take(self.known)

    def turn(self) -> None:
        """Look for new partitions, as often as a member does."""
        from kafka.errors import KafkaError

        if self._clock() < self._look_s:
            return
        self._look_s = self._clock() + METADATA_AGE_MS / 1000
        try:
            self._take(within(LOOK_S, lambda: partitions(self.consumer, self._section)))
        except (KafkaError, OSError):
            return  # the source reports this problem itself

    def _take(self, places: Collection[Place]) -> None:
        from kafka.structs import TopicPartition

        held = self.consumer.assignment()
        new = {TopicPartition(*place) for place in places} - held
        if new:
            self.consumer.assign([*held, *new])
            self._told.came(new)


def open_standalone(
    kafka: Kafka, section: KafkaSource, told: RebalanceCallbacks
) -> StandaloneReader:
    """Open a standalone reader; BrokerError with cause and fix if that fails.

    It has not begun yet.
    """
    with connected(kafka, section) as (consumer, known):
        return StandaloneReader(consumer, known, section, told)
