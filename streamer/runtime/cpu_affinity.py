"""On which processor cores this process runs, and how a child that it starts gets away from them.

Reader, scorer and the client's threads take turns at one interpreter: on one core they find the
caches warm.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager

from streamer.errors import ConfigError

PATH = "runtime.cores"
# where the process might run before it was bound; empty: it never was
_before: Set[int] = frozenset()


def bind(cores: Sequence[int]) -> None:
    """Keep this thread, and all that it starts from now on, on these cores; none named: on all as
    before.

    ConfigError where a core is not there, or where the system offers no choice.
    """
    global _before  # noqa: PLW0603 - as the affinity itself, it is the process's own
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
    """What this thread starts meanwhile runs wherever the process might before it was bound."""
    if not _before:
        yield
        return
    bound = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, bound)
