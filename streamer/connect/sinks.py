"""Alerts and model events to a terminal in plain sentences, or to a file as JSON lines."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO

import msgspec

from streamer.connect.append import LineFile
from streamer.errors import SinkError
from streamer.event import Alert, Message, ModelEvent

MODEL_TYPE = "io.streamer.model.{event}.v1"
_ENCODE = msgspec.json.Encoder().encode


def alert_json(alert: Alert) -> bytes:
    """The alert event of INTERFACES as one line of JSON without its end; numbers that are not finite become null."""
    return _ENCODE(alert)


def model_json(event: ModelEvent) -> bytes:
    """A model event as one line of JSON without its end; `type` tells it from an alert."""
    return _ENCODE({"type": MODEL_TYPE.format(event=event.event), **asdict(event)})


def is_model_event(line: bytes) -> bool:
    """Whether a line of a file of alerts tells of a model instead."""
    return line.startswith(b'{"type":"io.streamer.model.')


def message_json(message: Message) -> bytes:
    return model_json(message) if isinstance(message, ModelEvent) else alert_json(message)


def sentence(message: Message) -> str:
    """One line for a person: when, how grave, what happened to the incident, and the alert's own sentence."""
    if isinstance(message, ModelEvent):
        return printable(f"{message.at}  {'MODEL':<8}  {message.event:<10}  {message.summary}")
    alert = message
    replayed = " (replayed)" if alert.replayed else ""
    return printable(f"{alert.detected_at}  {alert.severity.upper():<8}  {alert.event:<8}  {alert.summary}{replayed}")


def printable(text: str) -> str:
    """Text of other people without power over a terminal: control characters are written out as escapes."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


class StdoutSink:
    """One plain sentence per alert. A reader who went away is a SinkError; a slow one makes `send` wait."""

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

    With `fsync`, an alert counts as delivered only when the disk has it. A line is written whole or not at all.
    """

    def __init__(self, path: str | Path, *, fsync: bool = False) -> None:
        super().__init__(path, fsync=fsync)

    def send(self, message: Message) -> None:
        self.write(message_json(message))
