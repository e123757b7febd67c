"""Builds a Config from file, variables and flags.

The order of precedence is --set, STREAMER__SECTION__KEY, file, preset, default.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streamer.config import document as documents
from streamer.config.document import Document
from streamer.config.explain import problems_of
from streamer.config.origin import Path as Place
from streamer.config.origin import SettingOrigin
from streamer.config.overlay import apply_presets, overlay
from streamer.config.problems import ConfigErrors, Problem
from streamer.config.schema import Config
from streamer.config.spellings import translate
from streamer.config.stream import Stream


def load_config(
    path: Path | None, sets: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Config:
    """Load the configuration of a file (None: only variables and flags).

    ConfigErrors holds all problems.
    """
    env = os.environ if env is None else env
    document = Document() if path is None else _read(path, env)
    return _finished(document, sets, env)


def config_from(
    data: Mapping[str, Any], sets: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Config:
    """Build a configuration from plain data; variables only if `env` is given."""
    return _finished(Document(data=copy.deepcopy(dict(data))), sets, env or {})


def stream_from(data: Mapping[str, Any]) -> Stream:
    """Build one stream from plain data, with its preset applied."""
    return config_from({"version": 1, "streams": [data]}).streams[0]


def _read(path: Path, env: Mapping[str, str]) -> Document:
    try:
        with path.open("rb") as handle:
            blob = handle.read(documents.MAX_BYTES + 1)
    except OSError as exc:
        hint = "name another with -c FILE" if isinstance(exc, FileNotFoundError) else ""
        raise ConfigErrors(
            [Problem((), f"cannot be read: {exc.strerror}", SettingOrigin(str(path)), hint)]
        ) from exc
    return documents.parse(blob, str(path), env)


def _finished(document: Document, sets: Sequence[str], env: Mapping[str, str]) -> Config:
    # nothing was parsed, so further problems would only hide the cause
    if document.data is None and document.problems:
        raise ConfigErrors(document.problems)
    overlay(document, sets, env)
    translate(document)
    apply_presets(document)
    return _validated(document)


def _validated(document: Document) -> Config:
    try:
        config = Config.model_validate({} if document.data is None else document.data)
    except ValidationError as exc:
        raise ConfigErrors([*document.problems, *problems_of(exc, document)]) from None
    if document.problems:
        raise ConfigErrors(document.problems)
    config._origins = _leaves(document)
    return config


def _leaves(document: Document) -> dict[Place, SettingOrigin]:
    """Return the origins of values, without those of sections."""
    return {
        path: origin
        for path, origin in document.values.items()
        if not _is_section(_at(document.data, path))
    }


def _at(data: Any, path: Place) -> Any:
    for part in path:
        data = data[part]
    return data


def _is_section(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(item, dict) for item in value)
    )
