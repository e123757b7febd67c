"""Builds the running parts from the configuration."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import structlog

from streamer.app.partitioned_stream import PartitionedStream
from streamer.app.service import Service
from streamer.backoff import Backoff
from streamer.config import Config, Model, Runtime, Sink, StdoutSink, Stream
from streamer.connect import (
    entity_names,
    exposure,
    open_letters,
    open_registry,
    open_scores,
    open_sink,
    open_source,
    open_store,
)
from streamer.detect.pipeline import Detector
from streamer.event import Message
from streamer.feedback.feedback import open_hearing
from streamer.feedback.label_feed import LabelFeed
from streamer.lifecycle.alias_follower import Follower
from streamer.lifecycle.hot_swap import Swapper
from streamer.lifecycle.learning import Learning, open_learning
from streamer.lifecycle.model_admin import ModelAdmin
from streamer.lifecycle.shadow import ShadowSlot
from streamer.protocols import BackgroundTask, Letter, Registry, Source, Store
from streamer.runtime.mailbox import Mailbox
from streamer.runtime.model import CurrentModel, LoadedModel, load_model, trust_for
from streamer.runtime.outbox import Outbox, Outlet
from streamer.runtime.partitions import Partitions
from streamer.runtime.reader import FEW, Reader
from streamer.runtime.recent_alerts import RecentAlerts
from streamer.runtime.score_writer import ScoreWriter
from streamer.runtime.scoring_loop import IdleTask, ScoringLoop
from streamer.runtime.stream_builder import StreamLimits, StreamOutput, build_stream
from streamer.runtime.stream_processor import StreamFacts, StreamProcessor

log = structlog.get_logger()

# the longest backoff of a sink that failed
SINK_RETRY_S = 4.0


def build(config: Config, *, dry_run: bool = False, training: Sequence[str] = ()) -> Service:
    """Open all parts of the service.

    The first part that cannot be opened raises its error, and all others are closed. `training` is
    the command line of a retrain job; if it is empty, none is started.
    """
    exposed = told_exposure(config)
    with ExitStack() as opened:
        # retraining will fill the registry, so it may be created
        registry = open_registry(config, create=config.retrain is not None and not dry_run)
        if registry is not None:
            opened.callback(registry.close)
        current = CurrentModel(load_model(config.model, registry))
        recent, bell = RecentAlerts(config.runtime.recent_alerts), threading.Event()
        feedback = open_hearing(config, dry_run=dry_run)
        opened.callback(feedback.journal.close)
        outbox = open_outbox(config, opened, (recent.add, feedback.tell), dry_run=dry_run)
        letters = open_letter_box(config, opened, dry_run=dry_run)
        store = None if dry_run else open_store(config)
        opener = StreamOpener(
            config, current, outbox, letters, bell, store, feedback.label_feed, opened, dry_run
        )
        pairs = [opener.open(stream) for stream in config.streams]
        exposed = exposed or told_exposure(config, asks=True)  # the cluster is connected now
        readers, processors = tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
        learning = learnt_from(config, current, readers, processors, registry, training)
        followed = None if dry_run else registry  # a dry run moves no alias
        idle_tasks, background_tasks = serving(config.model, current, processors, outbox, followed)
        scoring_loop = ScoringLoop(
            processors, outbox, letters, bell=bell, flowing=flowing(readers), idle_tasks=idle_tasks
        )
        opened.pop_all()
    attending: tuple[BackgroundTask, ...] = (
        feedback.incident_recorder,
        feedback.listener,
        *background_tasks,
        *learning.background_tasks,
    )
    model_admin = ModelAdmin(followed, current.state, trust_for(config.model))
    return Service(
        readers,
        processors,
        scoring_loop,
        outbox,
        current.state,
        recent,
        exposed,
        attending,
        model_admin,
        feedback,
        learning,
    )


def told_exposure(config: Config, *, asks: bool = False) -> str | None:
    """Return and log which connections are not encrypted; None if there are none."""
    exposed = exposure(config, asks=asks)
    if exposed is not None:
        log.warning("broker_exposed", problem=exposed)
    return exposed


def serving(
    section: Model,
    current: CurrentModel,
    processors: Sequence[StreamProcessor],
    outbox: Outbox[Message],
    registry: Registry | None,
) -> tuple[tuple[IdleTask, ...], tuple[BackgroundTask, ...]]:
    """Return the tasks that follow the registry's aliases while the service runs.

    They are empty without a registry, and with the baseline backend.
    """
    if registry is None or section.backend == "baseline":
        return (), ()
    swapper, shadow_slot = (
        Swapper(current, processors, outbox),
        ShadowSlot(current.state, processors),
    )
    return (swapper, shadow_slot), (Follower(registry, section, swapper, shadow_slot, processors),)


def learnt_from(
    config: Config,
    current: CurrentModel,
    readers: Sequence[Reader],
    processors: Sequence[StreamProcessor],
    registry: Registry | None,
    training: Sequence[str],
) -> Learning:
    """Open the learning part, which observes all streams."""
    channels = {reader.stream: reader.source.channels for reader in readers}
    learning = open_learning(
        config, channels, lambda: current.state.ref.version, registry, command=training
    )
    for processor in processors:
        processor.observe(learning.observers[processor.stream])
    return learning


def open_outbox(
    config: Config, opened: ExitStack, told: Sequence[Callable[[Message], None]], *, dry_run: bool
) -> Outbox[Message]:
    """Open the sinks; in a dry run only standard output, which shows what would be sent.

    `told` are called with every message too.
    """
    sinks = (StdoutSink(kind="stdout"),) if dry_run else config.sinks
    outlets = []
    for name, sink in named(sinks):
        outlets.append(Outlet(name, open_sink(sink, config), patience(config.runtime)))
        opened.callback(outlets[-1].close)

    def tell(message: Message) -> None:
        for hears in told:
            hears(message)

    return Outbox(outlets, config.runtime.undelivered_alerts, tell)


def open_letter_box(config: Config, opened: ExitStack, *, dry_run: bool) -> Outbox[Letter]:
    """Open the dead letter sink.

    In a dry run, or if none is configured, rejected records are only counted and logged.
    """
    letters = None if dry_run else open_letters(config)
    if letters is None:
        return Outbox()
    outlet = Outlet("dead_letters", letters, patience(config.runtime))
    opened.callback(outlet.close)
    return Outbox([outlet], config.runtime.undelivered_alerts)


@dataclass(frozen=True, slots=True)
class StreamOpener:
    """Opens streams one by one, with what they share."""

    config: Config
    current: CurrentModel
    outbox: Outbox[Message]
    letters: Outbox[Letter]
    bell: threading.Event
    store: Store | None
    label_feed: LabelFeed
    opened: ExitStack
    dry_run: bool

    def open(self, stream: Stream) -> tuple[Reader, StreamProcessor]:
        """Return the reader and the processor of one stream, with the mailbox between them."""
        partitioned, pace = self._partitioned(stream), live_pace(stream)
        source = self._source(stream, partitioned)
        output = StreamOutput(self.outbox, self.letters, self._scores(stream, source))
        if partitioned is None:
            partitions = Partitions.whole(detectors(stream, source, self.current.loaded), pace)
        else:
            partitions = Partitions(partitioned.detectors, pace)
        return build_stream(
            stream.name,
            source,
            partitions,
            output,
            Mailbox(self.config.runtime.mailbox_batches, self.bell),
            model_ref=lambda: self.current.state.ref,
            facts=facts_of(stream, partitioned),
            limits=limits_of(stream, self.config),
            snapshots=None if partitioned is None else partitioned.snapshot_writer(source),
            label_feed=self.label_feed,
            commits=not self.dry_run,
        )

    def _partitioned(self, stream: Stream) -> PartitionedStream | None:
        member = stream.source.membership
        if member is None:
            return None
        keys = entity_keys(stream)
        return PartitionedStream.of(stream, member, self.current, keys, self.store)

    def _source(self, stream: Stream, partitioned: PartitionedStream | None) -> Source:
        if partitioned is None:
            source = open_source(stream, config=self.config)
        else:
            restore, joins = partitioned.restoring, not self.dry_run
            source = open_source(stream, config=self.config, restore=restore, joins=joins)
        self.opened.callback(source.close)
        return source

    def _scores(self, stream: Stream, source: Source) -> ScoreWriter:
        wanted = None if self.dry_run else self.config.scores
        scores = None if wanted is None else open_scores(wanted, stream, source.channels)
        writer = ScoreWriter(scores, backoff(self.config.runtime))
        self.opened.callback(writer.close)
        return writer


def facts_of(stream: Stream, partitioned: PartitionedStream | None) -> StreamFacts:
    """Return the facts about a stream that are known before it runs."""
    budget = float(stream.alerts.budget)
    if partitioned is None:
        return StreamFacts(budget)
    return StreamFacts(budget, partitioned.group, partitioned.restoring.counters)


def limits_of(stream: Stream, config: Config) -> StreamLimits:
    """Return the limits of a stream's reading, judging and snapshots."""
    return StreamLimits(
        batch_rows=config.runtime.batch_rows,
        poll_rows=getattr(stream.source, "poll_rows", FEW),
        # what was read before a signal is judged and delivered in time, even on a busy machine
        backlog_s=float(config.runtime.drain) / 8,
        snapshots_every_s=float(config.snapshots.every),
        backoff=backoff(config.runtime),
    )


