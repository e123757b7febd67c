"""Sections of a Redis with a prefix of their own, and how long a refused call takes."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable

import pytest

from streamer.config import RedisStore as Section
from streamer.errors import StoreError

LONGEST_S = (
    0.75  # of one call while Redis hangs: two answers of 0.25 s that do not come, on a busy machine
)
_numbers = itertools.count(1)


def section(url: str, **chosen: object) -> Section:
    return Section.model_validate(
        {"kind": "redis", "url": url, "prefix": f"it-{os.getpid()}-{next(_numbers)}"} | chosen
    )


def refused(use: Callable[[], object]) -> tuple[str, float]:
    """What a call that must fail says, and how many seconds it takes."""
    started = time.monotonic()
    with pytest.raises(StoreError) as caught:
        use()
    return str(caught.value), time.monotonic() - started
