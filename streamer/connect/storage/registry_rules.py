"""Rules shared by all registries: accepted bundles and moves, and entries of the audit trail."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streamer import artifact
from streamer.artifact import Bundle
from streamer.connect.base.durable import sync_folder, write_synced
from streamer.errors import ModelError, SchemaMismatch, StoreError
from streamer.failpoints import failpoint
from streamer.protocols import ALIASES, Move
from streamer.timefmt import rfc3339

FORMAT = "streamer.registry/1"
MOVES_KEPT = 1000


def publishable(directory: Path) -> Bundle:
    """Load and verify a bundle; ModelError if it cannot be used.

    ModelError also if its version is the name of an alias.
    """
    bundle = artifact.load(directory)
    if bundle.version in ALIASES:
        raise ModelError(
            f"{bundle.version!r} is the name of an alias; give the model another version"
        )
    return bundle


def refuse_other(bundle: Bundle, there: Bundle) -> None:
    """StoreError unless the stored bundle is the same.

    A signature to be added must cover the same manifest.
    """
    if there.sha256 != bundle.sha256:
        raise StoreError(
            f"cannot publish {bundle.version}: there is another model of that version "
            f"({there.sha256[:12]}, this one "
            f"is {bundle.sha256[:12]}); give it a version of its own"
        )
    if adds_signature(bundle, there) and there.sealed != bundle.sealed:
        raise StoreError(
            f"cannot add the signature to {bundle.version}: it is about another manifest; export "
            f"the model, sign that "
            "and import it"
        )


def other_damaged(bundle: Bundle, damage: ModelError) -> StoreError:
    """The error for another model of that version that is damaged."""
    return StoreError(
        f"cannot publish {bundle.version}: another model of that version is damaged: {damage}"
    )


def adds_signature(bundle: Bundle, there: Bundle) -> bool:
    return there.signature is None and bundle.signature is not None


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a bundle into a new folder, synced to disk."""
    directory.mkdir(mode=0o700)
    for name, blob in files.items():
        write_synced(directory / name, blob)
        failpoint("during_publish")
    sync_folder(directory)


def known_alias(alias: str) -> str:
    if alias not in ALIASES:
        raise ModelError(f"there is no alias {alias!r}; there are: {', '.join(ALIASES)}")
    return alias


def no_version(name: str, version: str | None, there: Sequence[str]) -> ModelError:
    """The error for a version, or an alias's version, that does not exist."""
    if version is None:
        return ModelError(
            f"the registry's {name} is not set; set it with: streamer model promote VERSION"
        )
    held = "" if name == version else f", its {name}"
    return ModelError(
        f"the registry has no version {version!r}{held}; there are: {', '.join(there) or 'none'}"
    )


def in_place(aliases: Mapping[str, str], wanted: Mapping[str, str | None]) -> bool:
    """Whether the aliases already have the wanted versions."""
    return all(aliases.get(alias) == version for alias, version in wanted.items())


def moved(aliases: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """The aliases after a move."""
    return {
        alias: version for alias, version in {**aliases, **changes}.items() if version is not None
    }


def entry(changes: Mapping[str, str | None], why: str, now_s: float) -> dict[str, Any]:
    """An entry of the audit trail."""
    return {"at": rfc3339(now_s), "changes": dict(changes), "why": why, "by": who()}


def move_of(raw: Any) -> Move:
    """Parse an entry of the audit trail; StoreError if it is invalid."""
    try:
        return Move(str(raw["at"]), dict(raw["changes"]), str(raw["why"]), str(raw.get("by", "")))
    except (TypeError, KeyError, ValueError) as exc:
        raise StoreError(
            f"the registry's trail of moves holds something else: {str(raw)[:100]}"
        ) from exc


def who() -> str:
    """user@machine; the user id if the user has no name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"


def check_format(where: object, found: object) -> None:
    """SchemaMismatch unless the registry has the format of this version."""
    if found == FORMAT:
        return
    family, _, number = str(found).partition("/")
    newer = family == FORMAT.partition("/")[0] and number.isdecimal() and int(number) > 1
    cure = (
        "a newer streamer wrote it: upgrade this one" if newer else "is it a registry of streamer?"
    )
    raise SchemaMismatch(
        f"{where}: format is {str(found)[:60]!r}, this version reads {FORMAT!r}; {cure}"
    )
