"""The known labels, for every stream processor to read."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from itertools import takewhile

from streamer.journal import Label

KEPT = 10_000  # the newest labels, which detectors may not have applied yet


class LabelFeed:
    """The newest labels, ordered by number: one writer, any number of readers."""

    def __init__(self, kept: int = KEPT) -> None:
        self.number = 0  # of the newest
        self._kept = kept
        self._labels: deque[Label] = deque()
        self._of_entity: dict[str, dict[str, deque[Label]]] = {}  # by stream and entity
        # the entities of a stream, cached at the first call
        self._names: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()

    def put(self, labels: Sequence[Label]) -> None:
        """Add labels with increasing numbers; the oldest beyond the limit are dropped."""
        with self._lock:
            for label in labels:
                self._names.pop(label.stream, None)
                self._labels.append(label)
                entities = self._of_entity.setdefault(label.stream, {})
                entities.setdefault(label.entity, deque()).append(label)
            while len(self._labels) > self._kept:
                self._drop(self._labels.popleft())
            self.number = max([self.number, *(label.number for label in labels)])

    def since(self, stream: str, number: int) -> list[Label]:
        """Return the labels of a stream above a number, in order."""
        with self._lock:
            new = list(takewhile(lambda label: label.number > number, reversed(self._labels)))
        return [label for label in reversed(new) if label.stream == stream]

    def of(self, stream: str) -> list[Label]:
        """Return all labels of a stream, in order."""
        return self.since(stream, 0)

    def entities(self, stream: str) -> frozenset[str]:
        """Return the entities of a stream that have labels."""
        with self._lock:
            if stream not in self._names:
                self._names[stream] = frozenset(self._of_entity.get(stream, ()))
            return self._names[stream]

    def of_entity(self, stream: str, entity: str) -> list[Label]:
        """Return the labels of an entity, in order."""
        with self._lock:
            return list(self._of_entity.get(stream, {}).get(entity, ()))

    def earlier(self, label: Label) -> list[Label]:
        """Return the earlier labels of the entity of `label`, in order."""
        known = self.of_entity(label.stream, label.entity)
        return [one for one in known if one.number < label.number]

    def word(self, stream: str, entity: str, at_s: float) -> str | None:
        """Return the kind of an entity's newest label that covers an event time, or None."""
        held = (
            label.kind.value
            for label in reversed(self.of_entity(stream, entity))
            if label.start_s <= at_s <= label.end_s
        )
        return next(held, None)

    def _drop(self, oldest: Label) -> None:
        self._names.pop(oldest.stream, None)
        entities = self._of_entity[oldest.stream]
        entities[oldest.entity].popleft()  # the oldest label of all is the oldest of its entity
        if not entities[oldest.entity]:
            del entities[oldest.entity]
