"""Dead letters as records with headers or as lines of a file.

A record with these headers, or a line, is parsed back to the same letter, except for the epoch of
its lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from streamer.connect.files.append import LineFile
from streamer.errors import InputError
from streamer.event import Lease, Rejected
from streamer.protocols import Letter

if TYPE_CHECKING:
    from streamer import config

Headers = tuple[tuple[str, bytes], ...]
# Stream, topic ("" if none), partition, offset and time of the record that a letter is about. The
# time distinguishes records of a recreated topic, whose offsets start again.
Origin = tuple[str, str, int, int, int | None]
PREFIX = "x-dlq-"
NAMES = tuple(
    PREFIX + name
    for name in ["reason", "detail", "stream", "topic", "partition", "offset", "timestamp", "at"]
)
CUT = "too_long"  # reason of records of which only the start is kept
# header of letters that were larger than their topic allows and were cut
CUT_HEADER = PREFIX + "cut"
TOMBSTONE = "tombstone"  # reason of a record without a value


def letter_headers(letter: Letter) -> Headers:
    """The record's own headers, then the eight of `NAMES`; empty if unknown."""
    record, lease = letter.record, letter.record.lease
    topic, partition = ("", "") if lease is None else (lease.topic, str(lease.partition))
    timestamp = "" if record.timestamp_ms is None else str(record.timestamp_ms)
    texts = (
        record.reason,
        record.detail,
        letter.stream,
        topic,
        partition,
        str(record.offset),
        timestamp,
        letter.at,
    )
    ours = (
        (name, text.encode(errors="backslashreplace"))
        for name, text in zip(NAMES, texts, strict=True)
    )
    return (*record.headers, *ours)


def letter_of(
    value: bytes, key: bytes | None, headers: Iterable[tuple[str, bytes | None]]
) -> Letter | None:
    """Parse a record with such headers; None if it is no letter.

    Of doubled names the last was set by streamer.
    """
    ours, others = _parted(headers)
    if len(ours) < len(NAMES):
        return None
    reason, detail, stream, topic, partition, offset, timestamp, at = (ours[name] for name in NAMES)
    try:
        lease = Lease(topic, int(partition)) if partition else None
        stamp = int(timestamp) if timestamp else None
        return Letter(
            stream, Rejected(int(offset), reason, detail, value, lease, key, others, stamp), at
        )
    except ValueError:
        return None


def _parted(headers: Iterable[tuple[str, bytes | None]]) -> tuple[dict[str, str], Headers]:
    ours: dict[str, str] = {}
    others: list[tuple[str, bytes]] = []
    for name, value in reversed(tuple(headers)):
        if name in NAMES and name not in ours:
            ours[name] = (value or b"").decode(errors="replace")
        else:
            others.append((name, value or b""))
    return ours, tuple(reversed(others))


def origin(letter: Letter) -> Origin:
    """Identify the record that a letter is about.

    Two letters may have the same origin, written before and after a restart.
    """
    lease = letter.record.lease or Lease("", 0)
    return (
        letter.stream,
        lease.topic,
        lease.partition,
        letter.record.offset,
        letter.record.timestamp_ms,
    )


def why_not_replayed(letter: Letter) -> str | None:
    """Why the record cannot be sent again as it was; None if it can."""
    if letter.record.reason == TOMBSTONE:
        return "has no value"
    if letter.record.reason == CUT or any(name == CUT_HEADER for name, _ in letter.record.headers):
        return "only its start was kept"
    return None


def own_headers(letter: Letter) -> Headers:
    """The headers that the record had before it became a letter."""
    return tuple(header for header in letter.record.headers if not header[0].startswith(PREFIX))


class LetterLine(msgspec.Struct, frozen=True):
    """A letter as a JSON object; bytes are base64."""

    stream: str
    topic: str | None
    partition: int | None
    offset: int
    timestamp_ms: int | None
    at: str
    reason: str
    detail: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


def line_of(letter: Letter) -> bytes:
    """Return the letter as one line of JSON, without line end."""
    record, lease = letter.record, letter.record.lease
    topic, partition = (None, None) if lease is None else (lease.topic, lease.partition)
    line = LetterLine(
        letter.stream,
        topic,
        partition,
        record.offset,
        record.timestamp_ms,
        letter.at,
        record.reason,
        record.detail.encode(errors="backslashreplace").decode(),
        record.key,
        record.raw,
        record.headers,
    )
    return msgspec.json.encode(line)


def letter_of_line(text: bytes) -> Letter:
    """Parse a line; msgspec.DecodeError or UnicodeDecodeError if it is no letter."""
    line = msgspec.json.decode(text, type=LetterLine)
    lease = None if line.topic is None else Lease(line.topic, line.partition or 0)
    record = Rejected(
        line.offset,
        line.reason,
        line.detail,
        line.value,
        lease,
        line.key,
        line.headers,
        line.timestamp_ms,
    )
    return Letter(line.stream, record, line.at)


class LetterFile(LineFile):
    """Letters appended to a file, one JSON object per line.

    `flush` returns when they are on disk; SinkError otherwise.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, fsync=True)

    def send(self, letter: Letter) -> None:
        self.write(line_of(letter))


def read_letters(
    path: str | Path, on_damage: Callable[[int], None] = lambda line: None
) -> Iterator[tuple[int, Letter]]:
    """Yield (line number from 1, letter) of a letter file; InputError if it cannot be read.

    A line that is no letter, such as one cut by a crash, is passed to `on_damage` and skipped.
    """
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield from _one(number, line, on_damage)
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def _one(
    number: int, line: bytes, on_damage: Callable[[int], None]
) -> Iterator[tuple[int, Letter]]:
    try:
        yield number, letter_of_line(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        on_damage(number)


def open_letters(section: config.DeadLetterFile, whole: config.Config) -> LetterFile:
    """The dead letters of a section. SinkError if its file cannot be opened."""
    return LetterFile(section.path)
