"""Detectors, restore and snapshots of a stream whose partitions are shared by a group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamer.config import Stream
from streamer.config.parts import Membership
from streamer.detect import snapshot
from streamer.detect.pipeline import Detector
from streamer.detect.schema import schema_of
from streamer.protocols import Source, Store
from streamer.runtime.model import CurrentModel, LoadedModel
from streamer.runtime.partitions import LiveDetector
from streamer.runtime.restore import Restoring
from streamer.runtime.snapshot_format import SnapshotStore
from streamer.runtime.snapshot_writer import SnapshotWriter
from streamer.settings import DetectSettings

# Keys spread unevenly over partitions, so each has room for half as many entities again as its
# share.
UNEVEN = 1.5


def room(max_entities: int, partitions: int) -> int:
    """Return how many entities one of `partitions` remembers."""
    return math.ceil(UNEVEN * max_entities / partitions)


@dataclass(frozen=True, slots=True)
class PartitionedStream:
    """A stream of a shared log, before its source is open."""

    settings: DetectSettings
    current: CurrentModel
    keys: int
    group: str
    snapshots: SnapshotStore | None
    restoring: Restoring

    @classmethod
    def of(
        cls,
        stream: Stream,
        member: Membership,
        current: CurrentModel,
        keys: int,
        store: Store | None,
    ) -> PartitionedStream:
        settings = stream.detect_settings(stream.fields.channels)
        snapshots = None if store is None else SnapshotStore(store, stream.name, member.group)
        restoring = Restoring(
            snapshots, Fits(settings, current.loaded, keys), member.rebuild_events
        )
        return cls(settings, current, keys, member.group, snapshots, restoring)

    def detectors(self, partitions: int) -> Sequence[LiveDetector]:
        """Return new detectors, one per entity key, for one of `partitions` of a topic.

        They use the model that judges now.
        """
        settings = replace(self.settings, max_entities=room(self.settings.max_entities, partitions))
        loaded = self.current.loaded
        return [
            Detector(settings, loaded.network, loaded.spec, loaded.prior, key)
            for key in range(self.keys)
        ]

    def snapshot_writer(self, source: Source) -> SnapshotWriter | None:
        """Return the writer of the stream's snapshots; None without a store."""
        if self.snapshots is None:
            return None
        return SnapshotWriter(self.snapshots, source.committed, source.holds)


class Fits:
    """Returns why detectors of these settings refuse the parts of a snapshot, or None."""

    def __init__(self, settings: DetectSettings, loaded: LoadedModel, keys: int) -> None:
        largest = replace(settings, max_entities=room(settings.max_entities, 1))
        self._schemas = [
            schema_of(largest, loaded.network, loaded.spec, key) for key in range(keys)
        ]

    def __call__(self, parts: Sequence[bytes]) -> str | None:
        if len(parts) != len(self._schemas):
            return (
                f"the snapshot is of {len(parts)} entity keys, the stream has {len(self._schemas)}"
            )
        reasons = (
            snapshot.fits(part, schema) for part, schema in zip(parts, self._schemas, strict=True)
        )
        return next((reason for reason in reasons if reason is not None), None)
