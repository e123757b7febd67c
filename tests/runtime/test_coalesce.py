"""Polls that are joined bring the same events, lease by lease in the order of the log."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamer.event import EventBatch, Lease, Poll
from streamer.runtime.coalesce import is_plain, joined
from tests.runtime.world import rejected

NAMES = st.lists(st.sampled_from(["pump", "fan", "belt"]), min_size=1, max_size=5)
# Of each poll the partitions it brings records of, each with the entities of its records.
POLLS = st.lists(st.dictionaries(st.integers(0, 2), NAMES, max_size=3), min_size=1, max_size=6)


def batch(partition: int, first: int, names: list[str]) -> EventBatch:
    """As decoders make it: a dictionary of its own, in the order of first appearance."""
    keys = tuple(dict.fromkeys(names))
    offset = np.arange(first, first + len(names), dtype=np.int64)
    code = np.array([[keys.index(name)] for name in names], np.int32)
    traces = {first: f"trace-{partition}-{first}"} if first % 2 else None
    values = offset[:, None].astype(np.float32)
    return EventBatch(
        "s", "t", partition, keys, code, offset.astype(np.float64), values, offset, 7, traces
    )


def polls_of(plan: list[dict[int, list[str]]]) -> list[Poll]:
    at = {p: [0, *accumulate(len(poll.get(p, [])) for poll in plan)] for p in range(3)}
    return [
        Poll(tuple(batch(p, at[p][i], names) for p, names in poll.items()))
        for i, poll in enumerate(plan)
    ]


Row = tuple[Lease, int, str, float, float, str | None]


def rows(poll: Poll) -> list[Row]:
    return [
        (
            b.lease,
            int(b.offset[i]),
            b.keys[b.entity[i, 0]],
            float(b.time_s[i]),
            float(b.values[i, 0]),
            (b.traces or {}).get(int(b.offset[i])),
        )
        for b in poll.batches
        for i in range(len(b))
    ]


@given(POLLS)
def test_nothing_is_lost_or_changed_and_every_lease_keeps_its_order(
    plan: list[dict[int, list[str]]],
) -> None:
    polls = polls_of(plan)
    one = joined(polls)
    assert len({b.lease for b in one.batches}) == len(one.batches)
    assert sorted(rows(one), key=lambda row: row[:2]) == sorted(
        (row for poll in polls for row in rows(poll)), key=lambda row: row[:2]
    )
    assert all(
        (np.diff(b.offset) > 0).all() and len(set(b.keys)) == len(b.keys) for b in one.batches
    )


def test_only_a_poll_of_nothing_but_events_is_plain() -> None:
    assert is_plain(Poll((batch(0, 0, ["pump"]),)))
    assert not is_plain(Poll((batch(0, 0, ["pump"]),), (rejected(1),)))
    assert not is_plain(Poll(revoked=(Lease("t", 0),)))
