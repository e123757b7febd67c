"""Append-only files without partial writes: an incomplete write is truncated away."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamer.errors import SinkError


class AppendFile:
    """A file opened for appending, or truncated first; its directory is created. Not buffered.

    SinkError, with the path and a fix, if the disk refuses. A failed write leaves the file
    unchanged, so it may be retried. Pipes and devices are accepted, but writes to them cannot be
    undone.
    """

    def __init__(self, path: str | Path, *, append: bool = True) -> None:
        self.path = Path(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if append else os.O_TRUNC)
        with self._errors("cannot be opened"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(self.path, flags, 0o644)
            state = os.fstat(self._file)
        self.regular = stat.S_ISREG(state.st_mode)
        self.size = state.st_size if self.regular else 0

    def write(self, data: bytes) -> None:
        """Write all of the data, or raise SinkError and write none of it."""
        file = self._open()
        try:
            with self._errors("cannot be written"):
                _write_all(file, data)
        except SinkError:
            self._take_back(file)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Wait until the data is on disk."""
        if self.regular:
            with self._errors("cannot be synced"):
                os.fsync(self._open())

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        if self._file is None:
            raise SinkError(f"{self.path}: is closed")
        return self._file

    def _take_back(self, file: int) -> None:
        if self.regular:
            os.ftruncate(file, self.size)
            os.lseek(file, self.size, os.SEEK_SET)

    @contextmanager
    def _errors(self, problem: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise SinkError(f"{self.path}: {problem}: {exc.strerror}; {_advice(exc)}") from exc


class LineFile:
    """Lines appended to a file; with `fsync`, `flush` returns when they are on disk.

    SinkError as in AppendFile.
    """

    def __init__(self, path: str | Path, *, fsync: bool) -> None:
        self._file, self._fsync, self._unsynced = AppendFile(path), fsync, 0
        if _torn(self._file):
            # a crash left half a line; the next line must not be joined to it
            self._file.write(b"\n")

    def write(self, line: bytes) -> None:
        """Write a line, given without its end; SinkError if it cannot be written whole."""
        self._file.write(line + b"\n")
        self._unsynced += self._fsync

    def flush(self, timeout_s: float) -> int:
        """Sync if needed; return 0, the number of lines not on disk."""
        if self._unsynced:
            self._file.sync()
            self._unsynced = 0
        return 0

    def close(self) -> None:
        """Flush and close. Idempotent."""
        try:
            self.flush(0.0)
        finally:
            self._file.close()


def _torn(file: AppendFile) -> bool:
    """Whether the last line has no end; False for a file that cannot be read."""
    if not file.size or not os.access(file.path, os.R_OK):
        return False
    with file.path.open("rb") as reader:
        reader.seek(-1, os.SEEK_END)
        return reader.read(1) != b"\n"


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _advice(exc: OSError) -> str:
    if isinstance(exc, PermissionError):
        return "check the permissions of the file and of its directory"
    if isinstance(exc, IsADirectoryError | NotADirectoryError | FileExistsError):
        return "name a file inside a directory"
    return "free some space, or choose another path"
