"""A limit in time for calls that have none of their own: name look-ups, a server that answers drop
by drop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

T = TypeVar("T")


def within(timeout_s: float, work: Callable[[], T]) -> T:
    """What `work` returns or raises; TimeoutError after `timeout_s`, the work going on by itself to
    no effect.
    """
    return together(timeout_s, [work])[0]()


def together(timeout_s: float, works: Sequence[Callable[[], T]]) -> list[Callable[[], T]]:
    """Start all at once and wait at most `timeout_s`; each answer, when called, returns or raises
    what its work did.
    """
    answers: list[Callable[[], T]] = [_late(timeout_s)] * len(works)
    done = [threading.Event() for _ in works]

    def run(index: int) -> None:
        answers[index] = _answer(works[index])
        done[index].set()

    threads = [
        threading.Thread(target=run, args=(i,), name="bounded-call", daemon=True)
        for i in range(len(works))
    ]
    for thread in threads:
        thread.start()
    _wait(done, timeout_s)
    return list(answers)


def _wait(done: Sequence[threading.Event], timeout_s: float) -> None:
    end_s = time.monotonic() + timeout_s
    for event in done:
        event.wait(max(0.0, end_s - time.monotonic()))


def _answer(work: Callable[[], T]) -> Callable[[], T]:
    try:
        result = work()
    except Exception as exc:  # raised again where the answer is asked for
        return _raiser(exc)
    return lambda: result


def _late(timeout_s: float) -> Callable[[], NoReturn]:
    return _raiser(TimeoutError(f"no answer within {timeout_s:g} s"))


def _raiser(exc: Exception) -> Callable[[], NoReturn]:
    def again() -> NoReturn:
        raise exc

    return again
