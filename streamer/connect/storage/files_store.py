"""Blobs as files of a folder: written under a temporary name, synced, and renamed."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.connect.base.durable import make_folder, sync_folder
from streamer.errors import StoreError
from streamer.failpoints import failpoint

if TYPE_CHECKING:
    from streamer import config

UNFINISHED = ".unfinished-"  # no part of a blob's name begins with a dot
_numbers = itertools.count(1)


class FileStore:
    """A Store in a folder of this machine, shared by several processes.

    Folders have mode 0700, files 0600. Any thread may call it. Opening a store removes unfinished
    files of killed processes.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the store; StoreError if the folder cannot be created."""
        self._root = Path(path)
        with _errors("open", self._root):
            make_folder(self._root)
            _clean(self._root)

    def put(self, name: str, blob: bytes) -> None:
        """Write a blob; it is on disk when this returns.

        If it fails, the previous blob stays.
        """
        path = self._root / checked(name)
        with _errors("write", path):
            make_folder(path.parent)
            _write(path, blob)

    def get(self, name: str) -> bytes | None:
        path = self._root / checked(name)
        with _errors("read", path), suppress(FileNotFoundError):
            return path.read_bytes()
        return None

    def names(self, prefix: str = "") -> Sequence[str]:
        with _errors("list", self._root):
            found = (
                path.relative_to(self._root).as_posix()
                for path in self._root.rglob("*")
                if _is_blob(path)
            )
            return sorted(name for name in found if name.startswith(prefix))

    def delete(self, name: str) -> None:
        path = self._root / checked(name)
        with _errors("delete", path):
            path.unlink(missing_ok=True)


@contextmanager
def _errors(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StoreError(f"cannot {action} {path}: {exc.strerror or exc}; {_cure(exc)}") from exc


def _cure(exc: OSError) -> str:
    if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "make room, or let store.path be on another disk"
    if exc.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return "let the service's user write there, or set store.path"
    return "see store.path"


def _write(path: Path, blob: bytes) -> None:
    unfinished = path.with_name(f"{UNFINISHED}{os.getpid()}-{next(_numbers)}")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # a locked file has a living writer
            file.write(blob)
            file.flush()
            os.fsync(handle)
            failpoint("during_snapshot_put")
            unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _is_blob(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_file()


def _clean(root: Path) -> None:
    for path in root.rglob(f"{UNFINISHED}*"):
        with suppress(OSError), path.open("rb") as file:
            # BlockingIOError: its writer is alive
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


_PART = re.compile(r"[A-Za-z0-9_%=@+-][A-Za-z0-9._%=@+-]{0,199}")
LONGEST = 900


def checked(name: str) -> str:
    """Return the name; StoreError if it is not allowed."""
    if len(name) > LONGEST or not all(_PART.fullmatch(part) for part in name.split("/")):
        raise StoreError(
            f"{name[:200]!r} cannot be the name of a blob: parts between slashes are 1 to 200 "
            f"letters, digits or "
            "._%=@+- and do not begin with a dot"
        )
    return name


def open_store(section: config.FileStore) -> FileStore:
    """The store of a section. StoreError if its folder cannot be made."""
    return FileStore(section.path)


def open_nothing(section: config.NoStore) -> None:
    """Where nothing outlives the process."""
