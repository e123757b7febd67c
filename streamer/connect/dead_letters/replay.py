"""Replay of dead letters: what is sent, skipped and confirmed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

from streamer.connect.dead_letters.inbox import LetterBox, Stored, unique
from streamer.connect.dead_letters.letter import (
    Headers,
    Origin,
    origin,
    own_headers,
    why_not_replayed,
)
from streamer.errors import StreamerError
from streamer.protocols import Letter

CHUNK = 500  # records in flight at once; at most these are repeated after an interruption


class Parcel(NamedTuple):
    """A record to be sent again."""

    partition: int | None  # None: chosen by its key
    key: bytes | None
    value: bytes
    headers: Headers
    timestamp_ms: int | None = None  # None: the time of sending


class Sent(NamedTuple):
    """Which records are confirmed by the broker, and why the first of the others is not."""

    confirmed: Sequence[bool]
    problem: str | None


class Sender(Protocol):
    """Sends records and waits for each; its retries create no duplicates."""

    def send(self, topic: str, parcels: Sequence[Parcel]) -> Sent: ...


@dataclass(frozen=True, slots=True)
class LetterReplayPlan:
    """Letters to send by topic, in stored order, and counts of skipped ones by reason."""

    letters: dict[str, list[Letter]]
    skipped: Counter[str]

    @property
    def count(self) -> int:
        return sum(map(len, self.letters.values()))


@dataclass(slots=True)
class LettersReplayed:
    """The result of a plan."""

    sent: Counter[str] = field(default_factory=Counter)  # by topic
    problem: str | None = None


def plan(
    box: LetterBox,
    wanted: Callable[[Stored], bool] = lambda stored: True,
    *,
    to: str | None = None,
    again: bool = False,
    limit: int | None = None,
) -> LetterReplayPlan:
    """Read the box and decide about each record once.

    `to` overrides the topic of all of them.
    """
    found = [stored.letter for stored in unique(filter(wanted, box.letters()))]
    done: set[Origin] = set() if again else box.replayed()
    skipped: Counter[str] = Counter()
    letters: dict[str, list[Letter]] = {}
    for topic, letter in islice(_addressed(found, to, done, skipped), limit):
        letters.setdefault(topic, []).append(letter)
    return LetterReplayPlan(letters, skipped)


def _addressed(
    letters: Iterable[Letter], to: str | None, done: set[Origin], skipped: Counter[str]
) -> Iterator[tuple[str, Letter]]:
    for letter in letters:
        lease = letter.record.lease
        topic = to or (lease.topic if lease is not None else None)
        why = "was sent back before" if origin(letter) in done else why_not_replayed(letter)
        if why is None and topic is not None:
            yield topic, letter
        else:
            skipped[why or "came from no topic: name one with --to"] += 1


def carry_out(
    plan: LetterReplayPlan, box: LetterBox, sender: Sender, dated: Collection[str] = ()
) -> LettersReplayed:
    """Send the letters in chunks and record what is confirmed; stop at the first failure.

    `dated` names the streams whose event time is the record time. Only their records keep their
    time. Others are sent as of now, so that retention does not delete them.
    """
    outcome = LettersReplayed()
    for topic, letters in plan.letters.items():
        for at in range(0, len(letters), CHUNK):
            try:
                chunk = letters[at : at + CHUNK]
                _note(
                    chunk,
                    sender.send(topic, [parcel(each, topic, dated) for each in chunk]),
                    topic,
                    box,
                    outcome,
                )
            except StreamerError as exc:
                outcome.problem = str(exc)
            if outcome.problem is not None:
                return outcome
    return outcome


def _note(
    letters: Sequence[Letter], sent: Sent, topic: str, box: LetterBox, outcome: LettersReplayed
) -> None:
    confirmed = [letter for letter, yes in zip(letters, sent.confirmed, strict=True) if yes]
    outcome.sent[topic] += len(confirmed)
    outcome.problem = sent.problem
    if confirmed:
        box.note(map(origin, confirmed))


def parcel(letter: Letter, topic: str, dated: Collection[str] = ()) -> Parcel:
    """Return the record of a letter as it was.

    It keeps its partition if it returns to its own topic.
    """
    record, lease = letter.record, letter.record.lease
    partition = lease.partition if lease is not None and lease.topic == topic else None
    timestamp_ms = record.timestamp_ms if letter.stream in dated else None
    return Parcel(partition, record.key, record.raw, own_headers(letter), timestamp_ms)
