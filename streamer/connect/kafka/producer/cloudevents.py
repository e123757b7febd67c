"""Headers of alerts as CloudEvents 1.0 in Kafka's binary mode: attributes in `ce_*`."""

from __future__ import annotations

from urllib.parse import quote

from streamer.connect.formats.alert_event import MODEL_TYPE, printable
from streamer.event import Alert, ModelEvent

Headers = tuple[tuple[str, bytes], ...]

TYPE = "io.streamer.alert.{event}.v1"
_ALWAYS: Headers = (("ce_specversion", b"1.0"), ("content-type", b"application/json"))


def alert_headers(alert: Alert) -> Headers:
    """Context attributes, and `traceparent` (W3C) if the alert has one."""
    said = {
        "ce_id": message_id(alert),
        "ce_source": "/streams/" + quote(alert.stream.encode(errors="replace"), safe=""),
        "ce_type": TYPE.format(event=alert.event),
        "ce_time": alert.detected_at,
        "ce_subject": printable(alert.entity),
    }
    if alert.traceparent is not None:
        said["traceparent"] = alert.traceparent
    return _ALWAYS + tuple((name, value.encode(errors="replace")) for name, value in said.items())


def model_headers(event: ModelEvent) -> Headers:
    """Context attributes of a model event."""
    said = {
        "ce_id": event.event_id,
        "ce_source": "/models",
        "ce_type": MODEL_TYPE.format(event=event.event),
        "ce_time": event.at,
        "ce_subject": printable(event.model.version),
    }
    return _ALWAYS + tuple((name, value.encode(errors="replace")) for name, value in said.items())


def message_id(alert: Alert) -> str:
    """A unique id of a message, the same in every replay.

    It names the incident, the event, and for updates the record. An incident opens once and ends
    once, but may be updated often, even twice at one time.
    """
    if alert.event != "updated":
        return f"{alert.alert_id}-{alert.event}"
    at = alert.detected_at if alert.window is None else str(alert.window.last_offset)
    return f"{alert.alert_id}-updated-{at}"
