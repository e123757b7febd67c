"""The running service as one value: what wiring builds, the daemon runs, and health, metrics and API read."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

from streamer.event import Message, ModelRef
from streamer.protocols import Letter
from streamer.service.delivery import Outbox, Outlet
from streamer.service.learning.hearing import Hearing, forgetful
from streamer.service.learning.room import Learning
from streamer.service.line import Line
from streamer.service.reader import Reader
from streamer.service.recent import Recent
from streamer.service.scorer import Scorer


class Summarised(Protocol):
    """A report that goes on."""

    def summary(self) -> dict[str, object]: ...


class Desk(Protocol):
    """What may be asked of the models (streamer.service.learning.desk). InputError, ModelError or StoreError if not."""

    def listing(self) -> dict[str, Any]: ...

    def promote(self, body: bytes) -> dict[str, Any]: ...

    def rollback(self, body: bytes) -> dict[str, Any]: ...

    def shadow(self, body: bytes) -> dict[str, Any]: ...


@dataclass(slots=True)
class ModelState:
    """Which models are at work. Each field has one writing thread, any may read.

    `fallback` says why the baseline judges although another model was wanted.
    """

    ref: ModelRef
    fallback: str | None = None
    trained_s: float | None = None  # seconds since 1970
    trouble: str | None = None  # why the version that the registry names does not judge
    challenger: ModelRef | None = None
    disagreement: float | None = None  # of champion and challenger: the share of their alerts that only one raised
    report: Summarised | None = None  # of the challenger's trial
    swaps: Counter[str] = field(default_factory=Counter)  # by outcome

    @property
    def role(self) -> str:
        return "champion" if self.fallback is None else "fallback"


class Attendant(Protocol):
    """A loop beside the flow, in a thread of its own: it may fail and hang, and costs the flow nothing."""

    name: str

    def run(self, stop: threading.Event) -> None:
        """Until the event; then leave within a second or two, and release everything."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that runs. Each object has one owning thread; the others only read its numbers."""

    readers: tuple[Reader, ...]
    lines: tuple[Line, ...]
    scorer: Scorer
    outbox: Outbox[Message]
    model: ModelState
    recent: Recent = field(default_factory=Recent)
    exposed: str | None = None  # what crosses a network in the clear
    attendants: tuple[Attendant, ...] = ()
    desk: Desk | None = None
    hearing: Hearing = field(default_factory=forgetful)  # what is known of the past, and heard from people
    learning: Learning | None = None  # drift, and trainings
    crashed: list[str] = field(default_factory=list)  # attendants that an error ended

    @property
    def outlets(self) -> list[Outlet[Any]]:
        """Every way out, of alerts and of dead letters."""
        return [*self.outbox.outlets, *self.letters.outlets]

    @property
    def letters(self) -> Outbox[Letter]:
        return self.scorer.letters


@dataclass(slots=True)
class Phase:
    """starting -> running -> draining -> stopped. Written by the main thread only."""

    name: str = "starting"
