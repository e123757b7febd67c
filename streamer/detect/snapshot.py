"""A detector's memory as one blob: plain arrays, no code. Lanes are left out: they are rebuilt from ring and count."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from streamer.detect.storm import Storm
from streamer.errors import StoreError
from streamer.event import Fate

if TYPE_CHECKING:
    from streamer.detect.pipeline import Detector

FORMAT = "streamer.snapshot/1"


def pack(detector: Detector) -> bytes:
    """The rows of the occupied slots of every state array, names least recently seen first."""
    taken = detector.slots.items()
    slots = np.array([slot for _, slot in taken], np.int64)
    head = {
        "format": FORMAT, "schema": _schema(detector), "names": [name for name, _ in taken], "topic": detector.topic,
        "fates": detector.fates.tolist(), "storm": detector.storm.state(),
    }  # fmt: skip
    arrays = {name: array[slots] for name, array in _arrays(detector).items()}
    buffer = io.BytesIO()
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpack(detector: Detector, blob: bytes) -> None:
    """Fill an empty detector. StoreError if the blob is damaged or of another schema.

    The detector is then untouched.
    """
    head, loaded = _read(blob)
    if head.get("format") != FORMAT or head.get("schema") != _schema(detector):
        raise StoreError("the snapshot was made with other channels, limits, settings or model; it is ignored")
    if len(detector.slots):
        raise StoreError("a snapshot can only be loaded into a detector that has seen no event")
    names, fates, storm, topic = _head(head, detector.slots.capacity)
    ours = _arrays(detector)
    bad = [n for n, a in ours.items() if n not in loaded or not _alike(loaded[n], a, len(names))]
    if bad:
        raise StoreError(f"the snapshot lacks {bad[0]!r} in the expected shape; it is ignored")
    slots = np.array(detector.slots.assign(names)[0], np.int64)
    detector.reset_slots(slots)
    for name, array in ours.items():
        array[slots] = loaded[name]
    detector.fates[:], detector.topic = fates, topic
    detector.storm.restore(storm)
    detector.lanes.restore(slots)


def _alike(loaded: np.ndarray, ours: np.ndarray, rows: int) -> bool:
    return loaded.shape == (rows, *ours.shape[1:]) and loaded.dtype == ours.dtype


def _head(head: dict[str, Any], capacity: int) -> tuple[list[str], list[int], list[int], str]:
    """Names, fates, storm and topic of a snapshot, or StoreError."""
    parts: list[Any] = [head.get(part) for part in ("names", "fates", "storm", "topic")]
    names, fates, storm, topic = parts
    known = _list_of(str, names) and len(set(names)) == len(names) <= capacity
    counted = _list_of(int, fates) and len(fates) == len(Fate) and _list_of(int, storm) and len(storm) == Storm.NUMBERS
    if not (known and counted and isinstance(topic, str)):
        raise StoreError("the snapshot's head is not complete; it is ignored")
    return names, fates, storm, topic


def _list_of(kind: type, found: object) -> bool:
    return isinstance(found, list) and all(isinstance(item, kind) for item in found)


def _read(blob: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
            loaded = {name: archive[name] for name in archive.files}
        head = json.loads(loaded.pop("head").tobytes())
    except Exception as exc:  # a damaged zip raises anything from zipfile, zlib, numpy and json
        raise StoreError(f"the snapshot cannot be read: {exc}") from exc
    if not isinstance(head, dict):
        raise StoreError("the snapshot's head is not an object")
    return head, loaded


def _schema(detector: Detector) -> list[Any]:
    spec, settings = detector.lanes.spec, detector.settings
    limits = [settings.max_entities, settings.profile, settings.n_of, spec.ring, spec.k_min]
    return [detector.key, list(settings.channels), *limits]


def _arrays(detector: Detector) -> dict[str, np.ndarray]:
    ring = detector.ring
    names = ("values", "time_s", "offset", "count", "newest_s")
    found: dict[str, np.ndarray] = {f"ring.{name}": getattr(ring, name) for name in names}
    parts = ("profile", "decider", "incidents", "admission", "silence")
    return found | {f"{part}.{name}": a for part in parts for name, a in getattr(detector, part).state().items()}
