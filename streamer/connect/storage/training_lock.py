"""The lock that lets one process train at a time, and the note of its last holder.

In a folder it is a lock of the kernel, which ends with its process. In Redis it is a lock that
expires. Each holder gets a larger fence.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from streamer.connect.storage.files_store import FileStore
from streamer.errors import StoreError

if TYPE_CHECKING:
    from streamer import config
    from streamer.connect.storage.redis_lock import HeldLock

NOTE = "learning/retrain.json"
TTL_S = 60.0


class LockHold(Protocol):
    """One holding of the lock; `fence` grows from holder to holder."""

    fence: int

    def keep(self) -> bool:
        """Extend the holding; False if it is lost.

        Call it at least every TTL_S / 2.
        """

    def note(self, blob: bytes) -> None:
        """Write the note that all members read.

        StoreError, with nothing written, if the lock was lost.
        """

    def end(self) -> None:
        """Release the lock. Idempotent."""


class TrainingLock(Protocol):
    """The lock, usable by any process.

    StoreError if the folder or Redis cannot be used.
    """

    def take(self) -> LockHold | None:
        """Return the holding, or None while another process has it."""

    def read(self) -> bytes | None:
        """The note of the last holder."""

    def close(self) -> None:
        """Close everything except a holding. Idempotent."""


class FileTrainingLock:
    """Training lock between processes of one machine, in a folder."""

    def __init__(self, folder: str | Path) -> None:
        self._store, self._lock = FileStore(folder), Path(folder) / "lock"

    def take(self) -> FileLockHold | None:
        try:
            handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise StoreError(
                f"cannot lock {self._lock}: {exc.strerror}; let the service's user write there"
            ) from exc
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return FileLockHold(self._lock, self._store, handle)

    def read(self) -> bytes | None:
        return self._store.get(NOTE)

    def close(self) -> None:
        """Do nothing: no file is held open."""


class FileLockHold:
    """A held lock file; it contains the number of holders so far."""

    def __init__(self, path: Path, store: FileStore, handle: int) -> None:
        self._path, self._store, self._handle = path, store, handle
        self.fence = int(os.pread(handle, 32, 0) or 0) + 1
        os.pwrite(handle, b"%d" % self.fence, 0)
        os.fsync(handle)

    def keep(self) -> bool:
        """Whether the lock file is still in place; the kernel keeps the lock itself."""
        with suppress(OSError):
            mine, there = os.fstat(self._handle), self._path.stat()
            return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)
        return False

    def note(self, blob: bytes) -> None:
        if not self.keep():
            raise StoreError(f"the lock {self._path} is not ours any more; nothing was written")
        self._store.put(NOTE, blob)

    def end(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class RedisTrainingLock:
    """Training lock between all members that use one Redis."""

    def __init__(self, section: config.RedisStore, *, ttl_s: float = TTL_S) -> None:
        from streamer.connect.storage.redis_client import Client
        from streamer.connect.storage.redis_lock import Lock
        from streamer.connect.storage.redis_store import RedisStore

        self._client = Client(section)
        self._lock = Lock(section, "retrain", ttl_s=ttl_s, client=self._client)
        self._store = RedisStore(section, client=self._client)

    def take(self) -> RedisLockHold | None:
        held = self._lock.acquire()
        return None if held is None else RedisLockHold(self, held)

    def read(self) -> bytes | None:
        return self._store.get(NOTE)

    def close(self) -> None:
        self._client.close()

    def keep(self, held: HeldLock) -> bool:
        return self._lock.extend(held)

    def note(self, held: HeldLock, blob: bytes) -> None:
        self._lock.write(held, NOTE, blob)

    def release(self, held: HeldLock) -> None:
        with suppress(StoreError):  # it expires by itself
            self._lock.release(held)


class RedisLockHold:
    """One holding of the lock in Redis."""

    def __init__(self, lock: RedisTrainingLock, held: HeldLock) -> None:
        self.fence = held.fence
        self._lock = lock
        self._held = held

    def keep(self) -> bool:
        return self._lock.keep(self._held)

    def note(self, blob: bytes) -> None:
        self._lock.note(self._held, blob)

    def end(self) -> None:
        self._lock.release(self._held)
