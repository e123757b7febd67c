from __future__ import annotations

import threading
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.runtime.mailbox import Mailbox

moves = st.lists(st.one_of(st.integers(), st.just("take")))


@given(st.integers(1, 5), moves)
def test_a_mailbox_is_a_bounded_queue_in_arrival_order(capacity: int, steps: list[object]) -> None:
    mailbox: Mailbox[object] = Mailbox(capacity)
    queue: deque[object] = deque()
    for step in steps:
        if step == "take":
            assert mailbox.take() == (queue.popleft() if queue else None)
        else:
            accepted = mailbox.offer(step)
            assert accepted == (len(queue) < capacity)
            queue.extend([step] if accepted else [])
        assert len(mailbox) == len(queue) <= capacity


@given(st.integers(1, 5), st.integers(0, 5), st.lists(st.integers()))
def test_finishing_loses_nothing_even_beyond_the_capacity(
    capacity: int, offered: int, leftovers: list[int]
) -> None:
    mailbox: Mailbox[int] = Mailbox(capacity)
    taken_in = [item for item in range(offered) if mailbox.offer(item)]
    mailbox.finish(*leftovers)
    taken = [mailbox.take() for _ in range(len(mailbox))]
    assert taken == taken_in + leftovers
    assert mailbox.done


def test_who_waits_for_room_goes_on_with_the_item_that_makes_it() -> None:
    mailbox: Mailbox[int] = Mailbox(2)
    assert mailbox.offer(1) and mailbox.offer(2)
    waiting = threading.Thread(target=mailbox.wait_low, args=(600.0,), daemon=True)
    waiting.start()
    mailbox.take()
    waiting.join(10.0)
    assert not waiting.is_alive()


def test_the_consumer_is_idle_once_it_asked_in_vain_until_something_is_offered() -> None:
    mailbox: Mailbox[int] = Mailbox(2)
    idle = []
    for step in (mailbox.take, lambda: mailbox.offer(1), mailbox.take, mailbox.take):
        step()
        idle.append(mailbox.wait_idle(0.0))
    assert idle == [True, False, False, True]


def test_nothing_is_offered_after_the_end() -> None:
    mailbox: Mailbox[int] = Mailbox(1)
    mailbox.finish()
    with pytest.raises(ValueError, match="finished"):
        mailbox.offer(1)


def test_a_mailbox_holds_at_least_one_item() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Mailbox(0)


def test_full_and_low_leave_room_between_them() -> None:
    mailbox: Mailbox[int] = Mailbox(4)
    marks = []
    for item in range(4):
        mailbox.offer(item)
        marks.append((mailbox.low, mailbox.full))
    assert marks == [(True, False), (True, False), (False, False), (False, True)]


def test_the_bell_rings_for_every_offer_and_for_the_end() -> None:
    bell = threading.Event()
    mailbox: Mailbox[int] = Mailbox(2, bell)
    mailbox.offer(1)
    assert bell.is_set()
    bell.clear()
    mailbox.finish()
    assert bell.is_set()


def test_two_threads_pass_everything_in_order() -> None:
    mailbox: Mailbox[int] = Mailbox(3)
    taken: list[int] = []

    def consume() -> None:
        while not mailbox.done:
            item = mailbox.take()
            if item is not None:
                taken.append(item)

    consumer = threading.Thread(target=consume)
    consumer.start()
    for item in range(300):
        while not mailbox.offer(item):
            pass
    mailbox.finish()
    consumer.join(20)
    assert taken == list(range(300))
