"""A partition's snapshot as one blob: read back as it was written, or refused with a reason."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.memory import MemoryStore
from streamer.connect.storage.files_store import checked
from streamer.errors import StoreError
from streamer.runtime.snapshot_format import (
    MAGIC,
    Snapshot,
    SnapshotStore,
    Unusable,
    decode,
    encode,
    safe,
)

ONE = Snapshot(
    "plant", "streamer", "sensors.raw", 3, 918_221, "v7", (b"first" * 100, b"", b"third")
)
BLOB = encode(ONE)
TEXTS = st.text(max_size=30)
SNAPSHOTS = st.builds(
    Snapshot,
    TEXTS,
    TEXTS,
    TEXTS,
    st.integers(0, 2**31),
    st.integers(0, 2**63 - 1),
    TEXTS,
    st.lists(st.binary(max_size=200), max_size=3).map(tuple),
)


def reason(blob: bytes) -> str:
    with pytest.raises(Unusable) as caught:
        decode(blob)
    return caught.value.reason


def sealed(head: object, *parts: bytes, magic: bytes = MAGIC) -> bytes:
    """A blob with a right hash over whatever is in it."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    body = struct.pack(">I", len(text)) + text + b"".join(parts)
    return magic + hashlib.sha256(body).digest() + body


def head(**changed: object) -> dict[str, object]:
    found = {
        "stream": "s",
        "group": "g",
        "topic": "t",
        "partition": 0,
        "offset": 5,
        "model": "m",
        "sizes": [],
    }
    return found | changed


@given(SNAPSHOTS)
def test_a_round_trip_changes_nothing(snapshot: Snapshot) -> None:
    assert decode(encode(snapshot)) == snapshot


def test_the_same_snapshot_is_always_the_same_blob() -> None:
    assert encode(replace(ONE)) == BLOB


@pytest.mark.parametrize(
    "length", [0, 1, len(MAGIC), len(MAGIC) + 31, len(MAGIC) + 33, len(BLOB) // 2, len(BLOB) - 1]
)
def test_a_torn_one_is_refused(length: int) -> None:
    assert reason(BLOB[:length]) == "torn"


def test_one_that_is_too_long_is_refused() -> None:
    assert reason(BLOB + b"\x00") == "torn"


@given(st.integers(0, 8 * len(BLOB) - 1))
def test_a_single_flipped_bit_is_found(bit: int) -> None:
    damaged = bytearray(BLOB)
    damaged[bit // 8] ^= 1 << bit % 8
    assert reason(bytes(damaged)) in {"torn", "other_format"}


@given(st.binary(max_size=300))
def test_something_else_is_refused(blob: bytes) -> None:
    assert reason(blob) == "torn" or blob.startswith(b"streamer.partition/")
    assert reason(MAGIC + blob) == "torn"


def test_another_format_is_told_from_damage() -> None:
    assert reason(sealed(head(), magic=b"streamer.partition/2\n")) == "other_format"


@pytest.mark.parametrize(
    "blob",
    [
        sealed(b"not json"),
        sealed([1, 2]),
        sealed(head(offset="five")),
        sealed({"stream": "s"}),
        sealed(head(sizes=[[5, 100]]), zlib.compress(b"short")),
        sealed(head(sizes=[[5, 4]]), b"junk"),
        sealed(head(sizes=[[-1, 4]]), b"junk"),
        sealed(head(sizes=[[2**40, 4]]), b"junk"),
        sealed(head(sizes=3)),
        sealed(head(), b"more than it says"),
        MAGIC + hashlib.sha256(b"\xff" * 4).digest() + b"\xff" * 4,
    ],
)
def test_a_sound_hash_over_nonsense_does_not_help(blob: bytes) -> None:
    assert reason(blob) == "torn"


def test_a_part_that_grows_beyond_its_size_is_not_unpacked() -> None:
    bomb = zlib.compress(b"\x00" * 10_000_000)
    assert reason(sealed(head(sizes=[[10, len(bomb)]]), bomb)) == "torn"


# -- names
@given(TEXTS | st.text(min_size=100, max_size=400))
def test_any_text_has_a_name_that_every_store_takes(text: str) -> None:
    assert checked(safe(text)) == safe(text)
    assert "/" not in safe(text)


@given(st.text(max_size=300), st.text(max_size=300))
def test_two_texts_never_share_a_name(one: str, other: str) -> None:
    assert (safe(one) == safe(other)) == (one == other)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "../x", "a/b", "a%2Fb", ".hidden", "\ud800", "~", "x" * 1000]
)
def test_awkward_texts_have_names_of_their_own(text: str) -> None:
    assert safe(text) != text or text == ""
    assert checked(f"a/{safe(text)}") and len({safe(text), safe(text + "x"), safe("y" + text)}) == 3


# -- the shelf
def test_what_was_put_is_got() -> None:
    shelf = SnapshotStore(MemoryStore(), "plant", "streamer")
    assert shelf.put(ONE) == len(BLOB)
    assert shelf.get("sensors.raw", 3) == ONE
    assert list(shelf.names()) == [shelf.name("sensors.raw", 3)]


def test_what_is_not_there_is_none() -> None:
    assert SnapshotStore(MemoryStore(), "plant", "streamer").get("sensors.raw", 3) is None


@pytest.mark.parametrize(
    "changed", [{"stream": "other"}, {"group": "g2"}, {"topic": "t2"}, {"partition": 4}]
)
def test_one_of_another_place_is_foreign(changed: dict) -> None:
    store = MemoryStore()
    shelf = SnapshotStore(store, "plant", "streamer")
    store.put(shelf.name("sensors.raw", 3), encode(replace(ONE, **changed)))
    with pytest.raises(Unusable) as caught:
        shelf.get("sensors.raw", 3)
    assert caught.value.reason == "foreign"


def test_streams_groups_and_topics_do_not_see_each_other() -> None:
    store = MemoryStore()
    SnapshotStore(store, "a", "b/c").put(replace(ONE, stream="a", group="b/c"))
    assert SnapshotStore(store, "a/b", "c").get("sensors.raw", 3) is None
    assert not SnapshotStore(store, "a", "b").names()


def test_a_store_that_is_down_is_not_a_damaged_snapshot() -> None:
    store = MemoryStore()
    store.fail = StoreError("down")
    with pytest.raises(StoreError, match="down") as caught:
        SnapshotStore(store, "a", "b").get("t", 0)
    assert not isinstance(caught.value, Unusable)
