"""What ails a source, and why: asked on a thread of its own, because a look at a broker that says
nothing takes seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from streamer.protocols import Clock

log = structlog.get_logger()

EVERY_S = (
    10.0  # between two looks while it lasts: each is a connection to every broker, and a login
)


class Ailment(NamedTuple):
    """Something that is wrong, before anybody has asked why."""

    what: str
    detail: str = ""  # in the client's words
    cause: BaseException | None = None
    known: bool = False  # `what` says why

    def __str__(self) -> str:
        return f"{self.what} ({self.detail})" if self.detail else self.what


def worded(exc: BaseException) -> str:
    """With its class, which some errors of the client name themselves."""
    name, text = type(exc).__name__, str(exc)
    return text if text.startswith(name) else f"{name}: {text}" if text else name


class Inquiry:
    """`look(causes)` says why, in words, or None where nothing is found; it may take its time.

    `words` and `well` belong to one thread.
    """

    def __init__(
        self,
        look: Callable[[Sequence[BaseException]], str | None],
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._look, self._clock = look, clock
        self._again_s = float("-inf")
        self._spell = 0  # what was found in one is nothing to the next
        self._found: tuple[int, str | None] = (0, None)
        self._thread: threading.Thread | None = None

    def well(self) -> None:
        """Nothing ails it."""
        self._spell += 1

    def words(self, ailments: Sequence[Ailment]) -> str:
        """The first, with the reason of all as far as it is known by now."""
        first = ailments[0]
        if first.known:
            return str(first)
        self._ask([each.cause for each in ailments if each.cause is not None])
        spell, found = self._found
        return f"{first.what}: {found}" if found and spell == self._spell else str(first)

    def join(self, timeout_s: float) -> None:
        """Wait for the look that is on its way, if one is."""
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
        except (
            Exception
        ) as exc:  # the edge of the thread: without a reason the client's words must do
            log.warning("source_not_explained", problem=worded(exc))
            found = None
        if found is not None and (spell, found) != self._found:
            log.warning("source_explained", problem=found)
        self._found = spell, found
