"""A model registry in the group's Redis, with verified copies of used models on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from streamer import artifact
from streamer.artifact import MANIFEST, REPORTS, SIGNATURE, Bundle
from streamer.connect.base.durable import make_folder
from streamer.connect.storage import registry_rules as rules
from streamer.connect.storage.redis_models import Models, MoveNotices, StoredVersion, entry_of
from streamer.errors import CorruptBundle, ModelError, StoreError
from streamer.protocols import ALIASES, ANYWHERE, Clock, Move

if TYPE_CHECKING:
    from streamer.config import RedisStore as Section

KEPT_COPIES = 16  # newest copies on this machine; a bundle has about 1 MiB


class RedisRegistry:
    """A Registry shared by every member of a group.

    Opening it sends nothing, so Redis may be down.
    """

    def __init__(
        self, section: Section, *, cache: Path | None = None, clock: Clock = time.time
    ) -> None:
        self._models, self._clock = Models(section), clock
        self._notices = MoveNotices(section, self._models)
        self._cache = cache or default_cache()
        self._place = hashlib.sha256(f"{section.url} {section.prefix}".encode()).hexdigest()[:16]

    def versions(self) -> Sequence[str]:
        return self._models.versions()

    def publish(self, bundle: Path) -> str:
        found = rules.publishable(bundle)
        held = self._models.held(found.version)
        if not self._has_room(found, held) or not self._models.publish(
            found.version, found.files, instead_of=held
        ):
            self._agree(found)
        return found.version

    def path(self, name: str) -> Path:
        """Return the directory as the protocol says.

        While Redis is down, return the copy that the name last had here.
        """
        try:
            version = (
                self.aliases().get(name) if name in ALIASES else artifact.checked_version(name)
            )
            entry = None if version is None else self._models.entry(version)
            if version is None or entry is None:
                raise rules.no_version(name, version, self.versions())
        except StoreError:
            if (remembered := self._remembered(name)) is None:
                raise
            return remembered
        directory = self._copy(version, entry)
        self._remember(name, directory)
        return directory

    def aliases(self) -> Mapping[str, str]:
        return self._models.aliases()

    def move(
        self,
        changes: Mapping[str, str | None],
        *,
        expected: Mapping[str, str | None] = ANYWHERE,
        why: str = "",
    ) -> bool:
        for alias in (*changes, *expected):
            rules.known_alias(alias)
        return self._models.move(changes, expected, rules.entry(changes, why, self._clock()))

    def moves(self) -> Sequence[Move]:
        return [rules.move_of(raw) for raw in self._models.moves()]

    def remove(self, version: str) -> None:
        there = self.versions()
        if version not in there:
            raise rules.no_version(version, version, there)
        if not self._models.remove(version):
            holders = [alias for alias, held in self.aliases().items() if held == version]
            raise ModelError(
                f"cannot remove {version}: it is the registry's {' and '.join(holders)}"
            )

    def wait(self, seen: Mapping[str, str], timeout_s: float) -> Mapping[str, str] | None:
        return self._notices.wait(seen, timeout_s)

    def close(self) -> None:
        self._notices.close()
        self._models.close()

    def _has_room(self, bundle: Bundle, held: bytes) -> bool:
        """Whether there is no version yet, or a damaged copy of the bundle itself.

        StoreError if another model is there and is damaged.
        """
        if not held:
            return True
        try:
            self._models.fetch(bundle.version, entry_of(bundle.version, held))
            return False
        except CorruptBundle as damage:
            if not self._is_same(bundle, held):
                raise rules.other_damaged(bundle, damage) from damage
        return True

    def _is_same(self, bundle: Bundle, held: bytes) -> bool:
        """Compare by manifest, else by the parts that decide a score.

        An unreadable entry counts as the same.
        """
        try:
            entry = entry_of(bundle.version, held)
        except CorruptBundle:
            return True
        try:
            told = json.loads(self._models.part(bundle.version, entry, MANIFEST))
        except (CorruptBundle, KeyError):
            ours = {name: artifact.digest(blob) for name, blob in bundle.files.items()}
            return _deciding(ours) == _deciding(
                {name: digest for name, (digest, _) in entry.parts.items()}
            )
        return bool(told["sha256"] == bundle.sha256)

    def _agree(self, bundle: Bundle) -> None:
        """Compare with the stored version; add the signature if only that is missing."""
        there = artifact.load(self.path(bundle.version))
        rules.refuse_other(bundle, there)
        if bundle.signature is not None and rules.adds_signature(bundle, there):
            self._models.add(bundle.version, SIGNATURE, bundle.signature)

    def _copy(self, version: str, entry: StoredVersion) -> Path:
        """Return a verified copy on this machine; fetch it if needed."""
        place = self._cache / f"{version}@{entry.digest[:32]}"
        if not _is_sound(place, entry):
            with _errors(place):
                self._fetch(version, entry, place)
            artifact.load(place)
        return place

    def _fetch(self, version: str, entry: StoredVersion, place: Path) -> None:
        make_folder(self._cache)
        files, beside = self._models.fetch(version, entry), self._cache / f".{secrets.token_hex(8)}"
        rules.write_files(beside, files)
        # A copy that another process made first stays: it may be in use.
        if not _is_sound(place, entry):
            with suppress(OSError):
                place.rename(beside.with_suffix(".damaged"))
            with suppress(OSError):
                beside.rename(place)
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(beside.with_suffix(".damaged"), ignore_errors=True)
        self._trim()

    def _trim(self) -> None:
        copies = [path for path in self._cache.iterdir() if "@" in path.name and path.is_dir()]
        for old in sorted(copies, key=lambda path: path.stat().st_mtime_ns)[:-KEPT_COPIES]:
            shutil.rmtree(old, ignore_errors=True)

    def _remember(self, name: str, directory: Path) -> None:
        note = self._note(name)
        with _errors(note):
            if not note.exists() or note.read_text() != directory.name:
                beside = self._cache / f".{secrets.token_hex(8)}"
                beside.write_text(directory.name)
                beside.replace(note)

    def _remembered(self, name: str) -> Path | None:
        with suppress(OSError, ValueError, ModelError):
            place = self._cache / Path(self._note(name).read_text()).name
            artifact.load(place)
            return place
        return None

    def _note(self, name: str) -> Path:
        return self._cache / f"{self._place}-{name}.last"


def default_cache() -> Path:
    """The user's cache; a temporary folder of this process if that is not writable."""
    place = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
        / "streamer"
        / "models"
    )
    try:
        make_folder(place)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="streamer-models-"))
    return place if os.access(place, os.W_OK) else Path(tempfile.mkdtemp(prefix="streamer-models-"))


def _deciding(digests: Mapping[str, str]) -> dict[str, str]:
    """Only the parts that decide a score."""
    return {
        name: told for name, told in digests.items() if name not in (*REPORTS, MANIFEST, SIGNATURE)
    }


def _is_sound(place: Path, entry: StoredVersion) -> bool:
    """Whether the copy holds every part with the hash in the index."""
    try:
        return all(
            artifact.digest((place / name).read_bytes()) == told
            for name, (told, _) in entry.parts.items()
        )
    except OSError:
        return False


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Translate errors of the local disk to StoreError."""
    try:
        yield
    except OSError as exc:
        raise StoreError(
            f"cannot keep a copy at {path}: {exc.strerror or exc}; set XDG_CACHE_HOME"
        ) from exc
