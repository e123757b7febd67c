"""Alerts of the service itself, about its own stream rather than about an entity."""

from __future__ import annotations

import hashlib

from streamer.event import Alert, Expired, ModelRef
from streamer.timefmt import rfc3339


def expired_alert(gap: Expired, stream: str, group: str, ref: ModelRef, now_s: float) -> Alert:
    """Return the alert that retention removed records before they were read.

    Its id depends on the group and the gap alone.
    """
    topic, partition, _ = gap.lease
    where = f"{topic}-{partition}"
    identity = hashlib.sha256(
        f"{group}\0{where}\0{gap.first}\0{gap.until}\0expired".encode()
    ).hexdigest()[:32]
    summary = (
        f"{gap.records} records of {where} (offsets {gap.first} to {gap.until - 1}) were removed "
        f"by retention before "
        "they were read; keep the topic's log longer or read faster"
    )
    at = rfc3339(now_s)
    return Alert(
        identity,
        f"{stream}:{where}",
        "opened",
        "open",
        "critical",
        stream,
        where,
        {},
        at,
        at,
        None,
        summary,
        1.0,
        1.0,
        1.0,
        [],
        None,
        [],
        ["RECORDS_EXPIRED"],
        None,
        ref,
    )
