"""Joins waiting polls into one, because a wave costs 2 ms for five events or for a hundred."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from streamer.event import EventBatch, Lease, Poll


def is_plain(poll: Poll) -> bool:
    """Return whether the poll has only events, so that it may be joined with its neighbours."""
    return not (poll.rejected or poll.revoked or poll.assigned or poll.expired)


def joined(polls: Sequence[Poll]) -> Poll:
    """Join plain polls, oldest first, into one poll with one batch per lease."""
    leases: dict[tuple[str, Lease], list[EventBatch]] = {}
    for batch in chain.from_iterable(poll.batches for poll in polls):
        leases.setdefault((batch.stream, batch.lease), []).append(batch)
    return Poll(tuple(concatenated(batches) for batches in leases.values()))


def concatenated(batches: Sequence[EventBatch]) -> EventBatch:
    """Join batches of one lease, in log order, into one with a common tuple of entity keys."""
    first = batches[0]
    if len(batches) == 1:
        return first
    code: dict[str, int] = {}
    recoded = [
        np.array([code.setdefault(key, len(code)) for key in one.keys], np.int32) for one in batches
    ]
    traces = {offset: trace for one in batches for offset, trace in (one.traces or {}).items()}
    return EventBatch(
        first.stream,
        first.topic,
        first.partition,
        tuple(code),
        np.concatenate([codes[one.entity] for codes, one in zip(recoded, batches, strict=True)]),
        np.concatenate([one.time_s for one in batches]),
        np.concatenate([one.values for one in batches]),
        np.concatenate([one.offset for one in batches]),
        first.epoch,
        traces or None,
    )
