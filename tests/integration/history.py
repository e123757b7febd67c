"""What a faulted run did, judged against the uninterrupted run: pure code, itself tested with
planted bugs.

At least once is allowed: an alert may stand in the log twice. Everything else that differs is a
violation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Offsets = Mapping[int, int]  # by partition

# Another batch size sums floats in another order (DESIGN: the scoring law); a score is told with
# four decimals.
SCORE_REL, SCORE_ABS = 2e-3, 2e-4


class Message(NamedTuple):
    """Which message about which incident: what a repetition repeats."""

    alert_id: str
    event: str  # opened, updated, resolved
    detected_at: str


@dataclass(frozen=True, slots=True)
class Told:
    """One record of the alerts topic."""

    message: Message
    entity: str
    score: float
    severity: str
    partition: int = 0  # of the alerts topic
    offset: int = 0
    source: int = 0  # partition of the input
    upto: int | None = None  # input offset of the event that raised it; None: of none

    @property
    def told_at(self) -> tuple[int, int]:
        return self.partition, self.offset


def told(value: bytes, partition: int = 0, offset: int = 0) -> Told:
    """Out of the JSON of an alert. KeyError where it is none."""
    alert: dict[str, Any] = json.loads(value)
    window = alert["window"] or {}
    return Told(
        Message(alert["alert_id"], alert["event"], alert["detected_at"]),
        alert["entity"],
        alert["score"],
        alert["severity"],
        partition,
        offset,
        window.get("partition", 0),
        window.get("last_offset"),
    )


class Place(NamedTuple):
    """A record of the input."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Committed offsets of the input, and the ends of the alerts topic read *after* them."""

    committed: Offsets
    alerts_end: Offsets


@dataclass(frozen=True, slots=True)
class Books:
    """The conservation account of one run that ended by itself, and how far the commits moved
    during it.
    """

    account: Mapping[str, int]  # {"in": .., "scored": .., ..., "in_flight": ..}
    moved: int | None = None  # None: others moved them too


@dataclass(frozen=True)
class History:
    """Everything that was seen of one faulted run."""

    start: Offsets  # of the input log, when it began
    end: Offsets  # of the input log, when it was over
    alerts: Sequence[Told]
    samples: Sequence[Sample] = ()
    books: Sequence[Books] = ()
    poison: Mapping[Place, bytes] = field(default_factory=dict)
    letters: Sequence[tuple[Place, bytes]] = ()

    @property
    def committed(self) -> Offsets:
        return self.samples[-1].committed if self.samples else {}


class Violation(NamedTuple):
    """One broken promise: which, and where."""

    law: str
    detail: str


def violations(seen: History, truth: Sequence[Told]) -> list[Violation]:
    """Every broken promise of a run, against the alerts of an uninterrupted one over the same
    input.
    """
    return [
        *_lost(seen.alerts, truth),
        *_invented(seen.alerts, truth),
        *_changed(seen.alerts, truth),
        *_disordered(seen.alerts, truth),
        *_commits(seen, truth),
        *_letters(seen),
        *(violation for books in seen.books for violation in _books(books)),
    ]


def assert_clean(seen: History, truth: Sequence[Told]) -> None:
    """AssertionError with the first broken promises of every law."""
    assert truth, "an uninterrupted run without alerts proves nothing"
    assert len(seen.samples) > 1, (
        f"{len(seen.samples)} looks at the commits prove nothing of their order"
    )
    assert seen.books, "runs that all ended without books prove nothing of conservation"
    broken = violations(seen, truth)
    laws = sorted({one.law for one in broken})
    shown = [
        f"{law}: {one.detail}" for law in laws for one in [b for b in broken if b.law == law][:5]
    ]
    assert not broken, f"{len(broken)} violations\n" + "\n".join(shown)


def _lost(alerts: Iterable[Told], truth: Iterable[Told]) -> Iterator[Violation]:
    there = {one.message for one in alerts}
    yield from (Violation("lost", str(one)) for one in truth if one.message not in there)


def _invented(alerts: Iterable[Told], truth: Iterable[Told]) -> Iterator[Violation]:
    """Ids that nobody should have had, and messages of known incidents that never happened."""
    messages = {one.message for one in truth}
    ids = {message.alert_id for message in messages}
    for one in alerts:
        if one.message.alert_id not in ids:
            yield Violation("foreign id", str(one))
        elif one.message not in messages:
            yield Violation(f"unexpected {one.message.event}", str(one))


