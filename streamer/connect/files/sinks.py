"""Sinks for alerts and model events: standard output in plain sentences, or a file of
JSON lines.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

from streamer.connect.files.append import LineFile
from streamer.connect.formats.alert_event import message_json, sentence
from streamer.errors import SinkError
from streamer.event import Message


class StdoutSink:
    """One plain sentence per alert. A reader who went away is a SinkError; a slow one makes `send`
    wait.
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
        """Always 0: `send` delivers."""
        return 0

    def close(self) -> None:
        """Leaves the stream itself open: it is not ours."""
        self._closed = True


class JsonlSink(LineFile):
    """Alerts appended to a file, one JSON object a line; readers of the file see them at once.

    With `fsync`, an alert counts as delivered only when the disk has it. A line is written whole or
    not at all.
    """

    def __init__(self, path: str | Path, *, fsync: bool = False) -> None:
        super().__init__(path, fsync=fsync)

    def send(self, message: Message) -> None:
        self.write(message_json(message))
