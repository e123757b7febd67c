"""Cores to stay on: the threads stay, what runs beside them gets away, and what is not there is
said.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamer.errors import ConfigError
from streamer.runtime import cpu_affinity

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen on this system"
)
ASKED = "import os; print(sorted(os.sched_getaffinity(0)))"


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
    """One of its own: an affinity is a thread's."""
    monkeypatch.setattr(cpu_affinity, "_before", frozenset())
    with ThreadPoolExecutor(1) as pool:
        yield pool


def mine() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def child() -> str:
    return subprocess.run(
        [sys.executable, "-c", ASKED], capture_output=True, text=True, check=True
    ).stdout.strip()


def child_unbound() -> str:
    with cpu_affinity.unbound():
        return child()


def test_a_bound_thread_and_its_children_stay_and_unbound_ones_have_all_again(
    thread: ThreadPoolExecutor,
) -> None:
    everywhere = mine()
    thread.submit(cpu_affinity.bind, [everywhere[-1]]).result()
    assert thread.submit(mine).result() == everywhere[-1:]
    assert thread.submit(child).result() == str(everywhere[-1:])
    assert thread.submit(child_unbound).result() == str(everywhere)
    assert thread.submit(mine).result() == everywhere[-1:]


def test_with_none_named_nothing_is_bound(thread: ThreadPoolExecutor) -> None:
    everywhere = mine()
    thread.submit(cpu_affinity.bind, []).result()
    assert thread.submit(mine).result() == everywhere
    assert thread.submit(child_unbound).result() == str(everywhere)


def test_a_core_that_is_not_there_is_named_with_those_that_are(thread: ThreadPoolExecutor) -> None:
    with pytest.raises(
        ConfigError, match=r"runtime\.cores: this process may run on cores \[.*got \[4000\]"
    ):
        thread.submit(cpu_affinity.bind, [mine()[0], 4000]).result()
    assert thread.submit(mine).result() == mine()
