"""Runs batches and timers through the detectors of a stream, and notifies observers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from streamer.event import Alert, EventBatch
from streamer.failpoints import failpoint
from streamer.protocols import Clock, JudgedBatch
from streamer.runtime.partitions import Partition, Partitions
from streamer.runtime.stats import StreamStats
from streamer.runtime.stream_outlets import StreamOutlets


class StreamObserver(Protocol):
    """Receives the results of a stream's detectors, on the scoring thread."""

    def judged(
        self,
        partition: Partition,
        batch: EventBatch,
        verdicts: Sequence[JudgedBatch],
        *,
        live: bool,
        took_s: float,
    ) -> None:
        """Receive a judged batch, with one verdict per entity key.

        Not `live`: the batch only rebuilt memory after a restart.
        """

    def ticked(self, partition: Partition, now_s: float, alerts: Sequence[Alert]) -> None:
        """Receive the `alerts` of a partition's timers, which ran up to event time `now_s`."""


class Judging:
    """Runs every batch through every detector of its partition, on the scoring thread."""

    def __init__(
        self,
        partitions: Partitions,
        outlets: StreamOutlets,
        stats: StreamStats,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self.partitions, self._outlets, self._stats, self._clock = partitions, outlets, stats, clock
        self._observers: list[StreamObserver] = []

    def observe(self, observer: StreamObserver) -> None:
        """Notify `observer` of everything from now on, after the observers added before it."""
        self._observers.append(observer)

    def process(
        self, partition: Partition, batch: EventBatch, *, live: bool
    ) -> Sequence[JudgedBatch]:
        """Return one verdict per entity key; the alerts of a live batch are posted first."""
        started = self._clock()
        verdicts = [detector.process(batch) for detector in partition.detectors]
        took_s = self._clock() - started
        self._stats.judged(len(batch), took_s)
        partition.clock.heard(batch.time_s)
        failpoint("after_score")
        if live:  # first, because it decides the delay of an alert
            for verdict in verdicts:
                self._outlets.post(verdict.alerts)
        for observer in self._observers:
            observer.judged(partition, batch, verdicts, live=live, took_s=took_s)
        if not live:
            failpoint("during_replay")
            self._tick(partition)
        return verdicts

    def anchor_ahead(self) -> None:
        """Do rebuilds in advance that the next events would otherwise wait for."""
        for detector in self.partitions.detectors:
            detector.anchor_ahead()

    def run_on(self, *, flowing: bool) -> None:
        """Advance event time by the wall clock, and run the timers of live sources."""
        for partition in self.partitions:
            partition.clock.run_on(self._clock(), flowing=flowing)
            if partition.clock.pace > 0:
                self._run_timers(partition)

    def run_timers(self) -> None:
        """Run the timers of all partitions up to their event time."""
        for partition in self.partitions:
            self._run_timers(partition)

    def _run_timers(self, partition: Partition) -> None:
        """Run the timers of a partition; post their alerts unless its memory is being rebuilt."""
        alerts = self._tick(partition)
        if partition.is_live:
            self._outlets.post(alerts)

    def _tick(self, partition: Partition) -> list[Alert]:
        now_s = partition.clock.now_s
        if now_s is None:
            return []
        alerts = [alert for detector in partition.detectors for alert in detector.tick(now_s)]
        for observer in self._observers:
            observer.ticked(partition, now_s, alerts)
        return alerts
