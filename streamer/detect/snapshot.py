"""A detector's memory as one blob: plain arrays, no code. Lanes are left out: they are rebuilt from ring and count."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from streamer.errors import StoreError

if TYPE_CHECKING:
    from streamer.detect.pipeline import Detector

FORMAT = "streamer.snapshot/1"


def pack(detector: Detector) -> bytes:
    """The rows of the occupied slots of every state array, names least recently seen first."""
    taken = detector.slots.items()
    slots = np.array([slot for _, slot in taken], np.int64)
    head = {
        "format": FORMAT, "schema": _schema(detector), "names": [name for name, _ in taken],
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
    ours, names = _arrays(detector), head["names"]
    bad = [n for n, a in ours.items() if n not in loaded or loaded[n].shape != (len(names), *a.shape[1:])]
    if bad:
        raise StoreError(f"the snapshot lacks {bad[0]!r} in the expected shape; it is ignored")
    slots = np.array(detector.slots.assign(names)[0], np.int64)
    detector.reset_slots(slots)
    for name, array in ours.items():
        array[slots] = loaded[name]
    detector.fates[:] = head["fates"]
    detector.storm.restore(head["storm"])
    detector.lanes.restore(slots)


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
    return [list(settings.channels), settings.max_entities, settings.profile, settings.n_of, spec.ring, spec.k_min]


def _arrays(detector: Detector) -> dict[str, np.ndarray]:
    ring = detector.ring
    names = ("values", "time_s", "offset", "count", "newest_s")
    found: dict[str, np.ndarray] = {f"ring.{name}": getattr(ring, name) for name in names}
    parts = ("profile", "decider", "incidents", "admission", "silence")
    return found | {f"{part}.{name}": a for part in parts for name, a in getattr(detector, part).state().items()}
