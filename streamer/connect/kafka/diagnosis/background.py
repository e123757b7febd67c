"""Diagnosis on a thread of its own, because asking a silent broker takes seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from streamer.protocols import Clock

log = structlog.get_logger()

EVERY_S = 10.0  # between two diagnoses of one problem: each connects and logs in to every broker


class SourceProblem(NamedTuple):
    """A problem before its cause is diagnosed."""

    what: str
    detail: str = ""  # in the client's words
    cause: BaseException | None = None
    known: bool = False  # `what` already names the cause

    def __str__(self) -> str:
        return f"{self.what} ({self.detail})" if self.detail else self.what


def worded(exc: BaseException) -> str:
    """The error's text with its class, unless the text begins with the class."""
    name, text = type(exc).__name__, str(exc)
    return text if text.startswith(name) else f"{name}: {text}" if text else name


class BackgroundDiagnosis:
    """Runs `look(causes)` in the background, and adds its result to problems.

    `look` returns the reason in words, or None. `words` and `well` belong to one thread.
    """

    def __init__(
        self,
        look: Callable[[Sequence[BaseException]], str | None],
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._look, self._clock = look, clock
        self._again_s = float("-inf")
        self._spell = 0  # number of the current problem; a result of an earlier one is ignored
        self._found: tuple[int, str | None] = (0, None)
        self._thread: threading.Thread | None = None

    def well(self) -> None:
        """Record that there is no problem."""
        self._spell += 1

    def words(self, ailments: Sequence[SourceProblem]) -> str:
        """The first problem, with the reason of all as far as known now."""
        first = ailments[0]
        if first.known:
            return str(first)
        self._ask([each.cause for each in ailments if each.cause is not None])
        spell, found = self._found
        return f"{first.what}: {found}" if found and spell == self._spell else str(first)

    def join(self, timeout_s: float) -> None:
        """Wait for the diagnosis that is running, if any."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _ask(self, causes: Sequence[BaseException]) -> None:
        if self._clock() < self._again_s or (self._thread is not None and self._thread.is_alive()):
            return
        self._again_s = self._clock() + EVERY_S
        self._thread = threading.Thread(
            target=self._run, args=(self._spell, causes), name="kafka-why", daemon=True
        )
        self._thread.start()

    def _run(self, spell: int, causes: Sequence[BaseException]) -> None:
        try:
            found = self._look(causes)
        except Exception as exc:
            # outermost edge of the thread: the client's words are used instead
            log.warning("source_not_explained", problem=worded(exc))
            found = None
        if found is not None and (spell, found) != self._found:
            log.warning("source_explained", problem=found)
        self._found = spell, found
