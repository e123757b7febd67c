"""The running service as one value.

`assembly` builds it, the daemon runs it, and health, metrics and API read it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streamer.event import Message
from streamer.feedback.feedback import FeedbackService, forgetful
from streamer.lifecycle.learning import Learning
from streamer.lifecycle.model_admin import ModelAdmin
from streamer.protocols import BackgroundTask, Letter
from streamer.runtime.model import ModelState
from streamer.runtime.outbox import Outbox, Outlet
from streamer.runtime.reader import Reader
from streamer.runtime.recent_alerts import RecentAlerts
from streamer.runtime.scoring_loop import ScoringLoop
from streamer.runtime.snapshot_writer import SnapshotWriter
from streamer.runtime.stream_processor import StreamProcessor


@dataclass(frozen=True, slots=True)
class Service:
    """All running parts. Each object has one owning thread; others only read its numbers."""

    readers: tuple[Reader, ...]
    processors: tuple[StreamProcessor, ...]
    scoring_loop: ScoringLoop
    outbox: Outbox[Message]
    model: ModelState
    recent: RecentAlerts = field(default_factory=RecentAlerts)
    exposed: str | None = None  # connections that are not encrypted, in words
    background_tasks: tuple[BackgroundTask, ...] = ()
    model_admin: ModelAdmin | None = None
    # the journal of incidents and labels, and the label consumer
    feedback: FeedbackService = field(default_factory=forgetful)
    learning: Learning | None = None  # drift monitors and the retrain scheduler
    # names of background tasks that an error ended
    crashed: list[str] = field(default_factory=list)

    @property
    def outlets(self) -> list[Outlet[Any]]:
        """Every outlet, of alerts and of dead letters."""
        return [*self.outbox.outlets, *self.letters.outlets]

    @property
    def snapshot_writers(self) -> list[SnapshotWriter]:
        """The snapshot writers of the streams that have one."""
        writers = [processor.snapshots.writer for processor in self.processors]
        return [writer for writer in writers if writer is not None]

    @property
    def letters(self) -> Outbox[Letter]:
        return self.scoring_loop.letters


@dataclass(slots=True)
class Phase:
    """The phase: starting, running, draining or stopped. Written by the main thread only."""

    name: str = "starting"
