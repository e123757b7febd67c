"""What members share through Redis beside snapshots: a lock whose late holders can do no harm, and models."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from streamer.config import RedisStore as Section
from streamer.connect.redis import RedisStore
from streamer.connect.redis.lock import Held, Lock
from streamer.connect.redis.models import Models
from streamer.connect.redis.notices import ModelNotices
from streamer.errors import CorruptBundle, StoreError
from tests.integration.redises import LONGEST_S, refused, section
from tests.servers.redis_server import RedisServer, RunningRedis

pytestmark = pytest.mark.needs_redis


@pytest.fixture
def shared(redis_server: RedisServer | RunningRedis) -> Section:
    """A prefix of its own in the Redis of the session."""
    return section(redis_server.url)


@pytest.fixture
def raw(redis_server: RedisServer | RunningRedis) -> Iterator[Redis]:
    """The client's own view."""
    with Redis.from_url(redis_server.url) as client:
        yield client


# -- the lock ---------------------------------------------------------------------------------------------------------
def taken(lock: Lock) -> Held:
    held = lock.acquire()
    assert held is not None
    return held


def test_one_of_many_gets_the_lock(shared: Section) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: Lock(shared, "train", ttl_s=30).acquire(), range(8)))
    assert sum(held is not None for held in found) == 1


def test_a_lock_that_was_released_or_expired_has_a_larger_fence_next(shared: Section) -> None:
    lock, fences = Lock(shared, "train", ttl_s=0.05), []
    for number in range(4):
        held = taken(lock)
        fences.append(held.fence)
        if number % 2:
            assert lock.release(held)
        else:
            time.sleep(0.1)
    assert fences == [1, 2, 3, 4]


def test_who_was_overtaken_can_neither_extend_nor_release_nor_write(shared: Section) -> None:
    lock, store = Lock(shared, "train", ttl_s=0.05), RedisStore(shared)
    late = taken(lock)
    time.sleep(0.1)
    lock = Lock(shared, "train", ttl_s=30)
    now = taken(lock)
    assert not lock.extend(late)
    assert not lock.release(late)
    with pytest.raises(StoreError, match=r"newer holder than 1"):
        lock.write(late, "result", b"late")
    lock.write(now, "result", b"in time")
    with pytest.raises(StoreError, match=r"newer holder than 1"):
        lock.write(late, "result", b"later still")
    assert store.get("result") == b"in time"
    assert lock.acquire() is None


def test_who_extends_in_time_keeps_it(shared: Section) -> None:
    lock = Lock(shared, "train", ttl_s=0.5)
    held = taken(lock)
    for _ in range(4):
        time.sleep(0.2)
        assert lock.extend(held)
    assert lock.acquire() is None


def test_a_lock_is_not_among_the_blobs(shared: Section) -> None:
    taken(Lock(shared, "train", ttl_s=30))
    assert RedisStore(shared).names() == []


# -- models -----------------------------------------------------------------------------------------------------------
PARTS = {"manifest.json": b"{}", "weights.npz": b"w" * 2_000_000}


def test_a_published_model_is_fetched_whole(shared: Section) -> None:
    models = Models(shared)
    models.publish("v1", PARTS)
    models.publish("v1", PARTS)
    assert Models(shared).fetch("v1") == PARTS
    assert models.versions() == ["v1"]


def test_a_version_never_changes(shared: Section) -> None:
    models = Models(shared)
    models.publish("v1", PARTS)
    with pytest.raises(StoreError, match="another one of that version"):
        models.publish("v1", PARTS | {"manifest.json": b"[]"})
    assert models.fetch("v1") == PARTS


def test_a_model_without_its_contents_is_not_there(shared: Section) -> None:
    RedisStore(shared).put("models/v1/weights.npz", b"half")
    models = Models(shared)
    assert models.versions() == []
    with pytest.raises(StoreError, match="never published"):
        models.fetch("v1")
    with pytest.raises(StoreError, match="never published"):
        models.point("champion", "v1", expected=None)


@pytest.mark.parametrize("damage", [b"altered", None])
def test_an_altered_or_missing_part_is_refused(shared: Section, damage: bytes | None) -> None:
    models, store = Models(shared), RedisStore(shared)
    models.publish("v1", PARTS)
    store.delete("models/v1/weights.npz")
    if damage:
        store.put("models/v1/weights.npz", damage)
    with pytest.raises(CorruptBundle, match=r"weights.npz"):
        models.fetch("v1")


def test_of_many_who_move_an_alias_from_the_same_place_one_succeeds(shared: Section) -> None:
    versions = [f"v{number}" for number in range(8)]
    for version in versions:
        Models(shared).publish(version, {"manifest.json": version.encode()})
    with ThreadPoolExecutor(8) as pool:
        moved = list(pool.map(lambda v: Models(shared).point("champion", v, expected=None), versions))
    assert sum(moved) == 1
    assert Models(shared).alias("champion") == versions[moved.index(True)]


def test_a_move_that_is_repeated_after_a_lost_answer_still_succeeds(shared: Section, raw: Redis) -> None:
    models = Models(shared)
    models.publish("v1", PARTS)
    assert models.point("champion", "v1", expected=None)
    assert models.point("champion", "v1", expected=None)
    assert raw.xlen(models.notices("champion")) == 1


def test_a_notice_wakes_who_waits(shared: Section) -> None:
    models, notices = Models(shared), ModelNotices(shared, "champion")
    models.publish("v1", PARTS)
    assert notices.wait(0.05) is None
    timer = threading.Timer(0.3, lambda: models.point("champion", "v1", expected=None))
    timer.start()
    started = time.monotonic()
    assert notices.wait(2.0) == "v1"
    assert time.monotonic() - started < 1.5
    assert notices.wait(0.05) is None
    timer.join()


def test_a_notice_that_was_lost_is_made_good_by_looking(shared: Section, raw: Redis) -> None:
    models, notices = Models(shared), ModelNotices(shared, "champion", seen="v0")
    models.publish("v1", PARTS)
    models.point("champion", "v1", expected=None)
    raw.delete(models.notices("champion"))
    assert notices.wait(0.05) == "v1"


def test_waiting_for_a_redis_that_hangs_ends(redis_alone: RedisServer) -> None:
    notices = ModelNotices(section(redis_alone.url), "champion")
    assert notices.wait(0.05) is None
    redis_alone.pause()
    try:
        assert refused(lambda: notices.wait(2.0))[1] < LONGEST_S
    finally:
        redis_alone.resume()