def _changed(alerts: Iterable[Told], truth: Iterable[Told]) -> Iterator[Violation]:
    """A message that says something else than in the uninterrupted run."""
    expected = {one.message: one for one in truth}
    for one in alerts:
        should = expected.get(one.message)
        if should is not None and not _same(one, should):
            yield Violation("changed", f"{one}, should be {should}")


def _same(one: Told, other: Told) -> bool:
    told = (one.entity, one.severity, one.source, one.upto)
    return close_scores(one.score, other.score) and told == (
        other.entity,
        other.severity,
        other.source,
        other.upto,
    )


def close_scores(one: float, other: float) -> bool:
    """Whether two scores are one, but for rounding."""
    return math.isclose(one, other, rel_tol=SCORE_REL, abs_tol=SCORE_ABS)


def _disordered(alerts: Iterable[Told], truth: Iterable[Told]) -> Iterator[Violation]:
    """What an entity's reader sees for the first time comes in the order of the
    uninterrupted run.
    """
    expected, found = _by_entity(truth), _by_entity(alerts)
    for entity, order in found.items():
        known = [message for message in order if message in set(expected.get(entity, ()))]
        should = [message for message in expected.get(entity, ()) if message in set(order)]
        if known != should:
            at = next(
                i for i, (one, other) in enumerate(zip(known, should, strict=True)) if one != other
            )
            yield Violation("disordered", f"{entity}: {known[at]} stands where {should[at]} should")


def _by_entity(alerts: Iterable[Told]) -> dict[str, list[Message]]:
    """Messages of each entity in log order, repetitions left out."""
    order: dict[str, dict[Message, None]] = {}
    for one in sorted(alerts, key=lambda one: one.told_at):
        order.setdefault(one.entity, {}).setdefault(one.message)
    return {entity: list(messages) for entity, messages in order.items()}


def _commits(seen: History, truth: Sequence[Told]) -> Iterator[Violation]:
    yield from _backwards([sample.committed for sample in seen.samples])
    for sample in seen.samples:
        yield from _beyond(sample, seen.alerts, truth)
    for partition, end in seen.end.items():
        if seen.samples and seen.committed.get(partition, seen.start[partition]) != end:
            committed = seen.committed.get(partition)
            yield Violation(
                "not committed to the end", f"partition {partition}: {committed} of {end}"
            )


def _backwards(commits: Sequence[Offsets]) -> Iterator[Violation]:
    highest: dict[int, int] = {}
    for committed in commits:
        for partition, offset in committed.items():
            if offset < highest.get(partition, 0):
                yield Violation(
                    "commit backwards",
                    f"partition {partition}: {offset} after {highest[partition]}",
                )
            highest[partition] = max(offset, highest.get(partition, 0))


def _beyond(sample: Sample, alerts: Iterable[Told], truth: Iterable[Told]) -> Iterator[Violation]:
    """A commit says that every alert before it is in the alerts topic, now."""
    there = {one.message for one in alerts if one.offset < sample.alerts_end.get(one.partition, 0)}
    for one in truth:
        if (
            one.upto is not None
            and one.upto < sample.committed.get(one.source, 0)
            and one.message not in there
        ):
            yield Violation("commit beyond acknowledged", f"{one} is not there at {sample}")


def _letters(seen: History) -> Iterator[Violation]:
    found = dict(seen.letters)
    yield from (Violation("letter lost", str(place)) for place in seen.poison if place not in found)
    for place, raw in seen.letters:
        if place not in seen.poison:
            yield Violation("foreign letter", f"{place}: {raw[:80]!r}")
        elif raw != seen.poison[place]:
            yield Violation("letter changed", f"{place}: {raw[:80]!r}")


def _books(books: Books) -> Iterator[Violation]:
    account = dict(books.account)
    received, in_flight = account.pop("in"), account["in_flight"]
    if received != sum(account.values()):
        yield Violation(
            "books unbalanced", f"in {received}, accounted for {sum(account.values())}: {account}"
        )
    if in_flight:
        yield Violation("books left open", f"{in_flight} records in flight at the end")
    judged = received - account["replayed"] - account["returned"]
    if books.moved is not None and judged != books.moved:
        yield Violation(
            "judged is not committed",
            f"judged {judged} records, the commits moved by {books.moved}",
        )
