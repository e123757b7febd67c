"""Two changes of threads a poll less: overrides of how the client's private parts ask for records
and wait.

The client asks on its own thread, comes back, and goes there again to wait for the answer. Where
nothing is buffered, as in a stream read as it comes, both are one visit; and nobody is sent there
just to find the coordinator known. These two visits took 0.6 and 0.2 of 2.5 ms a poll beside a busy
scorer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import MethodType
from typing import Any


def install(consumer: Any) -> None:
    """Let a KafkaConsumer of the version that this was written for ask and wait at once."""
    consumer._fetcher.fetch_records = MethodType(_fetch_records, consumer._fetcher)
    coordinator = consumer._coordinator
    coordinator.ensure_coordinator_ready = partial(
        _ready, coordinator, coordinator.ensure_coordinator_ready
    )


def _ready(coordinator: Any, ask: Callable[..., bool], timeout_ms: float | None = None) -> bool:
    """Whether the group's coordinator is known: on the client's thread only where it is not, or
    went away.
    """
    known = coordinator.coordinator_id
    return (known is not None and not coordinator._client.is_disconnected(known)) or ask(timeout_ms)


def _fetch_records(
    fetcher: Any,
    max_records: int | None = None,
    update_offsets: bool = True,
    timeout_ms: float | None = None,
) -> tuple[Any, bool]:
    """As the client's own: records, and whether there was nothing to wait for."""
    records, more = fetcher.fetched_records(max_records, update_offsets=update_offsets)
    if records:
        if not more:
            fetcher.send_fetches()
        return records, False
    if not fetcher._net.run(asked, fetcher, more, timeout_ms):
        return records, True
    return fetcher.fetched_records(max_records, update_offsets=update_offsets)[0], False


async def asked(fetcher: Any, more: bool, timeout_ms: float | None) -> bool:
    """On the client's thread: send what is to be sent, and wait for any answer; False where there
    will be none.

    `more`: something is buffered, and nothing is asked for. An answer may have come since we
    looked, so that nothing is on its way: the client took that for nothing to wait for, and slept a
    tenth of a second, about once a minute.
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
