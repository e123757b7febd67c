"""From the configuration to running parts: the one place where every choice meets its object."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from streamer import artifact
from streamer.artifact import ModelSpec
from streamer.backends import baseline_scorer, open_scorer
from streamer.config import Config, HostSource, MemorySource, Model, Runtime, Sink, StdoutSink, Stream, SyntheticSource
from streamer.connect import CARD_KEYS, open_scores, open_sink, open_source
from streamer.detect.pipeline import Detector
from streamer.errors import ModelError
from streamer.event import Alert
from streamer.protocols import Scorer as Network
from streamer.protocols import Source
from streamer.service.backoff import Backoff
from streamer.service.delivery import Outbox, Outlet
from streamer.service.ledger import Ledger, crowded
from streamer.service.line import Line
from streamer.service.mailbox import Mailbox, Positions
from streamer.service.partitions import Partitions
from streamer.service.parts import ModelState, Parts
from streamer.service.reader import Arrival, Reader
from streamer.service.recent import Recent
from streamer.service.score_writer import ScoreWriter
from streamer.service.scorer import Scorer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network ready to judge, the shape of its memory, and the population's prior."""

    network: Network
    spec: ModelSpec
    prior: dict[str, Any]
    fallback: str | None = None

    @property
    def state(self) -> ModelState:
        return ModelState(self.network.ref, self.fallback)


def build(config: Config, *, dry_run: bool = False) -> Parts:
    """All parts of the service, opened. What cannot be opened raises its error here, and nothing stays open."""
    with ExitStack() as opened:
        loaded = load_model(config.model)
        recent = Recent(config.runtime.recent_alerts)
        outbox = open_outbox(config, opened, recent, dry_run=dry_run)
        bell = threading.Event()
        pairs = [open_stream(config, stream, loaded, outbox, bell, opened, dry_run) for stream in config.streams]
        readers, lines = tuple(reader for reader, _ in pairs), tuple(line for _, line in pairs)
        scorer = Scorer(lines, outbox, bell=bell, flowing=flowing(readers))
        opened.pop_all()
    return Parts(readers, lines, scorer, outbox, loaded.state, recent)


def load_model(model: Model) -> Loaded:
    """The configured network; the baseline, loudly, if its bundle cannot be used.

    BackendError if the backend that was asked for by name is not installed: that is a wish, not a damage.
    """
    path = Path(model.path) if model.path else artifact.PRETRAINED
    if model.backend == "baseline":
        return Loaded(baseline_scorer(ModelSpec()), ModelSpec(), {})
    try:
        bundle = artifact.load(path)
        return Loaded(open_scorer(bundle, model.backend, model.threads), bundle.spec, bundle.calibration)
    except ModelError as exc:
        log.error("model_unusable", problem=str(exc), fallback="baseline")
        return Loaded(baseline_scorer(ModelSpec()), ModelSpec(), {}, str(exc))


def open_outbox(config: Config, opened: ExitStack, recent: Recent, *, dry_run: bool) -> Outbox[Alert]:
    """The sinks; in a dry run only standard output, which tells what would have been sent."""
    sinks = (StdoutSink(kind="stdout"),) if dry_run else config.sinks
    outlets = []
    for name, sink in named(sinks):
        outlets.append(Outlet(name, open_sink(sink), backoff(config.runtime)))
        opened.callback(outlets[-1].close)
    return Outbox(outlets, config.runtime.undelivered_alerts, recent.add)


def open_stream(
    config: Config,
    stream: Stream,
    loaded: Loaded,
    outbox: Outbox[Alert],
    bell: threading.Event,
    opened: ExitStack,
    dry_run: bool,
) -> tuple[Reader, Line]:
    """The two ends of one stream and the mailbox between them."""
    source = open_source(stream)
    opened.callback(source.close)
    scores = None if dry_run or config.scores is None else open_scores(config.scores, stream, source.channels)
    writer = ScoreWriter(scores, backoff(config.runtime))
    opened.callback(writer.close)
    ledger, earned = Ledger(stream.name), Positions()
    mailbox: Mailbox[Arrival] = Mailbox(config.runtime.mailbox_batches, bell)
    line = Line(
        ledger, mailbox, Partitions.whole(detectors(stream, source, loaded), live_pace(stream)), outbox,
        Positions() if dry_run else earned, writer, loaded.network.ref,
        batch_rows=config.runtime.batch_rows, promised_per_day=float(stream.alerts.budget), holds=source.holds,
    )  # fmt: skip
    # A quarter of the time for draining: what was read when the signal comes can be judged and delivered in time.
    backlog_s = float(config.runtime.drain) / 4

    def enough() -> bool:
        return crowded(ledger.in_flight, events_per_s=line.tally.events_per_s, backlog_s=backlog_s)

    return Reader(ledger, source, mailbox, earned, crowded=enough, backoff=backoff(config.runtime)), line


def detectors(stream: Stream, source: Source, loaded: Loaded) -> list[Detector]:
    """One detector per entity key; a stream without keys is one entity."""
    settings = stream.detect_settings(source.channels)
    return [Detector(settings, loaded.network, loaded.spec, loaded.prior, key) for key in range(entity_keys(stream))]


def entity_keys(stream: Stream) -> int:
    """K: how many entity keys an event of this stream has; at least one."""
    if isinstance(stream.source, SyntheticSource) and stream.source.world == "cards":
        return len(CARD_KEYS)
    return max(len(stream.fields.entity), 1)


def live_pace(stream: Stream) -> float:
    """Event seconds that pass in a second while the source is silent; 0 for a replay flat out."""
    if isinstance(stream.source, HostSource | MemorySource):
        return 1.0
    return stream.source.pace or 0.0


def flowing(readers: tuple[Reader, ...]) -> Callable[[str], bool]:
    """Whether a stream's source is well and being read, by the stream's name."""
    by_name = {reader.stream: reader for reader in readers}

    def answer(stream: str) -> bool:
        reader = by_name[stream]
        return reader.trouble is None and reader.source.at_end and not reader.paused and not reader.ended

    return answer


def backoff(runtime: Runtime) -> Backoff:
    return Backoff(float(runtime.retry_first), float(runtime.retry_max))


def named(sinks: Sequence[Sink]) -> list[tuple[str, Sink]]:
    """Sinks by kind, numbered where a kind stands twice: the names in metrics and reasons."""
    kinds = [sink.kind for sink in sinks]
    return [(kind if kinds.count(kind) == 1 else f"{kind}-{i}", sinks[i]) for i, kind in enumerate(kinds)]
