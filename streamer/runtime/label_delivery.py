"""Delivers labels to the detectors of a stream, each label once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import attrgetter

from streamer.event import Alert
from streamer.feedback.label_feed import LabelFeed
from streamer.feedback.labels import note
from streamer.journal import Label
from streamer.protocols import Clock
from streamer.runtime.partitions import Partition

# seconds between looks for newly admitted entities that have earlier labels
FRESH_EVERY_S = 30.0


class LabelDelivery:
    """Gives new labels to every detector, and earlier labels of newly admitted entities.

    Used by the scoring thread.
    """

    def __init__(
        self, feed: LabelFeed | None, stream: str, *, clock: Clock = time.monotonic
    ) -> None:
        """Deliver no labels if `feed` is None."""
        self.feed, self._stream, self._clock = feed, stream, clock
        self._fresh_at = float("-inf")  # time of the next look for newly admitted entities

    def deliver(
        self, partitions: Iterable[Partition], post: Callable[[Sequence[Alert]], None]
    ) -> None:
        """Apply new labels to the live partitions; `post` the alerts of incidents they end."""
        feed = self.feed
        if feed is None:
            return
        due = self._clock() >= self._fresh_at
        if due:
            self._fresh_at = self._clock() + FRESH_EVERY_S
        wanting = [
            one for one in partitions if one.is_live and (due or one.labels_heard < feed.number)
        ]
        labelled = feed.entities(self._stream) if wanting else ()
        for partition in wanting:
            post(self._told(feed, partition, labelled))

    def _told(
        self, feed: LabelFeed, partition: Partition, labelled: Collection[str]
    ) -> list[Alert]:
        """Apply new labels to a partition; return the alerts of incidents they ended."""
        heard, number = partition.labels_heard, feed.number
        new = feed.since(self._stream, heard)
        partition.labels_heard = number
        ended: list[Alert] = []
        for detector in partition.detectors:
            fresh = detector.take_fresh(labelled)
            labels = [*self._up_to(feed, heard, fresh), *new]
            if labels:
                labels.sort(key=attrgetter("number"))
                ended += detector.apply_labels(labels, note, feed.earlier)
        return ended

    def _up_to(self, feed: LabelFeed, number: int, entities: Sequence[str]) -> Iterator[Label]:
        """Yield the labels of some entities whose numbers are at most `number`."""
        for entity in entities:
            for label in feed.of_entity(self._stream, entity):
                if label.number <= number:
                    yield label
