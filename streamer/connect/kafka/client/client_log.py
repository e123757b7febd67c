"""The client's log, kept short: a few lines per place and minute, the rest counted; and the last
causes remembered.

A dead coordinator made it write 9,990 lines within seconds.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

BURST = 2  # lines of one place in the code per period
PERIOD_S = 60.0
MAX_LINES = 20  # of all places together per period: an outage of two minutes stays under 100
MAX_PLACES = 256
MAX_TEXT = 500  # characters of a remembered cause

ADVICE = "kafka.net.sasl"  # warns of logins in the clear: no cause of anything

V = TypeVar("V")
Place = tuple[
    str, int, int
]  # logger, line of its code, level: one per message template, f-strings included


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something the client complained about."""

    at_s: float  # monotonic
    logger: str
    text: str


class Captured(logging.Handler):
    """Handler of the `kafka` logger: remembers warnings and errors, passes few of them on to the
    root's handlers.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, passed: logging.Logger | None = None
    ) -> None:
        super().__init__(logging.INFO)
        self._clock, self._passed = clock, logging.getLogger() if passed is None else passed
        self._guard = threading.Lock()
        self._causes: OrderedDict[Place, Complaint] = OrderedDict()
        self._places: OrderedDict[Place, BurstLimit] = OrderedDict()
        self._all = BurstLimit(MAX_LINES)
        self._hushed = 0

    @contextmanager
    def hushed(self) -> Iterator[None]:
        """Meanwhile lines are causes and nothing more: what goes wrong is told by an
        error of ours.
        """
        with self._guard:
            self._hushed += 1
        try:
            yield
        finally:
            with self._guard:
                self._hushed -= 1

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises and never waits for anything but the handlers of the root."""
        place, text, now = (
            (record.name, record.lineno, record.levelno),
            _text(record),
            self._clock(),
        )
        with self._guard:
            if record.levelno >= logging.WARNING and not record.name.startswith(ADVICE):
                _put(self._causes, place, Complaint(now, record.name, text))
            held_back = (
                self._admit(place, now)
                if record.levelno >= self._passed.getEffectiveLevel()
                else None
            )
        if held_back is not None:
            self._passed.handle(_line(record, text, held_back))

    def _admit(self, place: Place, now: float) -> int | None:
        """How many lines of the place were held back before this one; None holds it back."""
        period = self._places.get(place) or BurstLimit(BURST)
        _put(self._places, place, period)
        if self._hushed or not (period.has_room(now) and self._all.has_room(now)):
            period.held_back += 1
            return None
        self._all.take(now)
        return period.take(now)

    def causes(self, since_s: float = 60.0) -> list[str]:
        """What the client complained about in the last `since_s` seconds, newest first, one for
        each place.
        """
        oldest = self._clock() - since_s
        with self._guard:
            return [cause.text for cause in reversed(self._causes.values()) if cause.at_s >= oldest]

    def held_back(self) -> int:
        """Lines held back and not yet told."""
        with self._guard:
            return sum(period.held_back for period in self._places.values())


class BurstLimit:
    """At most `burst` lines within any PERIOD_S."""

    __slots__ = ("_taken", "held_back")

    def __init__(self, burst: int) -> None:
        self._taken = deque([-math.inf] * burst, maxlen=burst)  # when the last lines passed
        self.held_back = 0

    def has_room(self, now: float) -> bool:
        return now - self._taken[0] >= PERIOD_S

    def take(self, now: float) -> int:
        self._taken.append(now)
        told, self.held_back = self.held_back, 0
        return told


def _put(table: OrderedDict[Place, V], place: Place, value: V) -> None:
    table[place] = value
    table.move_to_end(place)
    if len(table) > MAX_PLACES:
        table.popitem(last=False)


def _text(record: logging.LogRecord) -> str:
    """The message and the exception's type and text: a traceback would be twenty lines, and shows
    what is in reach.
    """
    try:
        text = record.getMessage()
    except (TypeError, ValueError):
        text = str(record.msg)
    exc = record.exc_info[1] if record.exc_info else None
    return (text if exc is None else f"{text} ({type(exc).__name__}: {exc})")[:MAX_TEXT]


def _line(record: logging.LogRecord, text: str, held_back: int) -> logging.LogRecord:
    shown = f"{text} (and {held_back} more like it, held back)" if held_back else text
    line = logging.LogRecord(
        record.name, record.levelno, record.pathname, record.lineno, shown, None, None
    )
    line.funcName = record.funcName
    return line


_installed = Captured()


def tame() -> Captured:
    """Put the limit on all loggers of the client, once or again; the same object every time.

    Level INFO at least: what the client writes at DEBUG contains the bytes of the login.
    """
    logger = logging.getLogger("kafka")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [_installed]
    return _installed
