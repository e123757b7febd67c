"""Logging: constant event names with values as fields, JSON unless on a terminal.

Secrets are masked last; repeated lines are counted. Call `setup` once, early in a command. Modules
hold `log = structlog.get_logger()` and call `log.info("model_swapped", ...)`. Lines of libraries
(uvicorn, kafka, tensorflow) arrive as event `library_message`.
"""

from __future__ import annotations

import atexit
import logging
import math
import sys
import textwrap
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor

from streamer.masking import MASK, conceal, is_secret_name

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
# Libraries that bring handlers of their own, which are removed.
LIBRARIES = ("uvicorn", "uvicorn.error", "uvicorn.access", "kafka", "tensorflow", "absl", "asyncio")
MAX_DEPTH = 6
MAX_TEXT = 8192  # characters of one field
MAX_EVENTS = 1000  # event names kept by the limiter


class Limiter:
    """A processor that passes `burst` lines per event and `period_s`, and counts the rest."""

    def __init__(
        self, burst: int = 10, period_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.burst, self.period_s, self.clock = burst, period_s, clock
        self._lock = threading.Lock()
        # event -> start of its period, lines in it
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __call__(self, logger: Any, method: str, event: EventDict) -> EventDict:
        with self._lock:
            suppressed = self._admit(f"{event.get('event')}/{event.get('logger', '')}/{method}")
        if suppressed is None:
            raise structlog.DropEvent
        return {**event, "suppressed": suppressed} if suppressed else event

    def _admit(self, name: str) -> int | None:
        """Return how many lines were held back before this one; None to hold this one back."""
        now = self.clock()
        start, lines = self._seen.get(name, (-math.inf, 0))
        if now - start >= self.period_s:
            self._remember(name, now, 1)
            return max(0, lines - self.burst)
        self._remember(name, start, lines + 1)
        return 0 if lines < self.burst else None

    def _remember(self, name: str, start: float, lines: int) -> None:
        self._seen[name] = (start, lines)
        self._seen.move_to_end(name)
        if len(self._seen) > MAX_EVENTS:
            self._seen.popitem(last=False)

    def held_back(self) -> dict[str, int]:
        """Return the lines held back and not yet reported, by event, and reset the counts."""
        with self._lock:
            counts = {
                name: lines - self.burst
                for name, (_, lines) in self._seen.items()
                if lines > self.burst
            }
            for name in counts:
                self._seen[name] = (self._seen[name][0], self.burst)
        return counts


class LineLogger:
    """A writer of whole lines.

    If the stream is closed or full the line is lost; the caller does not fail.
    """

    def __init__(self, stream: TextIO, lock: threading.Lock) -> None:
        self._stream, self._lock = stream, lock

    def msg(self, message: str) -> None:
        with self._lock:
            try:
                self._stream.write(f"{message}\n")
                self._stream.flush()
            except (OSError, ValueError):
                return  # closed or full: there is nowhere to report it

    debug = info = warning = error = critical = exception = log = msg


class Bridge(logging.Handler):
    """A handler that turns lines of the standard library's loggers into events."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        level = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
        write = getattr(structlog.get_logger(), level if level in LEVELS else "info")
        write("library_message", logger=record.name, message=text, exc_info=record.exc_info or None)


class Dropped(logging.NullHandler):
    """A handler that drops the lines of libraries, for commands that report errors themselves."""


def setup(
    level: str = "info",
    format: str = "auto",  # noqa: A002 - the name of the setting
    stream: TextIO | None = None,
    *,
    secrets: Iterable[str] = (),
    always: Mapping[str, Any] | None = None,
    libraries: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> Limiter:
    """Configure all logging of the process.

    `stream` None means standard error. `secrets` are texts that are masked in every line. `always`
    holds fields of every line, in every thread. Without `libraries` the lines of libraries are
    dropped.
    """
    stream = sys.stderr if stream is None else stream
    console = format == "console" or (format == "auto" and _is_terminal(stream))
    limiter = Limiter(clock=clock)
    structlog.configure(
        processors=[
            partial(_with, always or {}),
            *_processors(console, limiter, tuple(s for s in secrets if s), _is_terminal(stream)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=_Factory(stream),
        cache_logger_on_first_use=False,  # a second setup also reaches loggers that modules hold
    )
    _bridge(level, Bridge() if libraries else Dropped())
    atexit.unregister(tell_held_back)
    atexit.register(tell_held_back, limiter)
    return limiter


def _with(always: Mapping[str, Any], logger: Any, method: str, event: EventDict) -> EventDict:
    return {**always, **event}


class _Factory:
    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def __call__(self, *args: Any) -> LineLogger:
        return LineLogger(self._stream, self._lock)


def tell_held_back(limiter: Limiter) -> None:
    """Log the number of lines held back and not yet reported."""
    counts = limiter.held_back()
    if counts:
        structlog.get_logger().warning("lines_suppressed", counts=counts)


def _processors(
    console: bool, limiter: Limiter, secrets: tuple[str, ...], colors: bool
) -> list[Processor]:
    shared: list[Processor] = [
        limiter,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,  # plain text, without local variables
        Scrubber(secrets),
    ]
    if not console:
        return [*shared, render_json]
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
    )
    return [*shared, escape_controls, renderer]


def _bridge(level: str, bridge: logging.Handler) -> None:
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, Bridge | Dropped)]:
        root.removeHandler(handler)
    root.addHandler(bridge)
    root.setLevel(logging.INFO if level == "debug" else max(logging.WARNING, LEVELS[level]))
    logging.captureWarnings(True)
    for name in LIBRARIES:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False


class Scrubber:
    """A processor that masks secrets and cuts long texts.

    It masks values of secret names, known secrets and credentials inside texts.
    """

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        self._secrets = secrets

    def __call__(self, logger: Any, method: str, event: EventDict) -> EventDict:
        return {key: self._clean(key, value, 0) for key, value in event.items()}

    def _clean(self, key: str, value: Any, depth: int) -> Any:
        if is_secret_name(key) and value is not None:
            return MASK
        if isinstance(value, str):
            return self._text(value)
        if depth >= MAX_DEPTH:
            return "..."
        if isinstance(value, Mapping):
            return {str(k): self._clean(str(k), v, depth + 1) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean("", item, depth + 1) for item in value]
        # numpy scalars
        value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
        return (
            value
            if value is None or isinstance(value, bool | int | float)
            else self._text(_plain(value))
        )

    def _text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = conceal(
            text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}... ({len(text)} characters)"
        )
        return text.encode("utf-8", "replace").decode()  # lone surrogates cannot be written


def _plain(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def escape_controls(logger: Any, method: str, event: EventDict) -> EventDict:
    """Escape control characters for a terminal.

    Tracebacks keep their line breaks and are indented.
    """
    clean = {
        key: _escaped(value, keep="\n" if key == "exception" else "")
        for key, value in event.items()
    }
    return (
        clean | {"exception": textwrap.indent(clean["exception"], "  ")}
        if "exception" in clean
        else clean
    )


def _escaped(value: Any, keep: str) -> Any:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in value
    )


def render_json(logger: Any, method: str, event: EventDict) -> str:
    """Return one line of JSON; NaN and infinity become null."""
    return msgspec.json.encode(event, enc_hook=str).decode()
