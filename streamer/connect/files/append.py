"""An append-only file that never keeps half a write: what could not be written whole is
taken back.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamer.errors import SinkError


class AppendFile:
    """A file opened for appending, or emptied first; its directory is made. Not buffered.

    SinkError, with the path and what to do, wherever the disk refuses. A write that failed left the
    file as it was, so it may be tried again. Pipes and devices are written too, but nothing can be
    taken back from them.
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
        """All of the data, or SinkError and none of it."""
        file = self._open()
        try:
            with self._errors("cannot be written"):
                _write_all(file, data)
        except SinkError:
            self._take_back(file)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Wait until the disk has it."""
        if self.regular:
            with self._errors("cannot be synced"):
                os.fsync(self._open())

    def close(self) -> None:
        """Idempotent."""
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
    """Lines appended to a file; with `fsync`, `flush` returns when the disk has them. SinkError as
    AppendFile.
    """

    def __init__(self, path: str | Path, *, fsync: bool) -> None:
        self._file, self._fsync, self._unsynced = AppendFile(path), fsync, 0
        if _torn(self._file):
            self._file.write(b"\n")  # a crash left half a line: it must not swallow the next one

    def write(self, line: bytes) -> None:
        """A line without its end: whole, or SinkError and none of it."""
        self._file.write(line + b"\n")
        self._unsynced += self._fsync

    def flush(self, timeout_s: float) -> int:
        """How many lines the disk still lacks: none."""
        if self._unsynced:
            self._file.sync()
            self._unsynced = 0
        return 0

    def close(self) -> None:
        """Idempotent."""
        try:
            self.flush(0.0)
        finally:
            self._file.close()


def _torn(file: AppendFile) -> bool:
    """Whether the last line has no end; of a file that may only be written nobody knows."""
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
