"""Every setting with its value and its origin, for `check --show-effective`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from streamer.config.origin import DEFAULT, Path, SettingOrigin, dotted
from streamer.masking import MASK, USERINFO


def listing(config: BaseModel, origins: Mapping[Path, SettingOrigin]) -> list[tuple[str, str, str]]:
    """Return (path, value, origin) of every leaf; secret values are ***."""
    data = config.model_dump(mode="json", by_alias=True)
    return [_entry(path, value, origins) for path, value in _leaves(data, ())]


def _entry(path: Path, value: Any, origins: Mapping[Path, SettingOrigin]) -> tuple[str, str, str]:
    origin = origin_of(path, origins)
    return dotted(path), MASK if origin.secret and value is not None else shown(value), origin.where


def origin_of(path: Path, origins: Mapping[Path, SettingOrigin]) -> SettingOrigin:
    """Return the origin of a value, or of its nearest parent that has one."""
    return next(
        (origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins), DEFAULT
    )


def shown(value: Any) -> str:
    """Return a value as one line of YAML; credentials inside an address are masked."""
    if isinstance(value, str) and value and not value.strip("*"):
        return MASK
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return USERINFO.sub(f"{MASK}@", text)


def _leaves(data: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _leaves(value, (*path, key))
    elif isinstance(data, list) and any(isinstance(item, dict) for item in data):
        for i, item in enumerate(data):
            yield from _leaves(item, (*path, i))
    else:
        yield path, data
