"""Overrides of the client's fetch and coordinator check: two thread changes less per poll.

The client sends requests on its own thread, returns, and goes there again to wait for the answer.
If nothing is buffered, as in a live stream, the override does both in one call. It also skips the
call that only finds the coordinator known. Both calls took 0.6 and 0.2 of 2.5 ms per poll beside a
busy scorer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import MethodType
from typing import Any


def install(consumer: Any) -> None:
    """Patch a KafkaConsumer of the supported version."""
    consumer._fetcher.fetch_records = MethodType(_fetch_records, consumer._fetcher)
    coordinator = consumer._coordinator
    coordinator.ensure_coordinator_ready = partial(
        _ready, coordinator, coordinator.ensure_coordinator_ready
    )


def _ready(coordinator: Any, ask: Callable[..., bool], timeout_ms: float | None = None) -> bool:
    """Whether the group's coordinator is known.

    Uses the client's thread only if it is unknown or disconnected.
    """
    known = coordinator.coordinator_id
    return (known is not None and not coordinator._client.is_disconnected(known)) or ask(timeout_ms)


def _fetch_records(
    fetcher: Any,
    max_records: int | None = None,
    update_offsets: bool = True,
    timeout_ms: float | None = None,
) -> tuple[Any, bool]:
    """Same result as the client's: records, and whether there was nothing to wait for."""
    records, more = fetcher.fetched_records(max_records, update_offsets=update_offsets)
    if records:
        if not more:
            fetcher.send_fetches()
        return records, False
    if not fetcher._net.run(asked, fetcher, more, timeout_ms):
        return records, True
    return fetcher.fetched_records(max_records, update_offsets=update_offsets)[0], False


async def asked(fetcher: Any, more: bool, timeout_ms: float | None) -> bool:
    """Send pending requests and wait for any answer; False if none will come.

    Runs on the client's thread. With `more`, something is buffered and nothing is requested. An
    answer may have arrived since the last check, so nothing is in flight. The client took that for
    nothing to wait for, and slept 0.1 s about once a minute.
    """
    from kafka.errors import KafkaTimeoutError
    from kafka.future import Future

    if not more:
        await fetcher._send_fetches_async()
    resetting = fetcher._reset_task
    awaited = [
        *fetcher._fetch_futures,
        *([resetting] if resetting is not None and not resetting.is_done else []),
    ]
    if not awaited:
        return bool(fetcher._completed_fetches)
    answered = Future()

    def wake(_: object) -> None:
        if not answered.is_done:
            answered.success(None)

    for future in awaited:
        future.add_both(wake)
    with suppress(KafkaTimeoutError):
        await fetcher._manager.wait_for(answered, timeout_ms)
    return True
