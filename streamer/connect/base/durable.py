"""Files and folders that are on disk when a call returns, and whole whenever somebody looks."""

from __future__ import annotations

import os
from pathlib import Path


def make_folder(path: Path) -> None:
    """The folder and those above it, on disk, for its owner alone."""
    if path.is_dir():
        return
    if path.parent != path:
        make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, blob: bytes) -> None:
    """A new file, on disk when this returns; nobody may know its name yet."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(blob)
        file.flush()
        os.fsync(handle)
