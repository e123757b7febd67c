"""Readers of the public data sets beside the checkout; no data is copied into it."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from bench.figures import ROOT
from streamer.event import F32, F64, U8, EventBatch

SHARED = ROOT.parent / "shared"


@dataclass(frozen=True, slots=True)
class Series:
    """One labelled series: rows that only teach, then rows that are judged.

    Axes: n and m rows, C channels.
    """

    name: str
    train: F32  # (n, C)
    test: F32  # (m, C)
    label: U8  # (m,)
    train_time: F64 | None = None
    test_time: F64 | None = None
    segments: np.ndarray | tuple[()] = ()  # (K, 2) rows start..stop of `test`
    culprits: np.ndarray | tuple[()] = ()  # (K, C) which channels experts blame


def require() -> Path:
    """Return the data folder, or exit with a message."""
    if not (SHARED / "data").is_dir():
        raise SystemExit(f"no public data at {SHARED / 'data'}: quality cannot be measured here")
    return SHARED / "data"


def nab() -> Iterator[tuple[str, np.ndarray, F32]]:
    """Yield (name, timestamps, values (n, 1)) of every NAB file."""
    for name in windows():
        with (SHARED / "data" / "nab" / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        times = np.array([row["timestamp"] for row in rows], "datetime64[us]")
        yield name, times, np.array([[float(row["value"])] for row in rows], np.float32)


def windows() -> dict[str, list[list[str]]]:
    """Labelled windows by NAB file name."""
    found: dict[str, list[list[str]]] = json.loads(
        (SHARED / "data" / "nab" / "windows.json").read_text()
    )
    return found


def arrays(folder: str) -> Iterator[Series]:
    """Yield every series of a packed set that has test rows."""
    root = SHARED / "data" / folder
    for path in sorted(root.rglob("*.npz")):
        with np.load(path) as z:
            clock: list[F64 | None] = [
                np.asarray(z[name], np.float64) if name in z else None
                for name in ("train_time", "test_time")
            ]
            train, test = (np.ascontiguousarray(z[name], np.float32) for name in ("train", "test"))
            if len(test):
                yield Series(
                    str(path.relative_to(root).with_suffix("")),
                    train,
                    test,
                    z["label"].astype(np.uint8),
                    clock[0],
                    clock[1],
                    z.get("segments", ()),
                    z.get("culprits", ()),
                )


def batch_of(stream: str, values: F32, time_s: F64 | None, first: int = 0) -> EventBatch:
    """Rows of one entity as a batch; without times the row number is the time."""
    n = len(values)
    offset = np.arange(first, first + n, dtype=np.int64)
    when = offset.astype(np.float64) if time_s is None else time_s
    return EventBatch(
        stream, stream, 0, (stream,), np.zeros((n, 1), np.int32), when, values, offset
    )


def reference(name: str) -> ModuleType:
    """Import a reference scorer of the shared folder by path.

    ImportError if it needs a package that is missing.
    """
    path = SHARED / "bench" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
