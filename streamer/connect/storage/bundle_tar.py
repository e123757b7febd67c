"""A bundle as one .tar file, to copy it from one registry to another.

Only plain files are accepted from a tar.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from streamer.artifact import MAX_PART_BYTES
from streamer.errors import CorruptBundle, StoreError

MOST_FILES = 64


def pack(files: Mapping[str, bytes], path: Path) -> None:
    """Write the files of a bundle; the same files give the same bytes.

    StoreError if the tar cannot be written.
    """
    try:
        with tarfile.open(path, "x") as tar:
            for name in sorted(files):
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(files[name]), 0o644
                tar.addfile(member, io.BytesIO(files[name]))
    except OSError as exc:
        raise StoreError(f"cannot write {path}: {exc.strerror or exc}") from exc


def unpack(path: Path, directory: Path) -> Path:
    """Write the plain files of a tar into a directory, made if need be, and return it.

    Folder names are dropped.

    CorruptBundle if it is not a tar, or holds anything but a few plain files of bounded size.
    """
    try:
        directory.mkdir(exist_ok=True)
        with tarfile.open(path, "r:") as tar:
            for member in _members(path, tar):
                content = tar.extractfile(member)
                assert content is not None  # a plain file has content
                (directory / Path(member.name).name).write_bytes(content.read())
    except (tarfile.TarError, EOFError) as exc:
        raise CorruptBundle(f"{path}: cannot be read as a tar: {exc}") from exc
    except OSError as exc:
        raise StoreError(f"cannot read {path}: {exc.strerror or exc}") from exc
    return directory


def _members(path: Path, tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    for member in tar:
        if member.isdir():
            continue
        name = Path(member.name).name
        if (
            not member.isfile()
            or member.size > MAX_PART_BYTES
            or name in found
            or len(found) >= MOST_FILES
        ):
            raise CorruptBundle(f"{path}: {member.name!r} is no plain file of a bundle")
        found[name] = member
    return list(found.values())
