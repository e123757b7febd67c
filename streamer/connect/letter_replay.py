"""Dead letters back to where their records came from: what is sent, what is passed over, what the broker confirmed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

from streamer.connect.dead_letters import Headers, Origin, origin, own_headers, why_not_replayed
from streamer.connect.letter_box import LetterBox, Stored, unique
from streamer.errors import StreamerError
from streamer.protocols import Letter

CHUNK = 500  # records on their way at once: so many are repeated at most after an interruption


class Parcel(NamedTuple):
    """A record on its way back."""

    partition: int | None  # None: wherever its key belongs
    key: bytes | None
    value: bytes
    headers: Headers


class Sent(NamedTuple):
    """Which records are in the topic for certain, and why the first of the others is not."""

    confirmed: Sequence[bool]
    problem: str | None


class Sender(Protocol):
    """Sends records and waits for each; its own retries repeat nothing."""

    def send(self, topic: str, parcels: Sequence[Parcel]) -> Sent: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """Which letters go to which topic, in the order in which they lie, and how many are passed over and why."""

    letters: dict[str, list[Letter]]
    skipped: Counter[str]

    @property
    def count(self) -> int:
        return sum(map(len, self.letters.values()))


@dataclass(slots=True)
class Outcome:
    """What became of a plan."""

    sent: Counter[str] = field(default_factory=Counter)  # by topic
    problem: str | None = None


def plan(
    box: LetterBox,
    wanted: Callable[[Stored], bool] = lambda stored: True,
    *,
    to: str | None = None,
    again: bool = False,
    limit: int | None = None,
) -> Plan:
    """Read the box and decide about each of its records, once. `to` is another topic than their own for all of them."""
    found = [stored.letter for stored in unique(filter(wanted, box.letters()))]
    done: set[Origin] = set() if again else box.replayed()
    skipped: Counter[str] = Counter()
    letters: dict[str, list[Letter]] = {}
    for topic, letter in islice(_addressed(found, to, done, skipped), limit):
        letters.setdefault(topic, []).append(letter)
    return Plan(letters, skipped)


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


def carry_out(plan: Plan, box: LetterBox, sender: Sender) -> Outcome:
    """Send, and note what is confirmed, chunk by chunk; the first that fails ends it."""
    outcome = Outcome()
    for topic, letters in plan.letters.items():
        for at in range(0, len(letters), CHUNK):
            try:
                _chunk(topic, letters[at : at + CHUNK], box, sender, outcome)
            except StreamerError as exc:
                outcome.problem = str(exc)
            if outcome.problem is not None:
                return outcome
    return outcome


def _chunk(topic: str, letters: Sequence[Letter], box: LetterBox, sender: Sender, outcome: Outcome) -> None:
    sent = sender.send(topic, [parcel(letter, topic) for letter in letters])
    confirmed = [letter for letter, yes in zip(letters, sent.confirmed, strict=True) if yes]
    outcome.sent[topic] += len(confirmed)
    outcome.problem = sent.problem
    if confirmed:
        box.note(map(origin, confirmed))


def parcel(letter: Letter, topic: str) -> Parcel:
    """The record of a letter as it was; for its own partition where it goes back to its own topic."""
    record, lease = letter.record, letter.record.lease
    partition = lease.partition if lease is not None and lease.topic == topic else None
    return Parcel(partition, record.key, record.raw, own_headers(letter))
