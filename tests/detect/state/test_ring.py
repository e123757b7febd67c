"""The ring: the recent past of every entity."""

from __future__ import annotations

from collections import deque

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamer.detect.state.ring import Ring

EVENTS = st.lists(
    st.tuples(st.integers(0, 2), st.floats(-1e6, 1e6, width=32), st.floats(0, 1e9)), max_size=40
)


def pushed(ring: Ring, events: list[tuple[int, float, float]]) -> None:
    for offset, (slot, value, time_s) in enumerate(events):
        row = np.array([[value, -value]], np.float32)
        ring.push(np.array([slot]), row, np.array([time_s]), np.array([offset]))


@given(EVENTS, st.integers(1, 5))
def test_a_ring_is_a_bounded_queue_per_slot_in_arrival_order(
    events: list[tuple[int, float, float]], length: int
) -> None:
    ring = Ring(3, length, 2)
    queues = [deque[tuple[float, float, int]](maxlen=length) for _ in range(3)]
    pushed(ring, events)
    for number, (slot, value, time_s) in enumerate(events):
        queues[slot].append((value, time_s, number))
    values, time, offset, exists = ring.last(np.arange(3), length)
    for slot, queue in enumerate(queues):
        rows = exists[slot]
        found = zip(values[slot, rows, 0], time[slot, rows], offset[slot, rows], strict=True)
        assert [(float(v), float(t), int(o)) for v, t, o in found] == list(queue)
        assert np.array_equal(values[slot, rows, 1], -values[slot, rows, 0])


@given(EVENTS)
def test_count_and_newest_time_are_those_of_the_whole_log(
    events: list[tuple[int, float, float]],
) -> None:
    ring = Ring(3, 2, 2)
    pushed(ring, events)
    for slot in range(3):
        times = [time_s for s, _, time_s in events if s == slot]
        assert ring.count[slot] == len(times)
        assert ring.newest_s[slot] == max(times, default=-np.inf)


def test_rows_before_the_start_are_marked_and_stand_first() -> None:
    ring = Ring(1, 4, 2)
    pushed(ring, [(0, 5.0, 1.0), (0, 6.0, 2.0)])
    values, _, _, exists = ring.last(np.array([0]), 3)
    assert exists.tolist() == [[False, True, True]]
    assert values[0, 1:, 0].tolist() == [5.0, 6.0]


def test_the_previous_event_is_the_last_in_log_order_even_if_older() -> None:
    ring = Ring(1, 4, 2)
    assert np.isnan(ring.previous(np.array([0]))[1]).all()
    pushed(ring, [(0, 5.0, 20.0), (0, 6.0, 10.0)])
    values, time_s = ring.previous(np.array([0]))
    assert (values[0, 0], time_s[0]) == (6.0, 10.0)
    assert ring.newest_s[0] == 20.0


def test_a_reset_slot_has_no_past_and_its_neighbour_keeps_its_own() -> None:
    ring = Ring(2, 3, 2)
    pushed(ring, [(0, 1.0, 1.0), (1, 2.0, 2.0)])
    ring.reset(np.array([0]))
    assert ring.last(np.arange(2), 3)[3].sum(axis=1).tolist() == [0, 1]
    assert np.isnan(ring.previous(np.array([0]))[1]).all()


def test_what_is_read_is_a_copy_and_memory_is_known() -> None:
    ring = Ring(2, 3, 2)
    before = ring.nbytes
    pushed(ring, [(0, 1.0, 1.0)] * 50)
    for array in ring.last(np.array([0]), 3):
        array[:] = 0
    assert ring.values[0].any()
    assert ring.nbytes == before
    assert before == 2 * 3 * (2 * 4 + 8 + 8) + 2 * (8 + 8)
