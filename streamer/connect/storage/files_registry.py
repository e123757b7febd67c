"""A model registry in a folder.

versions/NAME holds one bundle each, registry.json the aliases and the audit trail. A version is
written under a temporary name, synced, and renamed; so is registry.json. One writer at a time holds
.lock. The next writer removes unfinished files of a killed one.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from streamer import artifact
from streamer.artifact import MANIFEST, SIGNATURE, Bundle
from streamer.connect.base.durable import make_folder, sync_folder, write_synced
from streamer.connect.storage import registry_rules as rules
from streamer.errors import ConfigError, CorruptBundle, ModelError, StoreError
from streamer.failpoints import failpoint
from streamer.protocols import ALIASES, ANYWHERE, Clock, Move

INDEX = "registry.json"
UNFINISHED = ".unfinished-"
POLL_S = 0.2  # interval of `wait`; a poll is a stat, and a read of registry.json if it changed
_numbers = itertools.count(1)


class DirectoryRegistry:
    """A Registry in a folder of this machine, shared by any number of processes."""

    def __init__(self, root: str | Path, *, create: bool = False, clock: Clock = time.time) -> None:
        """Open the folder.

        ConfigError if it does not exist and `create` is not set; StoreError if it cannot be
        created.
        """
        self._root, self._clock, self._closed = Path(root), clock, threading.Event()
        self._versions = self._root / "versions"
        if create:
            with _errors("make", self._root):
                make_folder(self._root)
        if not self._root.is_dir():
            raise ConfigError(
                "model.registry",
                "there is no such folder; streamer model import makes one, and so does a retrain",
                str(root),
            )

    def versions(self) -> Sequence[str]:
        with _errors("list", self._versions):
            return self._found()

    def publish(self, bundle: Path) -> str:
        found = rules.publishable(bundle)
        with self._locked():
            self._prepare()
            if not self._is_there(found):
                self._place(found)
        return found.version

    def path(self, name: str) -> Path:
        version = self.aliases().get(name) if name in ALIASES else artifact.checked_version(name)
        if version is None or not (self._versions / version).is_dir():
            raise rules.no_version(name, version, self.versions())
        directory = self._versions / version
        found = artifact.load(directory)
        if found.version != version:
            raise CorruptBundle(
                f"{directory}: holds the version {found.version}; somebody renamed it"
            )
        return directory

    def aliases(self) -> Mapping[str, str]:
        return dict(self._index()["aliases"])

    def move(
        self,
        changes: Mapping[str, str | None],
        *,
        expected: Mapping[str, str | None] = ANYWHERE,
        why: str = "",
    ) -> bool:
        for alias in (*changes, *expected):
            rules.known_alias(alias)
        with self._locked():
            index = self._index()
            if rules.in_place(index["aliases"], changes):
                return True
            if not rules.in_place(index["aliases"], expected):
                return False
            self._require(changes)
            index["aliases"] = rules.moved(index["aliases"], changes)
            index["moves"] = [*index["moves"], rules.entry(changes, why, self._clock())][
                -rules.MOVES_KEPT :
            ]
            self._replace_index(index)
        return True

    def moves(self) -> Sequence[Move]:
        return [rules.move_of(raw) for raw in self._index()["moves"]]

    def remove(self, version: str) -> None:
        with self._locked():
            self._require({"": version})
            holders = [alias for alias, held in self._index()["aliases"].items() if held == version]
            if holders:
                raise ModelError(
                    f"cannot remove {version}: it is the registry's {' and '.join(holders)}"
                )
            gone = self._beside()
            with _errors("remove", self._versions / version):
                (self._versions / version).rename(gone)
                sync_folder(self._versions)
                shutil.rmtree(gone)

    def wait(self, seen: Mapping[str, str], timeout_s: float) -> Mapping[str, str] | None:
        until, stamps = time.monotonic() + timeout_s, list[object]()
        while not self._closed.is_set():
            if (stamp := self._stamp()) not in stamps:
                stamps, now = [stamp], self.aliases()
                if now != seen:
                    return now
            left_s = until - time.monotonic()
            if left_s <= 0:
                return None
            self._closed.wait(min(POLL_S, left_s))
        return None

    def close(self) -> None:
        self._closed.set()

    def _found(self) -> list[str]:
        """Names of folders that hold a manifest, ordered by its modification time."""
        if not self._versions.is_dir():
            return []
        manifests = (
            (path.name, path / MANIFEST)
            for path in self._versions.iterdir()
            if not path.name.startswith(".")
        )
        return [
            name
            for _, name in sorted(
                (path.stat().st_mtime_ns, name) for name, path in manifests if path.exists()
            )
        ]

    def _is_there(self, bundle: Bundle) -> bool:
        """Whether the version exists and is intact.

        Adds the signature if only that is missing.
        """
        directory = self._versions / bundle.version
        if not directory.is_dir():
            return False
        try:
            there = artifact.load(directory)
        except ModelError as exc:
            self._clear(directory, bundle, exc)
            return False
        rules.refuse_other(bundle, there)
        if rules.adds_signature(bundle, there) and bundle.signature is not None:
            with _errors("write", directory):
                self._put(directory / SIGNATURE, bundle.signature)
        return True

    def _clear(self, directory: Path, bundle: Bundle, damage: ModelError) -> None:
        """Move a damaged version out of the way; StoreError if it is another model."""
        with suppress(ModelError):
            if artifact.read_manifest(directory)["sha256"] != bundle.sha256:
                raise rules.other_damaged(bundle, damage)
        with _errors("replace", directory):
            directory.rename(self._beside())

    def _place(self, bundle: Bundle) -> None:
        beside, place = self._beside(), self._versions / bundle.version
        with _errors("write", place):
            rules.write_files(beside, bundle.files)
            self._date(beside / MANIFEST)
            failpoint("before_publish")
            beside.rename(place)
            sync_folder(self._versions)
        failpoint("after_publish")

    def _date(self, manifest: Path) -> None:
        """Give the manifest a later time than all others, even if the clock is wrong.

        Versions are listed in the order of publication.
        """
        others = [(self._versions / name / MANIFEST).stat().st_mtime_ns for name in self._found()]
        when_ns = max([manifest.stat().st_mtime_ns, *(other + 1 for other in others)])
        os.utime(manifest, ns=(when_ns, when_ns))

    def _require(self, changes: Mapping[str, str | None]) -> None:
        there = self.versions()
        for version in changes.values():
            if version is not None and version not in there:
                raise rules.no_version(version, version, there)

    def _index(self) -> dict[str, Any]:
        path = self._root / INDEX
        with _errors("read", path):
            if not path.exists():
                return self._no_index()
            blob = path.read_bytes()
        try:
            index = json.loads(blob)
        except (ValueError, RecursionError) as exc:
            raise StoreError(
                f"{path}: cannot be read: {exc}; restore it, its aliases are unknown"
            ) from exc
        rules.check_format(path, index.get("format") if isinstance(index, dict) else None)
        aliases, moves = index.setdefault("aliases", {}), index.setdefault("moves", [])
        if not _are_aliases(aliases) or not isinstance(moves, list):
            raise StoreError(f"{path}: its aliases or moves are none; restore it")
        return {"format": rules.FORMAT, "aliases": aliases, "moves": moves}

    def _no_index(self) -> dict[str, Any]:
        """The index of an unused folder; StoreError if versions exist without an index."""
        if self._found():
            raise StoreError(
                f"{self._root / INDEX}: is missing, so nobody knows what the aliases point at; "
                f"restore it, or begin "
                f'without aliases by writing {{"format": "{rules.FORMAT}"}} into it'
            )
        return {"format": rules.FORMAT, "aliases": {}, "moves": []}

    def _replace_index(self, index: Mapping[str, Any]) -> None:
        with _errors("write", self._root / INDEX):
            self._put(self._root / INDEX, (json.dumps(index, indent=1) + "\n").encode())

    def _prepare(self) -> None:
        """Create the folder and its index; remove unfinished files of killed writers."""
        index = self._index()
        with _errors("write", self._root):
            make_folder(self._versions)
            for left in self._root.glob(f"{UNFINISHED}*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        if not (self._root / INDEX).exists():
            self._replace_index(index)

    def _put(self, path: Path, blob: bytes) -> None:
        beside = self._beside()
        write_synced(beside, blob)
        failpoint("during_move")
        beside.replace(path)
        sync_folder(path.parent)

    def _beside(self) -> Path:
        return self._root / f"{UNFINISHED}{os.getpid()}-{next(_numbers)}"

    def _stamp(self) -> tuple[int, int] | None:
        with _errors("look at", self._root):
            path = self._root / INDEX
            return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the writer; the kernel releases the lock of a killed process."""
        path = self._root / ".lock"
        with _errors("lock", path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with _errors("lock", path):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _are_aliases(found: Any) -> bool:
    texts = isinstance(found, dict) and all(isinstance(version, str) for version in found.values())
    return texts and set(found) <= set(ALIASES)


@contextmanager
def _errors(action: str, path: Path) -> Iterator[None]:
    """Translate errors of the operating system to StoreError."""
    try:
        yield
    except OSError as exc:
        raise StoreError(
            f"cannot {action} {path}: {exc.strerror or exc}; see model.registry, its owner and room"
        ) from exc
