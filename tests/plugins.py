"""Packages outside the repository, as pip would leave them: modules and entry points on sys.path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamer.config import json_schema
from streamer.config.schema import SINKS
from streamer.config.stream import SOURCES

Entries = Mapping[str, Mapping[str, str]]  # group -> kind -> module:object


@contextmanager
def installed(
    folder: Path, name: str, files: Mapping[str, str], entries: Entries
) -> Iterator[None]:
    """A distribution with these modules and entry points, as long as the context lasts."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    info = folder / f"{name.replace('-', '_')}-1.2.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\n")
    groups = (
        "\n".join([f"[{group}]", *(f"{kind} = {at}" for kind, at in rows.items())])
        for group, rows in entries.items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        forget()
        yield
    forget()


def forget() -> None:
    """What is known of packages is looked up anew."""
    for table in (SINKS, SOURCES):
        table.forget()
    json_schema.schema.cache_clear()
    json_schema.homes.cache_clear()
