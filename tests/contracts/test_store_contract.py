"""What every Store promises (streamer.protocols): small named blobs, written whole."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer.config import RedisStore as Section
from streamer.connect.memory import MemoryStore
from streamer.connect.storage.files_store import FileStore
from streamer.connect.storage.redis_store import RedisStore
from streamer.errors import StoreError
from streamer.protocols import Store
from tests.servers.redis_server import RedisServer, RunningRedis

_numbers = itertools.count(1)
BIG = 3 * 2**20 + 17  # more than Redis is sent at once

ACTIONS, NAMES = ["put", "get", "delete"], ["a", "a.b", "c/d", "c/e%2F"]

Open = Callable[[], Store]


def redis_section(server: RedisServer | RunningRedis) -> Section:
    """A section with a prefix of its own."""
    return Section(kind="redis", url=server.url, prefix=f"test-{next(_numbers)}")


@pytest.fixture(params=["memory", "files", pytest.param("redis", marks=pytest.mark.needs_redis)])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store, as often as asked."""
    if request.param == "memory":
        only = MemoryStore()
        yield lambda: only
    elif request.param == "files":
        yield lambda: FileStore(tmp_path / "state")
    else:
        section = redis_section(request.getfixturevalue("redis_server"))
        yield lambda: RedisStore(section)


@pytest.fixture
def store(again: Open) -> Store:
    return again()


def test_a_store_is_a_store(store: Store) -> None:
    assert isinstance(store, Store)


@pytest.mark.parametrize("blob", [b"", b"\x00", b"text\r\n", bytes(range(256)) * 40, b"x" * BIG])
def test_what_is_put_is_got(store: Store, blob: bytes) -> None:
    store.put("snapshots/s/0", blob)
    assert store.get("snapshots/s/0") == blob


def test_what_was_never_put_is_none(store: Store) -> None:
    assert store.get("nothing") is None
    assert store.get("nothing/at/all") is None
    assert not store.names()


@pytest.mark.parametrize("sizes", [(3, 5), (BIG, 1), (1, BIG), (BIG, BIG + 1)])
def test_a_later_put_takes_the_place_of_an_earlier_one(
    store: Store, sizes: tuple[int, int]
) -> None:
    for number, size in enumerate(sizes):
        store.put("a/b", bytes([number]) * size)
    assert store.get("a/b") == b"\x01" * sizes[1]
    assert list(store.names()) == ["a/b"]


def test_another_opening_finds_what_was_put(again: Open) -> None:
    again().put("a", b"kept")
    assert again().get("a") == b"kept"


def test_names_are_sorted_and_chosen_by_prefix(store: Store) -> None:
    for name in ("b/2", "a", "b/1", "b/10", "bb"):
        store.put(name, b"x")
    assert list(store.names()) == ["a", "b/1", "b/10", "b/2", "bb"]
    assert list(store.names("b/")) == ["b/1", "b/10", "b/2"]
    assert list(store.names("b/1")) == ["b/1", "b/10"]
    assert not store.names("c")


@pytest.mark.parametrize("prefix", ["*", "?", "[ab]", "\\a"])
def test_a_prefix_is_no_pattern(store: Store, prefix: str) -> None:
    store.put("a", b"x")
    assert not store.names(prefix)


def test_what_is_deleted_is_gone_and_may_be_deleted_again(store: Store) -> None:
    store.put("a/b", b"x")
    store.delete("a/b")
    store.delete("a/b")
    assert store.get("a/b") is None
    assert not store.names()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "a/../b",
        "a//b",
        "a/",
        ".hidden",
        "a/.b",
        "a b",
        "a\x00b",
        "a\nb",
        "ä",
        "a\\b",
        "a*",
        "x" * 201,
        "/".join(["abcdefghi"] * 101),
    ],
)
def test_a_name_that_could_lead_away_is_refused(store: Store, name: str) -> None:
    for use in (lambda: store.put(name, b"x"), lambda: store.get(name), lambda: store.delete(name)):
        with pytest.raises(StoreError, match="cannot be the name of a blob"):
            use()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(ACTIONS), st.sampled_from(NAMES), st.binary(max_size=40)),
        max_size=30,
    )
)
def test_a_store_behaves_as_a_dictionary(again: Open, steps: list[tuple[str, str, bytes]]) -> None:
    store, model = again(), dict[str, bytes]()
    for name in store.names():
        store.delete(name)
    for action, name, blob in steps:
        if action == "put":
            store.put(name, blob)
            model[name] = blob
        elif action == "delete":
            store.delete(name)
            model.pop(name, None)
        assert store.get(name) == model.get(name)
        assert list(store.names()) == sorted(model)


@pytest.mark.parametrize("size", [1000, 2 * 2**20])
def test_a_reader_sees_the_old_one_or_the_new_one(again: Open, size: int) -> None:
    writer, reader, done = again(), again(), threading.Event()
    blobs = [bytes([number]) * (size + number) for number in range(4)]
    writer.put("a", blobs[0])

    def write() -> None:
        for blob in blobs * 10:
            writer.put("a", blob)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = {reader.get("a")}
        while not done.is_set():
            seen.add(reader.get("a"))
    finally:
        thread.join()
    assert seen <= set(blobs)
    assert list(reader.names()) == ["a"]
