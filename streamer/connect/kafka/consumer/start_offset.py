"""Where a group without a committed position begins."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from streamer.config.kafka import started_at
from streamer.connect.kafka.consumer.assignment import Place
from streamer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Start:
    """The beginning of the log, its end, or the first record written at a time."""

    kind: Literal["earliest", "latest", "time"]
    at_ms: int = 0  # of a time, since 1970

    @property
    def moves(self) -> bool:
        """Whether asking again later gives another place: then it is committed at once."""
        return self.kind != "earliest"


EARLIEST = Start("earliest")


def parse_start(text: str, now_s: float) -> Start:
    """`earliest`, `latest`, an RFC 3339 time, or `-2h` from now; ConfigError for anything else."""
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
    """A partition made after we began is read from its beginning: `latest` would jump over its
    first records.
    """
    return EARLIEST if start.kind == "latest" and place not in known else start
