"""Runs the acts in the production reader, processor, detector, scoring loop and daemon, and records
what was judged.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from streamer.app.assembly import flowing
from streamer.app.daemon import Daemon
from streamer.app.service import Service
from streamer.demo.recording import Ear, Notebook
from streamer.demo.streams import Act
from streamer.detect.pipeline import Detector
from streamer.event import I64, Message
from streamer.lifecycle.hot_swap import Swapper
from streamer.protocols import Clock
from streamer.runtime.mailbox import Mailbox
from streamer.runtime.model import CurrentModel, LoadedModel
from streamer.runtime.outbox import Outbox, Outlet
from streamer.runtime.partitions import Partitions
from streamer.runtime.reader import Reader
from streamer.runtime.score_writer import ScoreWriter
from streamer.runtime.scoring_loop import ScoringLoop
from streamer.runtime.stream_builder import StreamLimits, StreamOutput, build_stream
from streamer.runtime.stream_processor import StreamFacts, StreamProcessor

# Few: a full mailbox would show the viewer what happened seconds ago.
MAILBOX = 4
# History is judged in pieces, so that the counters move and the other stream gets its turn.
BATCH_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Strand:
    """One act on stage: its processor, its detectors (one per key), and what was judged so far."""

    act: Act
    reader: Reader
    processor: StreamProcessor
    detectors: tuple[Detector, ...]
    notebook: Notebook


class Stage:
    """The running service of the show. `open` starts it; `end` drains it and returns the daemon's
    exit code.
    """

    def __init__(self, acts: Sequence[Act], loaded: LoadedModel, clock: Clock) -> None:
        self.ear = Ear(clock)
        bell, self._stop = threading.Event(), threading.Event()
        outbox: Outbox[Message] = Outbox([Outlet("memory", self.ear)])
        # The first act alone is trained on, and its network is its own from then on.
        models = [CurrentModel(loaded) for _ in acts]
        self.strands = tuple(
            _strand(act, model, outbox, bell) for act, model in zip(acts, models, strict=True)
        )
        readers, processors = (
            tuple(s.reader for s in self.strands),
            tuple(s.processor for s in self.strands),
        )
        self.swapper = Swapper(models[0], processors[:1], outbox)
        scoring_loop = ScoringLoop(
            processors, outbox, bell=bell, flowing=flowing(readers), idle_tasks=[self.swapper]
        )
        self._daemon = Daemon(
            Service(readers, processors, scoring_loop, outbox, loaded.state),
            self._stop,
            drain_s=10.0,
        )
        self._thread = threading.Thread(target=self._run, name="daemon", daemon=True)
        self._code: int | None = None

    def open(self) -> None:
        self._thread.start()

    def end(self) -> int:
        """Stop reading, judge what was read, close everything; 0 if nothing was lost.
        Idempotent.
        """
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(20.0)
        return 1 if self._code is None else self._code

    def _run(self) -> None:
        self._code = self._daemon.run()

    @property
    def conservation(self) -> dict[str, int]:
        """The books of all streams together."""
        books = [strand.processor.accounting.summary() for strand in self.strands]
        return {name: sum(book[name] for book in books) for name in books[0]}

    @property
    def events(self) -> int:
        return sum(int(fates(strand).sum()) for strand in self.strands)

    @property
    def busy_s(self) -> float:
        """Seconds that scoring took, of all streams together."""
        return sum(strand.processor.stats.score_s.total for strand in self.strands)


def fates(strand: Strand) -> I64:
    return strand.processor.accounting.fates


def _strand(
    act: Act, model: CurrentModel, outbox: Outbox[Message], bell: threading.Event
) -> Strand:
    loaded, notebook = model.loaded, Notebook()
    detectors = tuple(
        Detector(act.settings, loaded.network, loaded.spec, loaded.prior, key)
        for key in range(act.keys)
    )
    reader, processor = build_stream(
        act.name,
        act.source,
        # Only data move the event clock: the other machines' heartbeats tell how long one has been
        # silent.
        Partitions.whole(detectors, pace=0.0),
        StreamOutput(outbox, scores=ScoreWriter(notebook)),
        Mailbox(MAILBOX, bell),
        model_ref=lambda: model.state.ref,
        facts=StreamFacts(promised_per_day=act.settings.budget_per_day),
        limits=StreamLimits(batch_rows=BATCH_ROWS),
    )
    return Strand(act, reader, processor, detectors, notebook)