def detectors(stream: Stream, source: Source, loaded: LoadedModel) -> list[Detector]:
    """Return one detector per entity key; a stream without keys is one entity."""
    settings = stream.detect_settings(source.channels)
    return [
        Detector(settings, loaded.network, loaded.spec, loaded.prior, key)
        for key in range(entity_keys(stream))
    ]


def entity_keys(stream: Stream) -> int:
    """Return K, the number of entity keys of an event; at least one."""
    return max(len(entity_names(stream)), 1)


def live_pace(stream: Stream) -> float:
    """Return event seconds per wall second while the source is silent; 0 for an unpaced replay."""
    return stream.source.event_pace


def flowing(readers: tuple[Reader, ...]) -> Callable[[str], bool]:
    """Return a function of a stream's name: whether its source works, is at its end and is read."""
    by_name = {reader.stream: reader for reader in readers}

    def answer(stream: str) -> bool:
        reader = by_name[stream]
        return (
            reader.problem is None
            and reader.source.at_end
            and not reader.paused
            and not reader.ended
        )

    return answer


def patience(runtime: Runtime) -> Backoff:
    """Return the backoff of a sink, short so that the first alert after an outage is not late."""
    return Backoff(
        min(float(runtime.retry_first), SINK_RETRY_S), min(float(runtime.retry_max), SINK_RETRY_S)
    )


def backoff(runtime: Runtime) -> Backoff:
    return Backoff(float(runtime.retry_first), float(runtime.retry_max))


def named(sinks: Sequence[Sink]) -> list[tuple[str, Sink]]:
    """Return sinks with their names in metrics and checks: the kind, numbered if it is repeated."""
    kinds = [sink.kind for sink in sinks]
    return [
        (kind if kinds.count(kind) == 1 else f"{kind}-{i}", sinks[i])
        for i, kind in enumerate(kinds)
    ]
