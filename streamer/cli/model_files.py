"""Bundles outside the registry, for `streamer model`: folders and .tar files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from streamer.artifact import Bundle, Check


def is_path(name: str, config: Path) -> bool:
    """Return whether a name means a bundle on disk.

    If the configuration file exists, a bare name means a version.
    """
    return "/" in name or name.endswith(".tar") or not config.exists()


def path_check(config: Path, sets: tuple[str, ...]) -> Check:
    """Return the signature check for bundles on disk.

    Any valid signature passes, unless a configuration is named.
    """
    from click.core import ParameterSource

    from streamer.config import load_config
    from streamer.runtime.model import trust_for
    from streamer.signing import holds

    source = click.get_current_context().get_parameter_source("config")
    named = source is not ParameterSource.DEFAULT or bool(sets)
    return trust_for(load_config(config, sets).model) if named else holds


def bundle_at(path: Path, check: Check) -> Bundle:
    from streamer import artifact

    with unpacked(path) as directory:
        return artifact.load(directory, check)


def refusal(load: Callable[..., Bundle], *what: object) -> str | None:
    """Return why a bundle cannot be used; None if it can."""
    from streamer.errors import StreamerError

    try:
        load(*what)
    except StreamerError as exc:
        return str(exc)
    return None


@contextmanager
def unpacked(source: Path) -> Iterator[Path]:
    """Yield a bundle's directory; a .tar is unpacked into a temporary one."""
    from streamer.connect.storage.bundle_tar import unpack

    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield unpack(source, Path(scratch) / source.stem)
