"""The way in of a stream: polls out of the mailbox, small ones joined, large batches cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from streamer.event import EventBatch
from streamer.runtime.coalesce import is_plain, joined
from streamer.runtime.mailbox import Mailbox
from streamer.runtime.reader import Arrival

BATCH_ROWS = 4096


def pieces(batch: EventBatch, rows: int) -> Iterator[EventBatch]:
    """The batch in parts of at most `rows` events, in order."""
    if len(batch) <= rows:
        yield batch
        return
    yield from (batch.rows(slice(start, start + rows)) for start in range(0, len(batch), rows))


class Inlet:
    """One arrival at a time, in batches of at most `batch_rows` events. The scoring thread's."""

    def __init__(self, mailbox: Mailbox[Arrival], batch_rows: int = BATCH_ROWS) -> None:
        self.mailbox, self.batch_rows = mailbox, batch_rows
        self.arrival: Arrival | None = None  # being judged
        self._pieces: deque[EventBatch] = deque()  # what is left of it

    @property
    def done(self) -> bool:
        """Everything that will ever come is judged."""
        return self.mailbox.done and self.arrival is None

    @property
    def quiet(self) -> bool:
        """Nothing waits to be judged now."""
        return self.arrival is None and not len(self.mailbox)

    @property
    def unjudged(self) -> int:
        """Records that wait for their judgement, counted one by one."""
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
        """The next batch of the arrival that is being judged; None if none is left."""
        return self._pieces.popleft() if self._pieces else None

    def end(self) -> bool:
        """Be done with the arrival once nothing is left of it; False if something is."""
        if self._pieces:
            return False
        self.arrival = None
        return True

    def _taken(self) -> Arrival | None:
        """What waits longest, joined with what waits behind it as far as one batch holds it."""
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
