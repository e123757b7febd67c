"""What members share through Redis beside snapshots: a lock whose late holders can do no harm, and
models.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest
from redis import Redis

from streamer.config import RedisStore as Section
from streamer.connect.storage.redis_lock import HeldLock, Lock
from streamer.connect.storage.redis_models import UNFINISHED_S, Models
from streamer.connect.storage.redis_registry import KEPT_COPIES, RedisRegistry
from streamer.connect.storage.redis_store import RedisStore
from streamer.errors import CorruptBundle, ModelError, SchemaMismatch, StoreError
from tests.bundles import a_bundle, sha256
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


# -- the lock
def taken(lock: Lock) -> HeldLock:
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


# -- models: what the contract of registries does not see
@pytest.fixture
def registry(shared: Section, tmp_path: Path) -> Iterator[RedisRegistry]:
    """With the versions v1 and v2, v1 champion."""
    with closing(RedisRegistry(shared, cache=tmp_path / "cache")) as opened:
        for i in (1, 2):
            opened.publish(a_bundle(tmp_path / f"b{i}", f"v{i}", seed=i))
        opened.move({"champion": "v1"})
        yield opened


def test_models_are_not_among_the_blobs(registry: RedisRegistry, shared: Section) -> None:
    assert RedisStore(shared).names() == []


def test_keys_of_others_are_passed_by(registry: RedisRegistry, shared: Section, raw: Redis) -> None:
    raw.set(f"{shared.prefix}!model/v9/token/manifest.json", b"{}")
    raw.set(f"{shared.prefix}:models/v9/contents.json", b"{}")
    assert list(registry.versions()) == ["v1", "v2"]
    with pytest.raises(ModelError, match="no version 'v9'"):
        registry.path("v9")


@pytest.mark.parametrize(
    ("entry", "error", "says"),
    [
        (b"no json", CorruptBundle, "its entry in Redis cannot be read"),
        (b'{"format": "streamer.registry/1"}', CorruptBundle, "its entry in Redis cannot be read"),
        (
            b'{"format": "streamer.registry/2"}',
            SchemaMismatch,
            "a newer streamer wrote it: upgrade this one",
        ),
    ],
)
def test_an_entry_that_cannot_be_read_hides_no_other(
    registry: RedisRegistry,
    shared: Section,
    raw: Redis,
    entry: bytes,
    error: type[Exception],
    says: str,
) -> None:
    raw.hset(f"{shared.prefix}!models", "v3", entry)
    assert list(registry.versions()) == ["v3", "v1", "v2"]
    with pytest.raises(error, match=says):
        registry.path("v3")
    registry.path("v1")


def test_an_entry_that_cannot_be_read_is_made_good_by_publishing_again_or_removed(
    registry: RedisRegistry, shared: Section, raw: Redis, tmp_path: Path
) -> None:
    for version in ("v1", "v2"):
        raw.hset(f"{shared.prefix}!models", version, b"no json")
    registry.publish(tmp_path / "b1")
    assert sha256(registry.path("champion")) == sha256(tmp_path / "b1")
    registry.remove("v2")
    assert list(registry.versions()) == ["v1"]


def test_only_what_a_newer_version_wrote_is_left_as_it_is(
    registry: RedisRegistry, shared: Section, raw: Redis, tmp_path: Path
) -> None:
    entry = b'{"format": "streamer.registry/2"}'
    raw.hset(f"{shared.prefix}!models", "v1", entry)
    with pytest.raises(SchemaMismatch, match="a newer streamer wrote it"):
        registry.publish(tmp_path / "b1")
    registry.move({"champion": "v2"})
    with pytest.raises(SchemaMismatch, match="a newer streamer wrote it"):
        registry.remove("v1")
    assert raw.hget(f"{shared.prefix}!models", "v1") == entry


def test_a_damaged_version_that_is_published_again_leaves_no_old_parts(
    registry: RedisRegistry, shared: Section, raw: Redis, tmp_path: Path
) -> None:
    (damaged,) = raw.keys(f"{shared.prefix}!model/v2/*/manifest.json")
    raw.delete(damaged)
    with pytest.raises(StoreError, match="another model of that version is damaged"):
        registry.publish(a_bundle(tmp_path / "other", "v2", seed=9))
    registry.publish(tmp_path / "b2")
    parts = list(raw.keys(f"{shared.prefix}!model/v2/*"))
    assert len(parts) == 4 and {raw.ttl(key) for key in parts} == {-1}
    assert damaged not in parts


def test_a_key_of_another_kind_is_an_error_in_words(
    registry: RedisRegistry, shared: Section, raw: Redis
) -> None:
    raw.delete(f"{shared.prefix}!models")
    raw.set(f"{shared.prefix}!models", b"theirs")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        registry.versions()


def test_an_upload_that_never_ends_expires(shared: Section, raw: Redis) -> None:
    Models(shared)._upload(f"{shared.prefix}!model/v1/token/weights.npz", b"w" * 2_000_000)
    assert 0 < raw.ttl(f"{shared.prefix}!model/v1/token/weights.npz") <= UNFINISHED_S


def test_what_is_published_stays_and_what_is_removed_leaves_nothing(
    registry: RedisRegistry, shared: Section, raw: Redis
) -> None:
    parts = list(raw.keys(f"{shared.prefix}!model/v2/*"))
    assert len(parts) == 4 and {raw.ttl(key) for key in parts} == {-1}
    registry.remove("v2")
    assert not raw.keys(f"{shared.prefix}!model/v2/*")


def test_of_many_who_publish_the_same_version_one_is_taken_whole(
    shared: Section, raw: Redis, tmp_path: Path
) -> None:
    bundles = [a_bundle(tmp_path / f"b{seed}", "v1", seed=seed, size=200_000) for seed in range(4)]

    def attempt(bundle: Path) -> bool:
        with suppress(StoreError):
            return bool(RedisRegistry(shared, cache=tmp_path / "cache").publish(bundle))
        return False

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(attempt, bundles))
    assert sum(taken) == 1
    found = RedisRegistry(shared, cache=tmp_path / "fresh").path("v1")
    assert sha256(found) == sha256(bundles[taken.index(True)])
    assert len(raw.keys(f"{shared.prefix}!model/*")) == 4


# -- the copy on this machine
def test_a_copy_that_was_altered_is_fetched_again(registry: RedisRegistry, tmp_path: Path) -> None:
    copy = registry.path("v1")
    (copy / "weights.npz").write_bytes(b"altered")
    assert sha256(registry.path("v1")) == sha256(tmp_path / "b1")


def test_old_copies_go(registry: RedisRegistry, tmp_path: Path) -> None:
    for i in range(KEPT_COPIES + 3):
        registry.publish(a_bundle(tmp_path / f"c{i}", f"c{i}"))
        registry.path(f"c{i}")
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == KEPT_COPIES


def test_while_redis_is_away_the_champion_of_before_is_found_and_nothing_else(
    redis_alone: RedisServer, tmp_path: Path
) -> None:
    here = section(redis_alone.url)
    with closing(RedisRegistry(here, cache=tmp_path / "cache")) as registry:
        registry.publish(a_bundle(tmp_path / "b", "v1"))
        registry.move({"champion": "v1"})
        known = registry.path("champion")
    redis_alone.pause()
    try:
        with closing(RedisRegistry(here, cache=tmp_path / "cache")) as late:
            assert late.path("champion") == known
            with pytest.raises(StoreError):
                late.path("challenger")
            with pytest.raises(StoreError):
                late.move({"champion": None})
    finally:
        redis_alone.resume()


# -- notices
def test_a_notice_that_was_lost_is_made_good_by_looking(
    registry: RedisRegistry, shared: Section, raw: Redis
) -> None:
    raw.delete(f"{shared.prefix}!moves")
    assert registry.wait({"champion": "v0"}, 5.0) == {"champion": "v1"}


def test_waiting_for_a_redis_that_hangs_ends(redis_alone: RedisServer, tmp_path: Path) -> None:
    with closing(RedisRegistry(section(redis_alone.url), cache=tmp_path)) as registry:
        assert registry.wait({}, 0.05) is None
        redis_alone.pause()
        try:
            assert refused(lambda: registry.wait({}, 2.0))[1] < 2 * LONGEST_S + 2.0
        finally:
            redis_alone.resume()
