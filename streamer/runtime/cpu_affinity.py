"""The processor cores of this process, and of the children that it starts.

Reader, scorer and client threads take turns at one interpreter. On one core their data stay in its
cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager

from streamer.errors import ConfigError

PATH = "runtime.cores"
# cores allowed before `bind` was called; empty if it was not called
_before: Set[int] = frozenset()


def bind(cores: Sequence[int]) -> None:
    """Pin this thread, and all threads it starts later, to these cores.

    An empty sequence changes nothing. ConfigError if a core is not available, or if the system does
    not support affinity.
    """
    global _before  # noqa: PLW0603 - the affinity is global to the process too
    if not cores:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError(
            PATH, "this system does not let a process choose its cores; leave it away", list(cores)
        )
    ours = os.sched_getaffinity(0)
    if missing := sorted(set(cores) - ours):
        raise ConfigError(PATH, f"this process may run on cores {sorted(ours)}", missing)
    _before = ours
    os.sched_setaffinity(0, cores)


@contextmanager
def unbound() -> Iterator[None]:
    """Restore the original cores for threads and processes started inside the block."""
    if not _before:
        yield
        return
    bound = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, bound)
