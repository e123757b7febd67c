"""Bundles on disk, for `streamer model`: folders and .tar files outside the registry."""

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
    """Whether a bundle on disk is meant. Where there is a configuration, a bare name is a
    version's.
    """
    return "/" in name or name.endswith(".tar") or not config.exists()


def path_check(config: Path, sets: tuple[str, ...]) -> Check:
    """Whose signatures count for bundles on disk: anybody's, unless a configuration is named."""
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
    """Why a bundle cannot be used; None if it can."""
    from streamer.errors import StreamerError

    try:
        load(*what)
    except StreamerError as exc:
        return str(exc)
    return None


@contextmanager
def unpacked(source: Path) -> Iterator[Path]:
    """A bundle's directory; a .tar is unpacked for so long."""
    from streamer.connect.storage.bundle_tar import unpack

    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield unpack(source, Path(scratch) / source.stem)
