"""Output of dead letters: counts by reason, rows, and one letter in full."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streamer import timefmt
from streamer.connect.dead_letters.letter import own_headers
from streamer.connect.formats.alert_event import printable

if TYPE_CHECKING:
    from streamer.connect.dead_letters.inbox import Stored

DUMPED = 4096  # bytes of a value shown
WIDTH = 16
DETAIL = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter of letters: by stream, by reasons, since a time (seconds since 1970)."""

    stream: str | None = None
    reasons: Sequence[str] = ()
    since_s: float = -math.inf

    def __call__(self, stored: Stored) -> bool:
        letter = stored.letter
        fits = self.stream in (None, letter.stream) and (
            not self.reasons or letter.record.reason in self.reasons
        )
        return fits and (self.since_s == -math.inf or seconds(letter.at) >= self.since_s)


def seconds(at: str) -> float:
    """Return an RFC 3339 time as seconds since 1970; -inf if it is invalid."""
    try:
        return timefmt.seconds(at)
    except ValueError:
        return -math.inf


@dataclass(slots=True)
class Group:
    """The letters of one stream and reason."""

    count: int = 0
    first: str = ""
    last: str = ""
    example: str = ""  # place of the newest one


@dataclass(slots=True)
class LetterSurvey:
    """Counts by stream and reason, and the newest letters."""

    groups: dict[tuple[str, str], Group] = field(default_factory=dict)
    newest: deque[Stored] = field(default_factory=deque)

    @classmethod
    def of(cls, letters: Iterable[Stored], rows: int = 0) -> LetterSurvey:
        """Count the letters in one pass, and keep the newest `rows`."""
        survey = cls(newest=deque(maxlen=rows))
        for stored in letters:
            survey.newest.append(stored)
            survey._count(stored)
        return survey

    @property
    def count(self) -> int:
        return sum(group.count for group in self.groups.values())

    def _count(self, stored: Stored) -> None:
        letter = stored.letter
        group = self.groups.setdefault(
            (letter.stream, letter.record.reason), Group(first=letter.at, last=letter.at)
        )
        group.count += 1
        group.first = min(group.first, letter.at)
        if letter.at >= group.last:
            group.last, group.example = letter.at, stored.place

    def sorted(self) -> list[tuple[tuple[str, str], Group]]:
        """Return the groups, the largest first."""
        return sorted(self.groups.items(), key=lambda item: (-item[1].count, item[0]))


def table(survey: LetterSurvey) -> Iterator[str]:
    """Yield the counts as aligned lines."""
    rows = [("count", "stream", "reason", "first", "last", "for example")]
    rows += [
        (str(group.count), stream, reason, group.first, group.last, group.example)
        for (stream, reason), group in survey.sorted()
    ]
    shown = [tuple(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for count, *others in shown:
        cells = (text.ljust(width) for text, width in zip(others, widths[1:], strict=True))
        yield f"{count.rjust(widths[0])}  {'  '.join(cells)}".rstrip()


def row(stored: Stored) -> str:
    """Return one line for a letter."""
    letter = stored.letter
    detail = letter.record.detail[:DETAIL]
    words = (
        stored.place,
        letter.at,
        letter.stream,
        came_from(stored),
        letter.record.reason,
        detail,
    )
    return printable("  ".join(words))


def came_from(stored: Stored) -> str:
    """Return the place of the record: `topic/partition@offset`, or the row of a file."""
    record = stored.letter.record
    if record.lease is None:
        return f"row {record.offset}"
    return f"{record.lease.topic}/{record.lease.partition}@{record.offset}"


def page(stored: Stored) -> Iterator[str]:
    """Yield all facts of one letter, then its bytes."""
    letter, record = stored.letter, stored.letter.record
    yield from _facts(
        ("place", stored.place),
        ("stream", letter.stream),
        ("rejected", letter.at),
        ("reason", record.reason),
        ("detail", record.detail),
        ("came from", came_from(stored)),
        ("written", _written(record.timestamp_ms)),
        ("key", "none" if record.key is None else text_of(record.key)),
        *((f"header {name}", text_of(value)) for name, value in record.headers),
        ("value", f"{len(record.raw)} bytes"),
    )
    yield from hexdump(record.raw[:DUMPED])
    if len(record.raw) > DUMPED:
        yield f"... and {len(record.raw) - DUMPED} bytes more: --format json holds all of them"


def _facts(*facts: tuple[str, str]) -> Iterator[str]:
    return (f"{printable(name):<12} {printable(text)}" for name, text in facts)


def _written(timestamp_ms: int | None) -> str:
    if timestamp_ms is None:
        return "unknown"
    try:
        return timefmt.iso(timestamp_ms / 1000, "milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{timestamp_ms} ms"


def text_of(raw: bytes) -> str:
    """Return bytes as text; invalid UTF-8 as escapes."""
    return printable(raw.decode(errors="backslashreplace"))


def hexdump(raw: bytes) -> Iterator[str]:
    """Yield sixteen bytes per line: offset, hexadecimal, ASCII with dots for the rest."""
    for at in range(0, len(raw), WIDTH):
        block = raw[at : at + WIDTH]
        text = re.sub(rb"[^ -~]", b".", block).decode()
        yield f"{at:08x}  {block.hex(' '):<{3 * WIDTH - 1}}  {text}"


def facts(stored: Stored) -> dict[str, Any]:
    """Return a letter for JSON; bytes become base64."""
    letter, record = stored.letter, stored.letter.record
    topic, partition = (
        (None, None) if record.lease is None else (record.lease.topic, record.lease.partition)
    )
    return {
        "place": stored.place,
        "stream": letter.stream,
        "at": letter.at,
        "reason": record.reason,
        "detail": record.detail,
        "topic": topic,
        "partition": partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": record.key,
        "headers": own_headers(letter),
        "value": record.raw,
    }
