"""The shadow run: a challenger judges live traffic beside the champion, without sending alerts.

It starts like a hot swap: a copy of each detector is rebuilt for the challenger in slices. A share
of the entities, chosen by a hash of their names, bounds the cost. If judging falls behind, the
share is halved.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from streamer.event import Alert, EventBatch, Fate
from streamer.lifecycle.hot_swap import Rebuilding
from streamer.lifecycle.incident_matching import OpenedIncident
from streamer.lifecycle.shadow_report import ShadowReport
from streamer.protocols import Clock, JudgedBatch
from streamer.runtime.model import LoadedModel, ModelState
from streamer.runtime.partitions import LiveDetector, Partition
from streamer.runtime.stats import unsure
from streamer.runtime.stream_processor import StreamProcessor
from streamer.timefmt import seconds

log = structlog.get_logger()

LEAST_ENTITIES = 8  # number of entities to compare at least, on average over the hash
# since all mailboxes were at most half full; some records wait in any busy service
BEHIND_S = 5.0


def hashed(name: str) -> float:
    """Return a number in [0, 1) from an entity's name, the same on every machine."""
    return zlib.crc32(b"shadow\x1f" + name.encode("utf-8", "surrogatepass")) / 2**32


@dataclass(slots=True)
class ShadowDetectors:
    """The challenger's detectors of one partition."""

    partition: Partition
    detectors: list[LiveDetector]
    ready: bool = False  # until then they run with the champion's network


