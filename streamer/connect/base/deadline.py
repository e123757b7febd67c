"""Time limits for calls that have none of their own, such as name look-ups or slow servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

T = TypeVar("T")


def within(timeout_s: float, work: Callable[[], T]) -> T:
    """Return or raise what `work` does; TimeoutError after `timeout_s`.

    After a timeout the call continues in its thread and its result is dropped.
    """
    return together(timeout_s, [work])[0]()


def together(timeout_s: float, works: Sequence[Callable[[], T]]) -> list[Callable[[], T]]:
    """Start all calls at once and wait at most `timeout_s` for them.

    Each returned function returns or raises what its call did.
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
    except Exception as exc:  # raised again by the returned function
        return _raiser(exc)
    return lambda: result


def _late(timeout_s: float) -> Callable[[], NoReturn]:
    return _raiser(TimeoutError(f"no answer within {timeout_s:g} s"))


def _raiser(exc: Exception) -> Callable[[], NoReturn]:
    def again() -> NoReturn:
        raise exc

    return again
