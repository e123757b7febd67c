"""Rate limit of the client's log, and its recent warnings for diagnosis.

A few lines per place and minute pass, the rest is counted. A dead coordinator made the client write
9,990 lines within seconds.
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

BURST = 2  # lines per period of one place in the code
PERIOD_S = 60.0
MAX_LINES = 20  # lines per period of all places: an outage of two minutes stays under 100
MAX_PLACES = 256
MAX_TEXT = 500  # characters of a stored cause

ADVICE = "kafka.net.sasl"  # warns of logins in plain text; never a cause

V = TypeVar("V")
# logger, line of code, level: one per message template, f-strings included
Place = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Complaint:
    """A warning or error of the client."""

    at_s: float  # monotonic
    logger: str
    text: str


class Captured(logging.Handler):
    """Handler of the `kafka` logger: stores warnings and errors, passes few lines on.

    Lines go to the handlers of the root logger.
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
        """Store lines as causes without passing them on.

        The caller reports the failure as an error of its own.
        """
        with self._guard:
            self._hushed += 1
        try:
            yield
        finally:
            with self._guard:
                self._hushed -= 1

    def emit(self, record: logging.LogRecord) -> None:
        """Handle a line; never raises, and waits only for the handlers of the root."""
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
        """Return how many lines of the place were held back so far; None to hold this one back."""
        period = self._places.get(place) or BurstLimit(BURST)
        _put(self._places, place, period)
        if self._hushed or not (period.has_room(now) and self._all.has_room(now)):
            period.held_back += 1
            return None
        self._all.take(now)
        return period.take(now)

    def causes(self, since_s: float = 60.0) -> list[str]:
        """Warnings and errors of the last `since_s` seconds, newest first, one per place."""
        oldest = self._clock() - since_s
        with self._guard:
            return [cause.text for cause in reversed(self._causes.values()) if cause.at_s >= oldest]

    def held_back(self) -> int:
        """Number of lines held back and not yet reported."""
        with self._guard:
            return sum(period.held_back for period in self._places.values())


class BurstLimit:
    """At most `burst` lines within any PERIOD_S."""

    __slots__ = ("_taken", "held_back")

    def __init__(self, burst: int) -> None:
        # times of the last lines that passed
        self._taken = deque([-math.inf] * burst, maxlen=burst)
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
    """The message, with type and text of the exception.

    A traceback would take twenty lines, and may show secrets.
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
    """Install the limit on all loggers of the client; return its handler.

    Idempotent. The level is at least INFO, because the client's DEBUG lines contain the bytes of
    the login.
    """
    logger = logging.getLogger("kafka")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [_installed]
    return _installed