class Shadow:
    """One challenger over all streams. Used by the scoring thread; any thread may read `report`."""

    def __init__(
        self,
        loaded: LoadedModel,
        processors: Sequence[StreamProcessor],
        share: float,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self.loaded = loaded
        self.report = ShadowReport(loaded.network.ref.version, share=share, label_of=self._label)
        self._processors, self._clock = tuple(processors), clock
        self._twins: dict[int, ShadowDetectors] = {}  # by the id() of the partition
        self._rebuilding = Rebuilding(clock)
        self._hashes: dict[str, float] = {}
        self._behind_since = clock()

    def _label(self, incident: OpenedIncident) -> str | None:
        feeds = {processor.stream: processor.labels.feed for processor in self._processors}
        feed, at_s = feeds.get(incident.stream), seconds(incident.opened_at)
        return None if feed is None else feed.word(incident.stream, incident.entity, at_s)

    def step(self) -> bool:
        """Follow the partitions, and rebuild a slice; return False if there was nothing to do."""
        self._widen()
        self._follow()
        self._yield()
        behind = [twins for twins in self._twins.values() if not twins.ready]
        if not behind:
            return False
        if self._rebuilding.slice([judge for twins in behind for judge in twins.detectors]):
            for twins in behind:
                for judge in twins.detectors:
                    judge.take_over()
                twins.ready = True
        return True

    def _follow(self) -> None:
        held = {
            id(partition): partition
            for processor in self._processors
            for partition in processor.partitions
        }
        for gone in self._twins.keys() - held.keys():
            del self._twins[gone]
        for key, partition in held.items():
            if key not in self._twins:
                self._twins[key] = self._opened(partition)

    def _opened(self, partition: Partition) -> ShadowDetectors:
        detectors = [judge.twin(self._wanted) for judge in partition.detectors]
        for judge in detectors:
            judge.prepare(self.loaded.network, self.loaded.spec, self.loaded.prior)
        return ShadowDetectors(partition, detectors)

    def _yield(self) -> None:
        """Halve the share of entities if judging falls behind.

        Entities are judged independently, so the scores of the others do not change.
        """
        now = self._clock()
        if all(processor.inlet.mailbox.low for processor in self._processors):
            self._behind_since = now
        elif now - self._behind_since >= BEHIND_S and self.report.share / 2 >= self._least_share:
            self._behind_since = now
            self.report.share /= 2
            log.warning("shadow_share_halved", model=self.report.version, share=self.report.share)

    def _widen(self) -> None:
        """Start again with a larger share if the current one holds no known entity."""
        nobody = all(twins.detectors[0].entities_active == 0 for twins in self._twins.values())
        if nobody and self._twins and self._entities and self.report.share < 1:
            self._twins.clear()
            self.report.share = min(1.0, max(2 * self.report.share, self._least_share))
            log.warning("shadow_share_raised", model=self.report.version, share=self.report.share)

    @property
    def _least_share(self) -> float:
        """The smallest share that holds enough entities to finish."""
        return LEAST_ENTITIES / max(self._entities, 1)

    @property
    def _entities(self) -> int:
        return sum(
            one.detectors[0].entities_active
            for processor in self._processors
            for one in processor.partitions
        )

    def judged(
        self,
        partition: Partition,
        batch: EventBatch,
        verdicts: Sequence[JudgedBatch],
        *,
        live: bool,
        took_s: float,
    ) -> None:
        """Judge a batch that the champion has judged; not `live` if it only rebuilds memory."""
        twins = self._twins.get(id(partition))
        if twins is None:
            return
        for key, (judge, verdict) in enumerate(zip(twins.detectors, verdicts, strict=True)):
            self._compare(
                twins, judge, batch, verdict, key, live=live, took_s=took_s / len(verdicts)
            )

    def _compare(
        self,
        twins: ShadowDetectors,
        judge: LiveDetector,
        batch: EventBatch,
        verdict: JudgedBatch,
        key: int,
        *,
        live: bool,
        took_s: float,
    ) -> None:
        rows = self._rows(batch, key)
        if not len(rows):
            return
        started = self._clock()
        shadowed = judge.process(batch if len(rows) == len(batch) else batch.rows(rows))
        if not (twins.ready and live):
            return
        report, mine, theirs = self.report, verdict.scores, shadowed.scores
        report.challenger_s += self._clock() - started
        report.champion_s += took_s
        both = (mine.fate[rows] == Fate.SCORED) & (theirs.fate == Fate.SCORED)
        report.events += int(np.count_nonzero(both))
        report.unsure += unsure(theirs)
        report.agreement.add(mine.score[rows][both], theirs.score[both])
        report.pairs.hear([a for a in verdict.alerts if self._wanted(a.entity)], shadowed.alerts)

    def ticked(self, partition: Partition, now_s: float, alerts: Sequence[Alert]) -> None:
        """Run the challenger's timers too, because silence is also judged by the network."""
        twins = self._twins.get(id(partition))
        if twins is None:
            return
        shadowed = [alert for judge in twins.detectors for alert in judge.tick(now_s)]
        if twins.ready:
            self.report.pairs.hear([a for a in alerts if self._wanted(a.entity)], shadowed)

    def _wanted(self, name: str) -> bool:
        if self.report.share >= 1:
            return True
        if len(self._hashes) > 1_000_000:
            self._hashes.clear()
        found = self._hashes.get(name)
        if found is None:
            found = self._hashes[name] = hashed(name)
        return found < self.report.share

    def _rows(self, batch: EventBatch, key: int) -> np.ndarray:
        """Return the row numbers of the wanted entities."""
        if self.report.share >= 1:
            return np.arange(len(batch))
        wanted = np.fromiter(map(self._wanted, batch.keys), np.bool_, len(batch.keys))
        return np.flatnonzero(wanted[batch.entity[:, key]])


class ShadowSlot:
    """Holds the challenger, and lets it observe the streams on the scoring thread.

    Any thread may call `offer`; None removes the challenger.
    """

    def __init__(self, state: ModelState, processors: Sequence[StreamProcessor]) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._offered: Shadow | None = None
        self._changed = False
        self._shadow: Shadow | None = None
        self.version: str | None = None  # of the last offer
        self.told = False  # whether a decision on it was made
        for processor in processors:
            processor.observe(self)

    def offer(self, shadow: Shadow | None) -> None:
        with self._lock:
            self._offered, self._changed, self.told = shadow, True, False
            self.version = None if shadow is None else shadow.report.version

    @property
    def report(self) -> ShadowReport | None:
        """The report of the current challenger; None without one."""
        shadow = self._shadow
        return None if shadow is None or self._changed else shadow.report

    def step(self) -> bool:
        if self._changed:
            self._seated()
        shadow = self._shadow
        if shadow is None:
            return False
        self._state.disagreement = shadow.report.pairs.disagreement
        return shadow.step()

    def _seated(self) -> None:
        with self._lock:
            self._shadow, self._offered, self._changed = self._offered, None, False
        self._state.challenger = None if self._shadow is None else self._shadow.loaded.network.ref
        self._state.report = None if self._shadow is None else self._shadow.report
        self._state.disagreement = None

    def judged(
        self,
        partition: Partition,
        batch: EventBatch,
        verdicts: Sequence[JudgedBatch],
        *,
        live: bool,
        took_s: float,
    ) -> None:
        """Let the challenger judge the batch too."""
        if self._shadow is not None:
            self._shadow.judged(partition, batch, verdicts, live=live, took_s=took_s)

    def ticked(self, partition: Partition, now_s: float, alerts: Sequence[Alert]) -> None:
        """Run the challenger's timers too."""
        if self._shadow is not None:
            self._shadow.ticked(partition, now_s, alerts)
