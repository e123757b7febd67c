"""Snapshots of partitions: their content, their bytes and their names in a store.

A snapshot holds the memory of all detectors of one partition before the event at `offset`. It is
written only after the log has confirmed a position at or beyond that offset, so it never contains
more than the log's committed part.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from streamer.errors import StoreError
from streamer.protocols import Store

FAMILY = b"streamer.partition/"
MAGIC = FAMILY + b"1\n"
HEAD_BYTES = 2**20  # limit of a head
PART_BYTES = 2**31  # limit of one detector's memory
# Level 1 halves full rings and shrinks young ones to a tenth, at 90 MB/s.
LEVEL = 1
LONGEST = 150  # characters of a part of a name; a longer one is cut and hashed
_SIZE = struct.Struct(">I")


class Unusable(StoreError):
    """A snapshot that exists and cannot be used; `reason` is a constant token."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The memory of one partition before `offset`: one part per entity key of the stream."""

    stream: str
    group: str
    topic: str
    partition: int
    offset: int
    model: str
    parts: tuple[bytes, ...]

    @property
    def where(self) -> tuple[str, str, str, int]:
        return self.stream, self.group, self.topic, self.partition


def encode(snapshot: Snapshot) -> bytes:
    """Return one blob: magic, SHA-256 of the rest, length of the head, head, compressed parts."""
    packed = [zlib.compress(part, LEVEL) for part in snapshot.parts]
    head = {
        "stream": snapshot.stream,
        "group": snapshot.group,
        "topic": snapshot.topic,
        "partition": snapshot.partition,
        "offset": snapshot.offset,
        "model": snapshot.model,
        "sizes": [
            [len(part), len(small)] for part, small in zip(snapshot.parts, packed, strict=True)
        ],
    }
    text = json.dumps(head).encode()
    pieces = [_SIZE.pack(len(text)), text, *packed]
    return b"".join([MAGIC, _digest(pieces), *pieces])


def decode(blob: bytes) -> Snapshot:
    """Return the snapshot in a blob; Unusable if it is incomplete or of another format."""
    if not blob.startswith(MAGIC):
        if blob.startswith(FAMILY) and len(blob) > len(MAGIC):
            found = blob[: len(MAGIC)]
            raise Unusable(
                "other_format", f"the snapshot is of format {found!r}, this version reads {MAGIC!r}"
            )
        raise Unusable("torn", "this is not a snapshot of a partition")
    at = len(MAGIC) + hashlib.sha256().digest_size
    body = memoryview(blob)[at:]
    if len(body) < _SIZE.size or _digest([body]) != blob[len(MAGIC) : at]:
        raise Unusable(
            "torn",
            f"the snapshot of {len(blob)} bytes is torn or altered: its SHA-256 does not match",
        )
    try:
        return _parse(body)
    except (ValueError, KeyError, TypeError, zlib.error) as exc:
        raise Unusable("torn", f"the snapshot's head is not understood: {exc!r}") from exc


def _digest(pieces: Sequence[bytes | memoryview]) -> bytes:
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(piece)
    return whole.digest()


def _parse(body: memoryview) -> Snapshot:
    (length,) = _SIZE.unpack_from(body)
    if length > HEAD_BYTES:
        raise ValueError(f"a head of {length} bytes")
    at = _SIZE.size + length
    head: dict[str, Any] = json.loads(bytes(body[_SIZE.size : at]))
    parts = []
    for size, packed in head["sizes"]:
        parts.append(_unpack(body[at : at + packed], size))
        at += packed
    if at != len(body):
        raise ValueError(f"{len(body) - at} bytes too many")
    texts = [str(head[name]) for name in ("stream", "group", "topic")]
    return Snapshot(
        texts[0],
        texts[1],
        texts[2],
        int(head["partition"]),
        int(head["offset"]),
        str(head["model"]),
        tuple(parts),
    )


def _unpack(packed: memoryview, size: int) -> bytes:
    if not 0 <= size <= PART_BYTES:
        raise ValueError(f"a part of {size} bytes")
    part = zlib.decompressobj().decompress(packed, size + 1)
    if len(part) != size:
        raise ValueError(f"a part of {len(part)} bytes instead of {size}")
    return part


def safe(text: str) -> str:
    """Return the part of a store's name for a text.

    It has letters, digits and `._-%`, is never `.` or `..`, and is at most LONGEST characters long.
    """
    quoted = quote(text, safe="", errors="surrogatepass").replace("~", "%7E")
    quoted = f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted
    if quoted and len(quoted) <= LONGEST:
        return quoted
    return f"{quoted[: LONGEST - 20]}%-{hashlib.sha256(quoted.encode()).hexdigest()[:16]}"


class SnapshotStore:
    """The snapshots of one stream and group in a store, one per partition.

    StoreError of the store is passed on.
    """

    def __init__(self, store: Store, stream: str, group: str) -> None:
        self.stream, self.group, self._store = stream, group, store
        self._prefix = f"snapshots/{safe(stream)}/{safe(group)}/"

    def name(self, topic: str, partition: int) -> str:
        return f"{self._prefix}{safe(topic)}/{partition}"

    def put(self, snapshot: Snapshot) -> int:
        """Replace the partition's snapshot; return its size in bytes."""
        blob = encode(snapshot)
        self._store.put(self.name(snapshot.topic, snapshot.partition), blob)
        return len(blob)

    def get(self, topic: str, partition: int) -> Snapshot | None:
        """Return the newest snapshot of a partition; None if there is none.

        Unusable if it is torn or of another stream, group or partition.
        """
        blob = self._store.get(self.name(topic, partition))
        if blob is None:
            return None
        snapshot, wanted = decode(blob), (self.stream, self.group, topic, partition)
        if snapshot.where != wanted:
            raise Unusable("foreign", f"the snapshot is of {snapshot.where}, wanted is {wanted}")
        return snapshot

    def look(self) -> None:
        """Read from the store; StoreError if it does not answer."""
        self._store.get(f"{self._prefix}nothing")

    def names(self) -> Sequence[str]:
        """Return the names of all partitions' snapshots in the store."""
        return self._store.names(self._prefix)
