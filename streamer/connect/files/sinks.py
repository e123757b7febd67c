"""Sinks for alerts and model events: sentences on standard output, or JSON lines in a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from streamer.connect.files.append import LineFile
from streamer.connect.formats.alert_event import message_json, sentence
from streamer.errors import SinkError
from streamer.event import Message

if TYPE_CHECKING:
    from streamer import config


class StdoutSink:
    """Writes one sentence per alert.

    SinkError if the reader is gone; a slow reader blocks `send`.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stdout
        self._closed = False

    def send(self, message: Message) -> None:
        if self._closed:
            raise SinkError("stdout: is closed")
        try:
            self._stream.write(sentence(message) + "\n")
            self._stream.flush()
        except UnicodeEncodeError:
            self._stream.write(ascii(sentence(message))[1:-1] + "\n")
        except (OSError, ValueError) as exc:
            raise SinkError(f"stdout: cannot be written: {exc}") from exc

    def flush(self, timeout_s: float) -> int:
        """Return 0: `send` delivers."""
        return 0

    def close(self) -> None:
        """Stop writing; the stream stays open because the caller owns it."""
        self._closed = True


class JsonlSink(LineFile):
    """Alerts appended to a file, one JSON object per line, visible at once.

    With `fsync`, an alert counts as delivered only when it is on disk. A line is written whole or
    not at all.
    """

    def __init__(self, path: str | Path, *, fsync: bool = False) -> None:
        super().__init__(path, fsync=fsync)

    def send(self, message: Message) -> None:
        self.write(message_json(message))


def open_stdout(section: config.StdoutSink, whole: config.Config | None) -> StdoutSink:
    """The sink of a section."""
    return StdoutSink()


def open_file(section: config.FileSink, whole: config.Config | None) -> JsonlSink:
    """The sink of a section. SinkError if its file cannot be opened."""
    return JsonlSink(section.path, fsync=section.fsync)
