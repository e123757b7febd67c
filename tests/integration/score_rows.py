"""The judgement of every event, as the score files of a trial's daemons have it, against the
uninterrupted run's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.integration.history import Violation, close_scores


class Event(NamedTuple):
    """An entity lives in one partition, so its name and the offset say which record it was."""

    entity: str
    offset: int


class Judged(NamedTuple):
    """What was found."""

    score: float
    alarm: float
    status: str


Rows = Iterable[tuple[Event, Judged]]


def read(path: Path) -> Iterator[tuple[Event, Judged]]:
    """Every row of a score file in CSV: row, time, entity, score, alarm, status, .. A line that a
    kill cut is none.
    """
    with path.open() as lines:
        commas = next(lines, "").count(",")
        for line in lines:
            cells = line.split(",")
            if len(cells) == commas + 1 and line.endswith("\n"):
                entity, status = (
                    sys.intern(cells[2]),
                    sys.intern(cells[5]),
                )  # millions of rows in the soak
                yield Event(entity, int(cells[0])), Judged(float(cells[3]), float(cells[4]), status)


def score_violations(seen: Rows, truth: Mapping[Event, Judged]) -> list[Violation]:
    """Events that nobody judged, that nobody should have judged, and that were judged otherwise.
    Twice is allowed.
    """
    found: list[Violation] = []
    there: set[Event] = set()
    for event, judged in seen:
        there.add(event)
        should = truth.get(event)
        if should is None:
            found.append(Violation("foreign event", f"{event}"))
        elif not _same(judged, should):
            found.append(Violation("judged otherwise", f"{event}: {judged}, should be {should}"))
    return found + [Violation("event lost", f"{event}") for event in truth if event not in there]


def assert_equal_scores(seen: Rows, truth: Mapping[Event, Judged]) -> None:
    """AssertionError with the first differences."""
    assert truth, "an uninterrupted run without scores proves nothing"
    broken = score_violations(seen, truth)
    assert not broken, f"{len(broken)} of {len(truth)} events\n" + "\n".join(
        map(str, _first(broken))
    )


def _first(broken: Sequence[Violation]) -> Sequence[Violation]:
    return [
        one
        for law in sorted({one.law for one in broken})
        for one in [b for b in broken if b.law == law][:5]
    ]


def _same(one: Judged, other: Judged) -> bool:
    return one.status == other.status and all(map(close_scores, one[:2], other[:2]))
