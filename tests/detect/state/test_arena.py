"""Slots, blocks and waves: which entity lives where, and in which order its events are judged."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamer.detect.state.arena import Block, Slots, select, waves

NAMES = st.lists(st.sampled_from("abcdefgh"), max_size=60)


def one_by_one(log: Sequence[str], capacity: int) -> tuple[list[str], list[str]]:
    """The plain model: (who stays, least recently seen first; who was evicted, in order)."""
    seen: OrderedDict[str, None] = OrderedDict()
    gone = []
    for name in log:
        if name not in seen and len(seen) == capacity:
            gone.append(seen.popitem(last=False)[0])
        seen[name] = None
        seen.move_to_end(name)
    return list(seen), gone


def feed(slots: Slots, log: Sequence[str]) -> list[str]:
    """One batch as the detector hands it over: distinct names, cut where no room is left; who was
    evicted.
    """
    gone: list[str] = []
    start = 0
    while start < len(log):
        rest = log[start:]
        names = list(dict.fromkeys(rest))
        placed, _, evicted = slots.assign(names)
        gone += [name for name, _ in evicted]
        end = len(rest) if len(placed) == len(names) else rest.index(names[len(placed)])
        last = dict(sorted((name, at) for at, name in enumerate(rest[:end])))
        slots.touch(sorted(last, key=lambda name: last[name]))
        start += end
    return gone


@given(NAMES, st.integers(1, 6), st.lists(st.integers(1, 20), min_size=1, max_size=4))
def test_the_least_recently_seen_is_evicted_however_the_log_is_cut(
    log: list[str], room: int, cuts: list[int]
) -> None:
    slots, gone, start, turn = Slots(room), list[str](), 0, 0
    while start < len(log):
        end = start + cuts[turn % len(cuts)]
        gone += feed(slots, log[start:end])
        start, turn = end, turn + 1
    assert ([name for name, _ in slots.items()], gone) == one_by_one(log, room)
    assert slots.evicted == len(gone)


@given(NAMES, st.integers(1, 6))
def test_no_two_names_share_a_slot_and_every_slot_knows_its_name(log: list[str], room: int) -> None:
    slots = Slots(room)
    feed(slots, log)
    taken = [slot for _, slot in slots.items()]
    assert len(set(taken)) == len(taken) == len(slots) <= room
    assert all(0 <= slot < room and slots.names[slot] == name for name, slot in slots.items())


def test_a_new_name_takes_the_slot_of_the_evicted_and_is_fresh() -> None:
    slots = Slots(2)
    assert slots.assign(["a", "b"]) == ([0, 1], [0, 1], [])
    assert slots.assign(["b", "c"]) == ([1, 0], [0], [("a", 0)])


def test_assignment_stops_before_it_would_evict_its_own() -> None:
    slots = Slots(2)
    placed, _, gone = slots.assign(["a", "b", "c"])
    assert (len(placed), gone) == (2, [])


@given(st.lists(st.integers(0, 5), max_size=50))
def test_wave_k_holds_the_kth_event_of_every_entity_in_log_order(slots: list[int]) -> None:
    found = waves(np.array(slots, np.int64), np.zeros(len(slots), np.int64))
    rank = [slots[:at].count(slot) for at, slot in enumerate(slots)]
    assert [wave.tolist() for wave in found if len(wave)] == [
        [at for at, r in enumerate(rank) if r == k] for k in range(max(rank, default=-1) + 1)
    ]


@given(
    st.lists(st.integers(0, 5), max_size=50), st.lists(st.integers(0, 130), min_size=6, max_size=6)
)
def test_waves_name_each_row_once_no_entity_twice_and_keep_its_order(
    slots: list[int], left: list[int]
) -> None:
    at = np.array(slots, np.int64)
    found = waves(at, np.array(left)[at])
    rows = [int(row) for wave in found for row in wave]
    assert sorted(rows) == list(range(len(slots)))
    for wave in found:
        assert max(Counter(slots[row] for row in wave).values(), default=1) == 1
    for slot in set(slots):
        own = [row for row in rows if slots[row] == slot]
        assert own == sorted(own)


def test_entities_that_are_anchored_soon_after_each_other_are_anchored_together() -> None:
    slots = np.tile([0, 1, 2], 9)
    found = waves(slots, np.array([4, 5, 6])[slots])
    before = [
        np.bincount(slots[np.concatenate(found[:k])], minlength=3).tolist()
        for k in range(1, len(found))
    ]
    assert [4, 5, 6] in before


@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.lists(st.integers(0, 6), min_size=1, max_size=5, unique=True),
)
def test_a_block_gives_back_what_was_scattered(rows: int, channels: int, slots: list[int]) -> None:
    block, at = Block(7, rows, channels), np.array(slots)
    written = (
        np.arange(rows * len(slots) * channels, dtype=np.float32).reshape(
            rows, len(slots), channels
        )
        + 1
    )
    block.scatter(at, written)
    assert np.array_equal(block.gather(at), written)
    untouched = np.setdiff1d(np.arange(7), at)
    assert not block.gather(untouched).any()


def test_a_block_takes_rows_one_by_one_too_and_gathers_copies() -> None:
    block, at = Block(3, 2, 2), np.array([2, 0])
    first, second = np.ones((2, 2), np.float32), np.full((2, 2), 2, np.float32)
    block.scatter(at, [first, second])
    block.gather(at)[:] = 9
    assert np.array_equal(block.gather(at), np.stack([first, second]))


def test_a_reset_block_is_zero_at_these_slots_only() -> None:
    block = Block(3, 2, 1)
    block.scatter(np.arange(3), np.ones((2, 3, 1), np.float32))
    block.reset(np.array([1]))
    assert block.array.sum(axis=1).tolist() == [2, 0, 2]
    assert block.nbytes == 3 * 2 * 4


def test_select_keeps_the_masked_rows_of_every_array() -> None:
    a, b = np.arange(3), np.arange(6).reshape(3, 2)
    kept = select(np.array([True, False, True]), a, b)
    assert [x.tolist() for x in kept] == [[0, 2], [[0, 1], [4, 5]]]
    assert select(np.ones(3, np.bool_), a)[0] is a
