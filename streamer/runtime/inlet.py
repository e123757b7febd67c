"""The input of a stream's processor: polls from the mailbox, small ones joined, large ones cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from streamer.event import EventBatch
from streamer.runtime.coalesce import is_plain, joined
from streamer.runtime.mailbox import Mailbox
from streamer.runtime.reader import Arrival

BATCH_ROWS = 4096


def pieces(batch: EventBatch, rows: int) -> Iterator[EventBatch]:
    """Yield the batch in parts of at most `rows` events, in order."""
    if len(batch) <= rows:
        yield batch
        return
    yield from (batch.rows(slice(start, start + rows)) for start in range(0, len(batch), rows))


class Inlet:
    """One arrival at a time, in batches of at most `batch_rows` events.

    Used by the scoring thread only.
    """

    def __init__(self, mailbox: Mailbox[Arrival], batch_rows: int = BATCH_ROWS) -> None:
        self.mailbox, self.batch_rows = mailbox, batch_rows
        self.arrival: Arrival | None = None  # being judged
        self._pieces: deque[EventBatch] = deque()  # batches of the arrival that are not judged yet

    @property
    def done(self) -> bool:
        """Whether the source has ended and everything is judged."""
        return self.mailbox.done and self.arrival is None

    @property
    def quiet(self) -> bool:
        """Whether nothing waits to be judged now."""
        return self.arrival is None and not len(self.mailbox)

    @property
    def unjudged(self) -> int:
        """Number of records that wait to be judged."""
        waiting = sum(arrival.poll.records for arrival in self.mailbox.items())
        return waiting + sum(map(len, self._pieces))

    def begin(self) -> Arrival | None:
        """Take the next arrival and cut its batches; None if nothing waits."""
        arrival = self.arrival = self._taken()
        if arrival is not None:
            self._pieces.extend(
                piece for batch in arrival.poll.batches for piece in pieces(batch, self.batch_rows)
            )
        return arrival

    def next_batch(self) -> EventBatch | None:
        """Return the next batch of the current arrival; None if none is left."""
        return self._pieces.popleft() if self._pieces else None

    def end(self) -> bool:
        """Finish the arrival if all its batches are taken; else return False."""
        if self._pieces:
            return False
        self.arrival = None
        return True

    def _taken(self) -> Arrival | None:
        """Take the oldest arrival, joined with the following ones that fit into one batch."""
        first = self.mailbox.take()
        if first is None or not is_plain(first.poll):
            return first
        polls, rows = [first.poll], first.poll.records
        while (behind := self.mailbox.peek()) is not None and is_plain(behind.poll):
            rows += behind.poll.records
            if rows > self.batch_rows:
                break
            self.mailbox.take()
            polls.append(behind.poll)
        return first if len(polls) == 1 else Arrival(joined(polls), first.at)
