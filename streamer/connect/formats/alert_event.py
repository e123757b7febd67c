"""An alert or a model event as JSON, and as one sentence for a terminal."""

from __future__ import annotations

from dataclasses import asdict

import msgspec

from streamer.event import Alert, Message, ModelEvent

MODEL_TYPE = "io.streamer.model.{event}.v1"
_ENCODE = msgspec.json.Encoder().encode


def alert_json(alert: Alert) -> bytes:
    """Return an alert as one line of JSON without line end; non-finite numbers become null."""
    return _ENCODE(alert)


def model_json(event: ModelEvent) -> bytes:
    """Return a model event as one line of JSON without line end.

    Its field `type` distinguishes it from an alert.
    """
    return _ENCODE({"type": MODEL_TYPE.format(event=event.event), **asdict(event)})


def is_model_event(line: bytes) -> bool:
    """Whether a line of an alert file is a model event."""
    return line.startswith(b'{"type":"io.streamer.model.')


def message_json(message: Message) -> bytes:
    return model_json(message) if isinstance(message, ModelEvent) else alert_json(message)


def sentence(message: Message) -> str:
    """Return one line for a person: time, severity, event and the alert's summary."""
    if isinstance(message, ModelEvent):
        return printable(f"{message.at}  {'MODEL':<8}  {message.event:<10}  {message.summary}")
    alert = message
    replayed = " (replayed)" if alert.replayed else ""
    return printable(
        f"{alert.detected_at}  {alert.severity.upper():<8}  {alert.event:<8}  "
        f"{alert.summary}{replayed}"
    )


def printable(text: str) -> str:
    """Escape control characters, so that foreign text cannot control a terminal."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
