"""The start of a group without a committed position."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from streamer.config.kafka import started_at
from streamer.connect.kafka.consumer.assignment import Place
from streamer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Start:
    """The start or end of the log, or the first record written at a time."""

    kind: Literal["earliest", "latest", "time"]
    at_ms: int = 0  # milliseconds since 1970, for kind "time"

    @property
    def moves(self) -> bool:
        """Whether a later lookup gives another offset; it is then committed at once."""
        return self.kind != "earliest"


EARLIEST = Start("earliest")


def parse_start(text: str, now_s: float) -> Start:
    """Parse `earliest`, `latest`, an RFC 3339 time, or `-2h` from now; else ConfigError."""
    if text == "latest":
        return Start("latest")
    if text == "earliest":
        return EARLIEST
    at_s = started_at(text, now_s)
    if at_s is None:
        raise ConfigError(
            "source.start", "must be earliest, latest, an RFC 3339 time, or as -2h", text
        )
    return Start("time", max(0, round(at_s * 1000)))


def start_of(place: Place, start: Start, known: Collection[Place]) -> Start:
    """The start of a partition.

    With `latest`, partitions created after this reader started are read from their beginning, so
    that no record is skipped.
    """
    return EARLIEST if start.kind == "latest" and place not in known else start
