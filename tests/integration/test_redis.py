"""A real Redis that is away, hangs, is full or shared: every call is short, and nothing is half
done.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from streamer.config import RedisStore as Section
from streamer.connect.storage.redis_store import RedisStore
from streamer.errors import StoreError
from streamer.event import Lease
from streamer.runtime.snapshot_format import SnapshotStore
from streamer.runtime.snapshot_writer import SnapshotWriter
from tests.integration.redises import LONGEST_S, refused, section
from tests.servers.child import free_port, wait_until
from tests.servers.redis_server import RedisServer, RunningRedis

pytestmark = pytest.mark.needs_redis

PIECES = 3 * 2**20


@pytest.fixture
def shared(redis_server: RedisServer | RunningRedis) -> Section:
    """A prefix of its own in the Redis of the session."""
    return section(redis_server.url)


@pytest.fixture
def raw(redis_server: RedisServer | RunningRedis) -> Iterator[Redis]:
    """The client's own view."""
    with Redis.from_url(redis_server.url) as client:
        yield client


# -- away, hung, full
@pytest.mark.parametrize("blob", [b"small", b"x" * PIECES])
def test_a_redis_that_hangs_is_given_up_soon_and_not_asked_again(
    redis_alone: RedisServer, blob: bytes
) -> None:
    store = RedisStore(section(redis_alone.url))
    store.put("a", b"kept")
    redis_alone.pause()
    try:
        read, write = partial(store.get, "a"), partial(store.put, "a", blob)
        uses: list[Callable[[], object]] = [read, write, store.names, read]
        told = [refused(use) for use in uses]
        assert all(took_s < 2 * LONGEST_S for _, took_s in told)
        assert "does not answer within 0.25 s" in told[0][0]
        assert not store.up
        assert min(refused(read)[1] for _ in range(20)) < 0.01, "the breaker answers"
    finally:
        redis_alone.resume()
    wait_until(lambda: answers(store), timeout_s=5, what="the store to recover")
    assert (store.up, store.problem) == (True, None)
    assert store.get("a") in (b"kept", blob), (
        "what was given up may be done when it wakes, and whole"
    )


def answers(store: RedisStore) -> bool:
    try:
        store.ping()
    except StoreError:
        return False
    return True


def test_a_redis_that_is_away_is_told_at_once_and_found_when_it_is_back(
    redis_alone: RedisServer,
) -> None:
    store = RedisStore(section(redis_alone.url))
    store.ping()
    redis_alone.stop()
    told, took_s = refused(lambda: store.get("a"))
    assert "cannot be reached" in told and "store.url" in told
    assert took_s < LONGEST_S
    redis_alone.start()
    wait_until(lambda: answers(store), timeout_s=5, what="the store to recover")
    assert store.up


def test_a_redis_that_was_started_anew_in_between_is_not_noticed(redis_alone: RedisServer) -> None:
    """Connections of the pool are dead then: each command is tried once more."""
    store = RedisStore(section(redis_alone.url))
    store.put("a", b"x")
    redis_alone.stop()
    redis_alone.start()
    assert store.get("a") is None, "it kept nothing on disk"
    assert store.up


def test_a_start_without_redis_is_possible() -> None:
    store = RedisStore(section(f"redis://127.0.0.1:{free_port()}/0"))
    assert not answers(store)
    assert not store.up


def test_a_full_redis_refuses_writes_answers_reads_and_heals(
    tmp_path: Path, own_redis: None
) -> None:
    server = RedisServer(tmp_path, maxmemory="16mb", maxmemory_policy="noeviction").start()
    try:
        store = RedisStore(section(server.url))
        store.put("a", b"old")
        told, took_s = refused(lambda: store.put("a", b"x" * (32 * 2**20)))
        assert "is full; raise its maxmemory" in told and took_s < 5
        assert (store.get("a"), store.up) == (b"old", False)
        assert store.names() == ["a"]
        store.put("a", b"new")  # what was half written was cleared away
        assert (store.get("a"), store.up) == (b"new", True)
    finally:
        server.close()


def test_the_scorer_never_waits_for_a_store_that_hangs(redis_alone: RedisServer) -> None:
    class Memory:
        def encode(self) -> bytes:
            return b"memory"

    lease, stop = Lease("t", 0), threading.Event()
    snapshot_writer = SnapshotWriter(
        SnapshotStore(RedisStore(section(redis_alone.url)), "s", "g"),
        lambda lease: 10,
        lambda lease: True,
    )
    thread = threading.Thread(target=snapshot_writer.run, args=(stop,), daemon=True)
    redis_alone.pause()
    try:
        thread.start()
        took_s = [
            _timed(lambda: snapshot_writer.offer(lease, 10, "v1", [Memory()])) for _ in range(1000)
        ]
        assert sorted(took_s)[990] < 0.01
        wait_until(
            lambda: snapshot_writer.problem is not None, timeout_s=10, what="the trouble to be told"
        )
    finally:
        redis_alone.resume()
    wait_until(
        lambda: snapshot_writer.waiting == 0, timeout_s=15, what="the snapshot to be written"
    )
    assert snapshot_writer.problem is None
    stop.set()
    thread.join(10)


def _timed(use: Callable[[], object]) -> float:
    started = time.monotonic()
    use()
    return time.monotonic() - started


# -- whole or not at all
WRITER = """
import sys
from streamer.config import RedisStore as Section
from streamer.connect.storage.redis_store import RedisStore
section = Section(kind="redis", url=sys.argv[1], prefix=sys.argv[2])
RedisStore(section).put("a", b"n" * int(sys.argv[3]))
"""


@pytest.mark.parametrize("size", [1000, PIECES])
def test_a_writer_killed_before_the_end_leaves_the_old_one(
    shared: Section, raw: Redis, size: int
) -> None:
    store = RedisStore(shared)
    store.put("a", b"old")
    env = os.environ | {"STREAMER_FAILPOINT": "during_snapshot_put"}
    words = [sys.executable, "-c", WRITER, shared.url, shared.prefix, str(size)]
    assert subprocess.run(words, env=env, check=False).returncode == -signal.SIGKILL
    assert store.get("a") == b"old"
    assert store.names() == ["a"]
    left = raw.keys(f"{shared.prefix}:.*")
    assert all(0 < raw.ttl(key) <= 120 for key in left), "what it left behind goes by itself"
    assert len(left) == (size > 2**20)


def test_a_blob_that_expired_while_it_was_written_is_refused(shared: Section, raw: Redis) -> None:
    """Its later pieces begin a key anew that has a hole and never expires."""
    from streamer.connect.storage.redis_store import FINISH

    beside, place = f"{shared.prefix}:.x", f"{shared.prefix}:a"
    raw.setrange(beside, 10, b"later piece")
    assert raw.eval(FINISH, 2, beside, place, raw.strlen(beside)) == 0
    assert raw.exists(beside, place) == 0


def test_a_blob_beyond_the_limit_is_refused_before_it_is_sent(shared: Section) -> None:
    told, _ = refused(lambda: RedisStore(shared).put("a", bytes(256 * 2**20 + 1)))
    assert "use store.kind files" in told
