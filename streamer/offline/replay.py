"""Replay of recorded rows at their pace: due times, shifted times and the loop."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from streamer.connect.files.rows import FileRows, FileSurvey, Row, Skipped
from streamer.protocols import Clock

TURN_S = 0.25
FIRST_SKIPPED = 3


class Pushes(Protocol):
    """The destination of records, see connect.kafka.producer.push."""

    def send(
        self, value: bytes, key: bytes | None = None, timestamp_ms: int | None = None
    ) -> bool: ...


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What to replay. `speed` inf is as fast as possible."""

    speed: float = math.inf
    limit: int | None = None
    loop: bool = False
    shift: bool = False


@dataclass(slots=True)
class Account:
    """Counts of the rows so far."""

    rows: int = 0
    skipped: int = 0
    rounds: int = 0
    examples: list[Skipped] = field(default_factory=list)

    def skip(self, one: Skipped) -> None:
        self.skipped += 1
        if len(self.examples) < FIRST_SKIPPED:
            self.examples.append(one)


def shift_s(survey: FileSurvey, *, now_s: float, speed: float) -> float:
    """Seconds to add to every time so that the last row is pushed at its own time.

    At the recorded speed this holds for every row. At a higher speed earlier rows have times in the
    past, and none in the future.
    """
    return now_s + survey.span_s / speed - survey.last_s


def round_s(survey: FileSurvey) -> float:
    """Time between two rounds of a loop: the whole span and one more usual gap."""
    return survey.span_s + (survey.gap_s if survey.gap_s > 0 else 1.0)


@dataclass(slots=True)
class RowPace:
    """Due times of rows: `speed` seconds of their time pass per second.

    Rows out of order are due at once.
    """

    speed: float
    clock: Clock
    _origin: tuple[float, float] | None = None  # clock, time

    def due_in(self, time_s: float) -> float:
        """Seconds until the row is due; 0 or less if due now."""
        if math.isinf(self.speed) or math.isnan(time_s):
            return 0.0
        if self._origin is None:
            self._origin = (self.clock(), time_s)
        return self._origin[0] + (time_s - self._origin[1]) / self.speed - self.clock()


def moments(
    rows: FileRows, plan: ReplayPlan, survey: FileSurvey | None, now_s: float, account: Account
) -> Iterator[Row]:
    """Yield the rows to push with their new times; in a loop, round after round."""
    first_s = (
        0.0 if survey is None or not plan.shift else shift_s(survey, now_s=now_s, speed=plan.speed)
    )
    while True:
        by_s = first_s + (0.0 if survey is None else account.rounds * round_s(survey))
        yield from _one_round(rows, plan.limit, by_s, account)
        account.rounds += 1
        if not plan.loop:
            return


def _one_round(rows: FileRows, limit: int | None, by_s: float, account: Account) -> Iterator[Row]:
    count = 0
    for row in rows.read():
        if isinstance(row, Skipped):
            account.skip(row)
            continue
        if count == limit:
            return
        count += 1
        moved = by_s and not math.isnan(row.time_s)
        yield Row(row.line, rows.retimed(row.record, by_s), row.time_s + by_s) if moved else row


def push_all(
    rows: Iterator[Row],
    push: Pushes,
    encode: Callable[[dict[str, Any]], tuple[bytes | None, bytes]],
    *,
    pace: RowPace,
    stop: threading.Event,
    account: Account,
    tell: Callable[[], None],
) -> None:
    """Push every row when it is due, until the last one or the stop event.

    `tell` is called a few times per second.
    """
    next_s = pace.clock() + TURN_S
    for row in rows:
        key, value = encode(row.record)
        while not stop.is_set():
            if pace.clock() >= next_s:
                next_s = pace.clock() + TURN_S
                tell()
            wait_s = pace.due_in(row.time_s)
            if wait_s > 0:
                stop.wait(min(wait_s, TURN_S))
            elif push.send(value, key):
                account.rows += 1
                break
        if stop.is_set():
            return
